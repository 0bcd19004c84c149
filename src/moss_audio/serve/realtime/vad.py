"""Where speech begins and ends: by energy over a noise floor that follows the sound, or by Silero's
network (see `silero`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

FRAME_SAMPLES = 512  # 32 ms
FRAME_MS = 32
ONSET_FRAMES = 3  # as many loud ones begin speech, which keys and clicks are not
# The floor, in dBFS: digital silence is no lower, and what a session begins with no higher.
_LOWEST_DB, _HIGHEST_START_DB = -65.0, -45.0
_RISE_DB = 0.03  # a frame, about 1 dB a second; it falls much faster
_FALL = 0.3
_HYSTERESIS_DB = 4.0


class VoiceDetector(ABC):
    """What has a state of a few numbers, and hears frame after frame.

    Args:
        threshold: 0 to 1; higher is harder to begin with.
        silence_ms: how long it has to be quiet until speech has ended.
    """

    def __init__(self, threshold: float, silence_ms: int) -> None:
        self.speaking = False
        self.set(threshold, silence_ms)
        self._count = 0  # loud frames before speech, quiet ones in it

    def set(self, threshold: float, silence_ms: int) -> None:
        """Other settings, from the next frame on."""
        self._threshold = threshold
        self._silence_frames = max(1, -(-silence_ms // FRAME_MS))

    def push(self, frame: np.ndarray) -> bool:
        """Hear a frame `[512]`; whether `speaking` changed."""
        loud, quiet = self._judged(frame)
        if self.speaking:
            self._count = self._count + 1 if quiet else 0
            changed = self._count >= self._silence_frames
        else:
            self._count = self._count + 1 if loud else 0
            changed = self._count >= ONSET_FRAMES
        if changed:
            self.speaking = not self.speaking
            self._count = 0
        return changed

    @property
    def quiet_frames(self) -> int:
        """How long it has been quiet in a turn that has not ended."""
        return self._count if self.speaking else 0

    def end(self) -> None:
        """Speech ends here, whatever is heard."""
        self.speaking = False
        self._count = 0

    @abstractmethod
    def _judged(self, frame: np.ndarray) -> tuple[bool, bool]:
        """Whether a frame is loud enough to begin speech, and quiet enough to end it."""


# Makes one for a session, from its threshold and its silence.
MakeDetector = Callable[[float, int], VoiceDetector]


class EnergyVad(VoiceDetector):
    """Speech begins 8 to 16 dB over the floor, and ends 4 dB below that."""

    def __init__(self, threshold: float, silence_ms: int) -> None:
        super().__init__(threshold, silence_ms)
        self._floor: float | None = None

    def _judged(self, frame: np.ndarray) -> tuple[bool, bool]:
        power = float(np.mean(np.square(frame, dtype=np.float64)))
        level = max(_LOWEST_DB, 10 * np.log10(power + 1e-12))
        if self._floor is None:
            self._floor = min(level, _HIGHEST_START_DB)
        step = level - self._floor
        self._floor += min(_RISE_DB, step) if step > 0 else _FALL * step
        over = level - self._floor
        on_db = 8 + 8 * self._threshold
        return over >= on_db, over < on_db - _HYSTERESIS_DB

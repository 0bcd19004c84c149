"""Silero's network as a detector of voices (https://github.com/snakers4/silero-vad, MIT).

It is a recurrent network that gives the probability of speech of a frame; its file comes with the
package `silero-vad`, or with pipecat, and is run by ONNX Runtime. Neither package is imported.
"""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.serve.realtime.vad import VoiceDetector
from moss_audio.units import SAMPLE_RATE

_FILES = (
    ("silero_vad", "data/silero_vad.onnx"),
    ("pipecat", "audio/vad/data/silero_vad.onnx"),
)
_BEFORE = 64  # samples of the frame before that it hears again
_HYSTERESIS = 0.15


def silero_file() -> Path:
    """The network's file. Raises MossAudioError where no package has it."""
    for package, path in _FILES:
        found = util.find_spec(package)
        for folder in (found.submodule_search_locations or ()) if found is not None else ():
            if (Path(folder) / path).is_file():
                return Path(folder) / path
    raise MossAudioError(
        "--vad silero: its network is not installed here: pip install --no-deps silero-vad, or "
        "leave the turns to --vad energy"
    )


class Silero:
    """The network, for any number of sessions.

    Raises:
        MossAudioError: where it is not installed.
    """

    def __init__(self) -> None:
        from moss_audio.engine.onnx.session import (
            file_session,
        )  # a backend's front may have no onnx

        self._session = file_session(silero_file(), threads=1)

    def detector(self, threshold: float, silence_ms: int) -> SileroVad:
        """One for a session."""
        return SileroVad(self, threshold, silence_ms)

    def run(self, sound: np.ndarray, state: np.ndarray) -> tuple[float, np.ndarray]:
        """The probability of speech in a frame and what goes before it `[576]`, and the next
        state."""
        rate = np.array(SAMPLE_RATE, np.int64)
        given = {"input": sound[None], "state": state, "sr": rate}
        found, state = self._session.run(None, given)
        return float(found.squeeze()), state


class SileroVad(VoiceDetector):
    """Speech begins at the threshold, and ends 0.15 below it."""

    def __init__(self, network: Silero, threshold: float, silence_ms: int) -> None:
        super().__init__(threshold, silence_ms)
        self._network = network
        self._state = np.zeros((2, 1, 128), np.float32)
        self._before = np.zeros(_BEFORE, np.float32)

    def _judged(self, frame: np.ndarray) -> tuple[bool, bool]:
        sound = np.concatenate([self._before, frame], dtype=np.float32)
        probability, self._state = self._network.run(sound, self._state)
        self._before = sound[-_BEFORE:]
        on = max(self._threshold, 0.01)
        return probability >= on, probability < max(on - _HYSTERESIS, on / 2)

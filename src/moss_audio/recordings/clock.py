"""Decoded sound on the clock of its container, as a player plays it.

Private to the audio loader. Time stamps say where sound belongs: sound that starts later than the
picture, or again after a gap, has silence before it; sound that comes twice is heard once. Stamps
that are off by little are noise and never move anything, nor do stamps that the next ones do not
confirm. A clock that starts again (joined broadcasts) is followed from there on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from moss_audio.recordings.mix import CHUNK_S, Chunk

TOLERANCE_S = 0.1  # as much as FFmpeg's own aresample=async=1 lets pass
ROUNDING_S = 0.003  # stamps are whole milliseconds in many containers
LOST_TOLERANCE_S = ROUNDING_S  # after packets that could not be decoded
MAX_OVERLAP_S = 1.0  # a clock that falls back by more has started again: nothing is dropped
MAX_JUMP_S = 60.0  # the longest gap where clocks may start again, as in broadcasts
MAX_GAP_S = 3_600.0  # the longest where they cannot, unless the container states a duration


@dataclass(frozen=True)
class Stamped:
    """Decoded samples [channels, n] at ``rate`` Hz. ``time_s`` is their stamp, if they have one;
    ``after_loss`` tells that packets before them could not be decoded."""

    rate: int
    samples: np.ndarray
    time_s: float | None
    after_loss: bool = False

    @property
    def duration_s(self) -> float:
        return self.samples.shape[1] / self.rate


class Clock:
    """Where sound lies in a recording.

    Args:
        zero_s: the stamp of the recording's beginning; None takes the first sound's.
        max_gap_s: the latest that sound is believed to come after the sound before it.
        end_s: the length that the container states, beyond which no gap reaches.
    """

    def __init__(self, zero_s: float | None, max_gap_s: float, end_s: float | None = None) -> None:
        self.zero_s = zero_s
        self.restarts: list[float] = []  # where the clock started again, in seconds
        self._max_gap_s = max_gap_s
        self._end_s = end_s
        self._rate = 0
        self._index = 0  # of the next sample, at that rate
        self._drop = 0  # samples to come that were heard before
        self._started = False

    @property
    def now_s(self) -> float:
        return self._index / self._rate if self._rate else 0.0

    def start_at(self, sound: Stamped) -> float | None:
        """Continue from ``sound``, where a seek landed; its time, None if it has no stamp."""
        if sound.time_s is None or self.zero_s is None:
            return None
        self._rate = sound.rate
        self._index = round((sound.time_s - self.zero_s) * sound.rate)
        self._started = True
        return self.now_s

    def place(self, sounds: Iterable[Stamped]) -> Iterator[Chunk]:
        """The sounds in order, silence where there was none, without gaps and overlaps."""
        held: Stamped | None = None
        for sound in sounds:
            if held is not None:
                yield from self._put(held, sound)
            held = sound
        if held is not None:
            yield from self._put(held, None)

    def _put(self, sound: Stamped, following: Stamped | None) -> Iterator[Chunk]:
        if sound.rate != self._rate:
            self._index, self._rate = round(self.now_s * sound.rate), sound.rate
            self._drop = 0
        yield from self._silence(self._gap(sound, following), sound)
        dropped = min(self._drop, sound.samples.shape[1])
        self._drop -= dropped
        yield from self._give(sound.samples[:, dropped:])

    def _gap(self, sound: Stamped, following: Stamped | None) -> int:
        """Samples of silence before ``sound``; what it repeats is put down in ``_drop``."""
        first, self._started = not self._started, True
        if sound.time_s is None or self._drop:
            return 0
        if self.zero_s is None:
            self.zero_s = sound.time_s - self.now_s
        late_s = sound.time_s - self.zero_s - self.now_s
        if abs(late_s) <= (LOST_TOLERANCE_S if sound.after_loss else TOLERANCE_S):
            if first:  # a little priming or jitter; later stamps count from the first sample
                self.zero_s += late_s
            return 0
        if following is None or not _confirms(sound, following):
            return 0
        if 0 < late_s <= self._longest_gap_s():
            return round(late_s * sound.rate)
        if -MAX_OVERLAP_S <= late_s < 0 and not first:
            self._drop = round(-late_s * sound.rate)
            return 0
        self.zero_s += late_s
        if not first:
            self.restarts.append(self.now_s)
        return 0

    def _longest_gap_s(self) -> float:
        if self._end_s is None or self._max_gap_s < MAX_GAP_S:
            return self._max_gap_s
        return max(MAX_JUMP_S, self._end_s - self.now_s)

    def _silence(self, n: int, sound: Stamped) -> Iterator[Chunk]:
        step = max(1, int(CHUNK_S * sound.rate))
        fill = 128 if sound.samples.dtype == np.uint8 else 0
        while n > 0:
            shape = (len(sound.samples), min(n, step))
            yield from self._give(np.full(shape, fill, sound.samples.dtype))
            n -= step

    def _give(self, samples: np.ndarray) -> Iterator[Chunk]:
        if samples.shape[1]:
            yield Chunk(self._rate, self._index, samples)
            self._index += samples.shape[1]


def _confirms(sound: Stamped, following: Stamped) -> bool:
    """Whether the stamps of two sounds in a row agree, more closely than those of packets that
    were stamped as they came in, in bursts."""
    if following.time_s is None or sound.time_s is None:
        return True
    difference_s = following.time_s - sound.time_s - sound.duration_s
    return abs(difference_s) <= max(ROUNDING_S, sound.duration_s / 4)

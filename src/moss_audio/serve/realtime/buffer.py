"""Sound that is not committed yet, and the turns in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from moss_audio.serve.realtime.config import TurnDetection
from moss_audio.serve.realtime.vad import (
    FRAME_MS,
    FRAME_SAMPLES,
    ONSET_FRAMES,
    EnergyVad,
    MakeDetector,
    VoiceDetector,
)
from moss_audio.units import SAMPLE_RATE


@dataclass(frozen=True)
class Began:
    """Speech has begun; `at_ms` from the start of the session, with what goes before it."""

    at_ms: int


@dataclass(frozen=True, eq=False)
class Ended:
    """Speech has ended at `at_ms`: all of its samples `[n]`, of the session from sample `begin` on;
    where silence has ended it, quiet from its sample `quiet_from` on."""

    at_ms: int
    begin: int
    samples: np.ndarray
    quiet_from: int | None = None


@dataclass(frozen=True, eq=False)
class Idle:
    """Nobody has spoken from `from_ms` to `at_ms`: the samples `[n]` of that, of the session from
    sample `begin` on."""

    from_ms: int
    at_ms: int
    begin: int
    samples: np.ndarray


Change = Began | Ended | Idle


class InputBuffer:
    """Samples at 16 kHz. With a detector only a turn and a little before it is kept, and what is
    heard while somebody is waited for.

    Args:
        longest_s: a turn ends then.
        make_detector: of voices.
    """

    def __init__(self, longest_s: float, make_detector: MakeDetector = EnergyVad) -> None:
        self._make_detector = make_detector
        self._longest = round(longest_s * SAMPLE_RATE)
        self._held: list[np.ndarray] = []
        self._n_held = 0
        self._tail = np.empty(0, np.float32)  # less than a frame, with a detector
        self._position = 0  # samples of the session that were held, or let go
        self._vad: VoiceDetector | None = None
        self._turns = TurnDetection()
        self._before = 0  # frames that are kept where nobody speaks
        self._quiet_from: int | None = None  # in the open turn
        self._waiting_from: int | None = None  # since that sample of the session for somebody

    @property
    def n_samples(self) -> int:
        """Samples that a commit would take."""
        return self._n_held + len(self._tail)

    @property
    def begin(self) -> int:
        """The sample of the session with which begins what is held."""
        return self._position - self._n_held

    @property
    def detecting(self) -> bool:
        """Whether there is a detector."""
        return self._vad is not None

    @property
    def speaking(self) -> bool:
        """Whether a turn is open."""
        return self._vad.speaking if self._vad else self.n_samples > 0

    def pause(self, least_ms: int) -> int | None:
        """The sample of the open turn from which on it is quiet, where that has been so long."""
        frames = self._vad.quiet_frames if self._vad is not None else 0
        return self._quiet_from if frames * FRAME_MS >= least_ms else None

    def fits(self, count: int) -> bool:
        """Whether so many samples more can be held; a detector ends turns that grow too long."""
        return self._vad is not None or self.n_samples + count <= self._longest

    def wait(self, waits: bool) -> None:
        """Whether it is the client's turn to speak, from now on; where the detector has a bound on
        that, `Idle` tells that nobody did."""
        self._waiting_from = self._position if waits else None

    def detect(self, turns: TurnDetection | None) -> Iterator[Change]:
        """Find turns in this way from now on, or leave it to the client. What is held stays, and
        is looked through where there was no detector before."""
        if turns is None:
            if self._vad is not None:
                self._vad = None
                self._hold(self._tail)
                self._tail = np.empty(0, np.float32)
            return
        self._before = -(-turns.prefix_padding_ms // FRAME_MS) + ONSET_FRAMES
        self._turns = turns
        if self._vad is not None:
            self.understand(None)
            return
        self._vad = self._make_detector(turns.threshold, turns.silence_ms())
        self._position -= self._n_held  # it is held a second time
        yield from self.push(self._taken())

    def understand(self, text: str | None) -> None:
        """What seems to have been said of the turn so far, on which its end may depend."""
        if self._vad is not None:
            self._vad.set(self._turns.threshold, self._turns.silence_ms(text))

    def push(self, samples: np.ndarray) -> Iterator[Change]:
        """Hear samples `[n]`."""
        if self._vad is None:
            self._hold(samples)
            return
        heard = np.concatenate([self._tail, samples])
        whole = len(heard) - len(heard) % FRAME_SAMPLES
        self._tail = heard[whole:]
        for frame in heard[:whole].reshape(-1, FRAME_SAMPLES):
            self._hold(frame.copy())  # what is kept must not keep all of a large append
            changed = self._vad.push(frame)
            begun = changed and self._vad.speaking
            if begun or not (changed or self._vad.speaking or self._waits):
                self._forget_all_but(self._before)
            if self._vad.quiet_frames == 1:
                self._quiet_from = self._n_held - FRAME_SAMPLES
            if begun:
                self._waiting_from = None
                yield Began(_ms(self.begin))
            elif changed or (self._vad.speaking and self._n_held >= self._longest):
                self._vad.end()
                self._waiting_from = None
                quiet_from = self._quiet_from if changed else None
                yield Ended(_ms(self._position), self.begin, self._taken(), quiet_from)
            elif not self._vad.speaking:
                yield from self._idle()

    @property
    def _waits(self) -> bool:
        return self._waiting_from is not None and self._turns.idle_timeout_ms is not None

    def _idle(self) -> Iterator[Idle]:
        """That nobody has spoken for as long as the detector's settings allow, if so."""
        begin, most_ms = self._waiting_from, self._turns.idle_timeout_ms
        if begin is None or most_ms is None:
            return
        passed = self._position - begin
        if passed * 1000 < most_ms * SAMPLE_RATE:
            return
        self._waiting_from = None
        samples = self._taken()[-passed:]
        at = self._position
        yield Idle(_ms(begin), _ms(at), at - len(samples), samples)

    def _forget_all_but(self, frames: int) -> None:
        while len(self._held) > frames:
            self._n_held -= len(self._held.pop(0))

    def since(self, first: int) -> np.ndarray:
        """The samples `[n]` of the turn from the first so many on, as far as they are surely its
        own."""
        parts, begin = [], self._n_held
        for block in reversed(self._held):
            if begin <= first:
                break
            begin -= len(block)
            parts.append(block[max(0, first - begin) :])
        return np.concatenate(parts[::-1]) if parts else np.empty(0, np.float32)

    def peek(self) -> np.ndarray:
        """All samples `[n]` that are held."""
        return np.concatenate([*self._held, self._tail])

    def take(self, last: np.ndarray | None = None) -> np.ndarray:
        """All samples `[n]` that are held, with the `last` behind them; then there are none."""
        for rest in (self._tail, last):
            if rest is not None:
                self._hold(rest)
        self._tail = np.empty(0, np.float32)
        if self._vad is not None:
            self._vad.end()
        return self._taken()

    def _hold(self, samples: np.ndarray) -> None:
        if len(samples):
            self._held.append(samples)
            self._n_held += len(samples)
            self._position += len(samples)

    def _taken(self) -> np.ndarray:
        if self._waiting_from is not None:
            self._waiting_from = self._position
        self.understand(None)
        taken = np.concatenate(self._held) if self._held else np.empty(0, np.float32)
        self._held, self._n_held = [], 0
        return taken


def _ms(samples: int) -> int:
    return samples * 1000 // SAMPLE_RATE

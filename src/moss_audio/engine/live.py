"""A clip that grows while it is heard, and can be asked about at any time.

Chunks of 4 s depend on nothing beside them but the clip's largest energy, and a clip stands before
the question in its prompt. So a chunk is encoded, and its positions are computed, as soon as it is
full: when the clip ends, only the chunk that is not full is left to do, whatever the clip's length.

The largest energy (features are floored 80 dB below it) is known at the end alone. Until then the
largest so far is taken. `commit` computes those chunks again in which that changes much.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from moss_audio.dsp.mel import LOG_SCALE, energy_floor, floored_logs, frame_energies
from moss_audio.engine.base import Request
from moss_audio.engine.growing import GrowingClip, GrownChunk, TailAsked
from moss_audio.engine.handle import Handle
from moss_audio.engine.prompts import EncodedClip, Prompt, PromptMaker, content_key
from moss_audio.engine.runner import Runner
from moss_audio.engine.scheduler import Scheduler
from moss_audio.errors import AudioError, MossAudioError
from moss_audio.units import (
    HOP_SAMPLES,
    SAMPLE_RATE,
    num_frames,
    num_tokens,
    samples_to_seconds,
)

# Mean change of a chunk's features, whose values lie within 2, that is let pass.
TOLERANCE = 0.005
_LOOK_AHEAD = 40  # samples behind a frame's own that it needs


class LiveClip:
    """A clip in the making; `LocalEngine.live` makes one. From any thread.

    Args:
        runner, scheduler, prompts: of the engine that hears it.
        tolerance: how much the features of a chunk may differ from those of a file with the same
            samples, in the mean; 0: not by a bit.
        priority: of its chunks, as in `Request`.
        key: whose it is, as in `Request`.

    Raises:
        MossAudioError: for a tolerance that is none.
    """

    def __init__(
        self,
        runner: Runner,
        scheduler: Scheduler,
        prompts: PromptMaker,
        *,
        tolerance: float = TOLERANCE,
        priority: int = 0,
        key: str = "",
    ) -> None:
        number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
        if not number or not tolerance >= 0:
            raise MossAudioError(f"tolerance={tolerance!r}: give a number, 0 or more")
        self._scheduler, self._prompts = scheduler, prompts
        self._tolerance, self._priority, self._key = tolerance, priority, key
        self._frames, self._n_mels = runner.chunk_frames, runner.n_mels
        self._room = np.empty(SAMPLE_RATE, np.float32)
        self._n_samples = 0
        self._energies: list[np.ndarray] = []  # of full chunks, `[mels, frames]`
        self._floors: list[float] = []  # that they were computed with
        self._maximum = 0.0
        self._n_positions = 0  # of the prompt's beginning with the full chunks
        self._handle: EncodedClip | None = None
        self._ended = False
        self._snapshots: set[Handle] = set()  # that are computed, or used
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._growing = GrowingClip(priority)
        self._releases = [scheduler.dropper(self._growing)]
        self._close = weakref.finalize(self, _call_all, self._releases)
        self._close.atexit = False

    @property
    def seconds(self) -> float:
        """Pushed so far."""
        return samples_to_seconds(self._n_samples)

    @property
    def samples(self) -> np.ndarray:
        """All that was pushed, float32 `[n]`."""
        return self._room[: self._n_samples]

    def push(self, samples: np.ndarray) -> None:
        """Hear samples `[n]` at 16 kHz. Chunks that they fill are computed in the engine's thread.

        Raises:
            AudioError: for what is not one-dimensional.
            PromptError: where the checkpoint has no positions for so long a clip; then it stays as
                it was.
            MossAudioError: after `commit` or `close`.
        """
        block = np.asarray(samples, np.float32)
        if block.ndim != 1:
            raise AudioError(f"a live clip takes samples [n], not of shape {block.shape}")
        with self._lock:
            self._check_open()
            before, end = self._n_samples, self._n_samples + len(block)
            if before // SAMPLE_RATE != end // SAMPLE_RATE:
                self._prompt(self._stub(end))  # raises where it does not fit
            if end > len(self._room):
                room = np.empty(max(end, 2 * len(self._room)), np.float32)
                room[:before] = self.samples
                self._room = room  # who looks at the old one still sees the same
            self._room[before:end] = block
            self._n_samples = end
            first = len(self._energies)
            for index in range(first, self._n_full(end)):
                self._hear(index)
            for index in range(first, len(self._energies)):
                self._grow(index)

    @contextlib.contextmanager
    def snapshot(self, *, priority: int | None = None) -> Iterator[EncodedClip]:
        """The sound so far as a clip of requests, its prefix computed and held within the `with`.

        More may be pushed meanwhile. The largest energy so far is taken as that of the clip.

        Args:
            priority: of what has to be computed for it; None: that of the clip.

        Raises:
            AudioError: where less than 10 ms were pushed.
            concurrent.futures.CancelledError: where it ends before the snapshot is ready.
            MossAudioError: after `commit` or `close`.
        """
        priority = self._priority if priority is None else priority
        with self._lock:
            self._check_open()
            stub = self._stub(self._n_samples)
            n_chunks = len(self._energies)
            energies = self._tail(n_chunks, self._n_samples)
            highest = max(self._maximum, float(energies.max(initial=0.0)))
            tail = self._ask(n_chunks, energies, highest, stub, priority)
        handle = _encoded(stub, tail.features.result())
        opening = partial(self._growing.opening, n_chunks, take=False)
        with self._lock:
            if self._ended:  # its sequence is that of the whole clip now
                raise CancelledError
            held, release = self._scheduler.begin_hold(self._prompt(handle, priority), opening)
            self._snapshots.add(held)
        try:
            held.result()
            yield handle
        finally:
            held.cancel()
            self._snapshots.discard(held)
            release()

    def commit(self, at: int | None = None, *, priority: int | None = None) -> EncodedClip:
        """The whole clip for requests; nothing can be pushed any more. Its prefix is held until
        `close`. A second call gives the same.

        Args:
            at: samples of the clip, if it ends before the last that was pushed.
            priority: of what has to be computed for it; None: that of the clip.

        Raises:
            AudioError: where it has less than 10 ms.
            MossAudioError: after `close`.
        """
        priority = self._priority if priority is None else priority
        with self._lock:
            if self._handle is not None:
                return self._handle
            self._check_open()
            end = self._n_samples if at is None else min(at, self._n_samples)
            stub = self._stub(end)
            self._ended = True
            for held in list(self._snapshots):  # nobody needs them, and this would wait for them
                held.cancel()
            n_chunks = min(len(self._energies), self._n_full(end))
            energies = self._tail(n_chunks, end)
            loudest = [float(one.max()) for one in self._energies[:n_chunks]]
            highest = max([float(energies.max(initial=0.0)), *loudest])
            changed, exact = self._stale(n_chunks, highest)
            if exact:
                stub = replace(stub, key=content_key(self._room[:end]))
            mels = {index: floored_logs(self._energies[index].copy(), highest) for index in changed}
            self._scheduler.tell_growth(lambda growth: growth.repair(self._growing, n_chunks, mels))
            tail = self._ask(n_chunks, energies, highest, stub, priority)
            self._energies, self._floors = [], []
            handle = _encoded(stub, tail.features.result())
            opening = partial(self._growing.opening, n_chunks, take=True)
            release = self._scheduler.hold(self._prompt(handle, priority), opening)
            self._releases.append(release)
            if not self._close.alive:  # `close` came meanwhile, and may not have seen this one
                release()
            self._handle = handle
            return handle

    def close(self) -> None:
        """Give everything back. Handles stay good, but nothing is kept for them any more."""
        self._ended = True
        self._close()

    def __enter__(self) -> LiveClip:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._process != os.getpid():
            raise MossAudioError("this live clip belongs to the process that began it")
        if self._ended:
            raise MossAudioError("this live clip has ended: begin a new one with engine.live()")

    def _n_full(self, n_samples: int) -> int:
        """Chunks whose frames more samples cannot change."""
        return max(0, n_samples - _LOOK_AHEAD) // (HOP_SAMPLES * self._frames)

    def _tail(self, n_chunks: int, end: int) -> np.ndarray:
        """Energies behind the first chunks of a clip of `end` samples."""
        first, n_frames = n_chunks * self._frames, num_frames(end)
        if first == n_frames:
            return np.empty((self._n_mels, 0), np.float32)
        return frame_energies(self._room[:end], first, n_frames, self._n_mels)

    def _hear(self, index: int) -> None:
        """A chunk is full: its energies."""
        first, end = index * self._frames, (index + 1) * self._frames
        energies = frame_energies(self.samples, first, end, self._n_mels)
        self._energies.append(energies)
        self._maximum = max(self._maximum, float(energies.max()))

    def _grow(self, index: int) -> None:
        """Have a chunk encoded and its positions computed."""
        self._floors.append(energy_floor(self._maximum))
        mel = floored_logs(self._energies[index].copy(), self._maximum)
        prompt = self._prompt(self._stub((index + 1) * self._frames * HOP_SAMPLES))
        whole = slice(self._n_positions, prompt.prefix_length - 1)  # without the end of the clip
        chunk = GrownChunk(whole.start, prompt.input_ids[whole], prompt.audio_mask[whole], mel)
        self._n_positions = whole.stop
        self._scheduler.tell_growth(lambda growth: growth.add(self._growing, chunk))

    def _stale(self, n_chunks: int, highest: float) -> tuple[list[int], bool]:
        """The chunks whose features change too much, and whether all others are as they would be
        in a file."""
        floor = energy_floor(highest)
        changed, exact = [], True
        for index in range(n_chunks):
            change = floor_change(self._energies[index], self._floors[index], floor)
            if change > self._tolerance:
                changed.append(index)
            elif change:
                exact = False
        return changed, exact

    def _ask(
        self, n_chunks: int, energies: np.ndarray, highest: float, stub: EncodedClip, priority: int
    ) -> TailAsked:
        mel = floored_logs(energies, highest) if energies.shape[1] else None
        tail = TailAsked(n_chunks, mel, stub.longest, priority)
        self._scheduler.tell_growth(lambda growth: growth.ask(self._growing, tail))
        return tail

    def _stub(self, n_samples: int) -> EncodedClip:
        """The first samples as a handle that lacks its features."""
        n_frames = num_frames(n_samples)
        if not n_frames:
            raise AudioError(
                f"{n_samples} samples were pushed, too few for an audio token: push at least "
                f"{HOP_SAMPLES} (0.01 s)"
            )
        longest = min(n_frames, self._frames)
        samples = self._room[:n_samples]
        return EncodedClip(
            f"live {uuid.uuid4().hex}", num_tokens(n_frames), None, samples.nbytes, n_frames,
            longest, samples, live=True,
        )  # fmt: skip

    def _prompt(self, handle: EncodedClip, priority: int | None = None) -> Prompt:
        request = Request.question("?", handle, reuse=False)
        priority = self._priority if priority is None else priority
        return self._prompts.prompt(replace(request, priority=priority, key=self._key))


def floor_change(energies: np.ndarray, before: float, after: float) -> float:
    """The mean change of features `[mels, n]` whose energies are floored elsewhere."""
    low, high = np.sort(np.array([before, after], np.float32))
    below = energies[energies < high]
    if low == high or not below.size:
        return 0.0
    change = np.log(high) - np.log(np.maximum(below, low))
    return float(change.sum(dtype=np.float64) * LOG_SCALE / energies.size)


def _encoded(stub: EncodedClip, features: Any) -> EncodedClip:
    return replace(stub, features=features, n_bytes=stub.n_bytes + features.n_bytes)


def _call_all(functions: list[Callable[[], None]]) -> None:
    for function in functions:
        function()

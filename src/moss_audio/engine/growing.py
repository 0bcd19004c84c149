"""Clips that are still being heard: what the scheduler's thread does for them.

A full chunk is encoded and appended to the clip's own sequence as soon as nothing more urgent is to
be done. What follows the last full chunk, the tail, is encoded when somebody asks about the clip;
it never enters that sequence, since all of it changes until its chunk is full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moss_audio.engine.prompts import EncodedClip
from moss_audio.engine.runner import AudioRows, ClipRows, KVCache, Piece, Runner

# Steps that a chunk waits for what has a higher priority; it must be done before the next is full.
_PATIENCE = 8


@dataclass(eq=False)
class GrownChunk:
    """A full chunk: its log-mel frames `[mels, n]` until it is encoded, then its `features`; and
    what it adds to the sequence, from position `first` on."""

    first: int
    ids: Sequence[int]
    mask: Sequence[bool]
    mel: np.ndarray | None
    features: Any = None

    @property
    def end(self) -> int:
        return self.first + len(self.ids)


@dataclass(eq=False)
class TailAsked:
    """Somebody asks about the first `n_chunks` chunks and what follows them: log-mel frames `mel`
    `[mels, n]`, of a clip whose `longest` is as in `Runner.encode_mel`; none where nothing does.
    `features` will be those of all."""

    n_chunks: int
    mel: np.ndarray | None
    longest: int
    priority: int
    features: Future[Any] = field(default_factory=Future)


class GrowingClip:
    """What the scheduler's thread knows of a clip; no other looks into it.

    Args:
        priority: of its chunks.
    """

    def __init__(self, priority: int) -> None:
        self.chunks: list[GrownChunk] = []
        self.done = 0  # of them, whose positions are in the sequence
        self.cache: KVCache | None = None
        self.tails: list[TailAsked] = []
        self.error: BaseException | None = None
        self._priority = priority

    @property
    def busy(self) -> bool:
        return self.done < len(self.chunks) or bool(self.tails)

    @property
    def priority(self) -> int:
        """Of what it waits for: whoever asks about it needs its chunks first."""
        return max([self._priority, *(tail.priority for tail in self.tails)])

    def opening(self, n_chunks: int, *, take: bool) -> KVCache | None:
        """A sequence with the first chunks; `take`: its own, which it then no longer has."""
        if self.cache is None or not 0 < n_chunks <= self.done:
            return None
        cache = self.cache if take else self.cache.fork()
        if take:
            self.cache, self.done, self.chunks = None, 0, []
        else:
            cache.crop(self.chunks[n_chunks - 1].end)
        return cache

    def close(self, error: BaseException) -> None:
        """Nothing of it stays; who waits gets the error."""
        if self.cache is not None:
            self.cache.close()
        self.cache, self.done, self.chunks, self.error = None, 0, [], error
        tails, self.tails = self.tails, []
        for tail in tails:
            tail.features.set_exception(error)


class Growth:
    """All growing clips of a scheduler.

    Attributes:
        chunks: that became part of a sequence so far, and those of them that did so again
            (`repaired`).
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._open: set[GrowingClip] = set()
        self._busy: list[GrowingClip] = []
        self._held_back = 0
        self.chunks = self.repaired = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for one of them at this moment."""
        return any(clip.priority > 0 for clip in self._busy)

    def add(self, clip: GrowingClip, chunk: GrownChunk) -> None:
        """One more chunk is full."""
        if clip.error is None:
            clip.chunks.append(chunk)
            self._wake(clip)

    def repair(self, clip: GrowingClip, n_chunks: int, mels: Mapping[int, np.ndarray]) -> None:
        """The clip ends within the chunk after `n_chunks`, and some of those are other frames. Who
        asked about a part of it gets CancelledError."""
        tails, clip.tails = clip.tails, []
        for tail in tails:
            tail.features.set_exception(CancelledError())
        if clip.error is not None:
            return
        kept = min([n_chunks, *mels])
        del clip.chunks[n_chunks:]
        for place, mel in mels.items():
            clip.chunks[place].mel, clip.chunks[place].features = mel, None
        self.repaired += len(mels)
        clip.done = min(clip.done, kept)
        if clip.cache is not None:
            clip.cache.crop(clip.chunks[clip.done - 1].end if clip.done else 0)
        self._wake(clip)

    def ask(self, clip: GrowingClip, tail: TailAsked) -> None:
        """Features of a part of a clip are wanted."""
        if clip.error is not None:
            tail.features.set_exception(clip.error)
            return
        clip.tails.append(tail)
        self._wake(clip)

    def drop(self, clip: GrowingClip) -> None:
        """Nobody needs a clip any more."""
        self._forget(clip, CancelledError())

    def end_all(self, error: BaseException) -> None:
        for clip in list(self._open):
            self._forget(clip, error)

    def step(self, others: Callable[[], int | None]) -> int:
        """One chunk, or tail, of the most urgent clip; how many positions were computed. `others`
        gives the priority of what else is being answered."""
        if not self._busy:
            return 0
        clip = max(self._busy, key=lambda one: one.priority)
        highest = others()
        if highest is not None and highest > clip.priority and self._held_back < _PATIENCE:
            self._held_back += 1
            return 0
        self._held_back = 0
        try:
            n_tokens = self._grow(clip)
        except Exception as error:  # whatever it is, it ends this clip alone
            self._forget(clip, error)
            return 0
        self._busy.remove(clip)
        self._wake(clip)  # behind the others
        return n_tokens

    def _grow(self, clip: GrowingClip) -> int:
        for tail in clip.tails:
            if tail.n_chunks <= clip.done:
                features = [chunk.features for chunk in clip.chunks[: tail.n_chunks]]
                if tail.mel is not None:
                    features.append(self._runner.encode_mel(tail.mel, tail.longest))
                whole = features[0] if len(features) == 1 else self._runner.joined(features)
                clip.tails.remove(tail)
                tail.features.set_result(whole)
                return 0
        chunk = clip.chunks[clip.done]
        if chunk.features is None:
            assert chunk.mel is not None
            chunk.features = self._runner.encode_mel(chunk.mel, chunk.mel.shape[1])
            chunk.mel = None
        clip.cache = clip.cache or self._runner.cache()
        n_tokens = sum(chunk.mask)
        encoded = EncodedClip(f"chunk {clip.done}", n_tokens, chunk.features, 0, 0, 0, None)
        audio = AudioRows(chunk.mask, (ClipRows(encoded, 0, n_tokens),))
        self._runner.forward([(clip.cache, Piece(chunk.ids, audio))])
        clip.done += 1
        self.chunks += 1
        return len(chunk.ids)

    def _wake(self, clip: GrowingClip) -> None:
        self._open.add(clip)
        if clip.busy and clip not in self._busy:
            self._busy.append(clip)

    def _forget(self, clip: GrowingClip, error: BaseException) -> None:
        self._open.discard(clip)
        if clip in self._busy:
            self._busy.remove(clip)
        clip.close(error)

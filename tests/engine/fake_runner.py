"""A runner that is no model: what it says is a function of what a sequence holds, nothing else."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from moss_audio.dsp.mel import log_mel
from moss_audio.engine import Generation, GenerationOptions, Request
from moss_audio.engine.local import LocalEngine
from moss_audio.engine.prompts import EncodedClip, HashedClip
from moss_audio.engine.runner import Piece
from moss_audio.testing.tokenizer import tiny_tokenizer
from moss_audio.units import num_tokens

TOKENIZER = tiny_tokenizer()
END = TOKENIZER.convert_tokens_to_ids("<|im_end|>")
LETTERS = [TOKENIZER.encode(c, add_special_tokens=False)[0] for c in "abcdefghijkl"]


def question_with_long_answer(
    engine: LocalEngine, clip: np.ndarray, options: GenerationOptions
) -> tuple[Request, Generation]:
    """A question whose answer is as long as it may be, and that. Which one that is differs between
    processors, which round features otherwise."""
    for letters in itertools.product("rstuvwxyz", repeat=2):
        request = Request.question("".join(letters), clip, options=options)
        (answer,) = engine.generate([request])
        if answer.finish_reason == "length":
            return request, answer
    raise AssertionError("no answer is long")


class FakeFeatures(list[tuple[str, int]]):
    """Of each token what it depends on."""

    n_bytes = 0


class FakeCache:
    """What a sequence holds: ids, and of audio the features."""

    def __init__(self, runner: FakeRunner, held: Sequence[object] = ()) -> None:
        self._runner, self.held = runner, list(held)
        runner.caches.add(self)

    @property
    def length(self) -> int:
        return len(self.held)

    @property
    def n_bytes(self) -> int:
        return len(self.held)

    def crop(self, length: int) -> None:
        self.held = self.held[:length]

    def fork(self) -> FakeCache:
        assert self in self._runner.caches
        return FakeCache(self._runner, self.held)

    def follow(self, other: FakeCache, first: int) -> None:
        assert {self, other} <= self._runner.caches
        assert self.held[:first] == other.held[:first]
        self.held = list(other.held)

    def close(self) -> None:
        self._runner.caches.remove(self)


class FakeLogits:
    def __init__(self, runner: FakeRunner, told: list[list[object]]) -> None:
        self._runner, self._told = runner, told

    def argmax(self) -> list[int]:
        return [self._runner.next_id(one) for one in self._told]

    def row(self, position: int = -1) -> np.ndarray:
        likeliest = self._runner.next_id(self._told[position])
        row = np.full(len(TOKENIZER) + 2, -np.inf, np.float32)
        row[[*LETTERS, END]] = 0.0
        row[likeliest] = 1.0
        return row


class FakeRunner:
    max_rows, prefill_tokens, part_tokens, batch_tokens = 4, 16, 5, 400
    max_positions, chunk_frames, n_mels = 500, 400, 8
    eos_ids: frozenset[int] = frozenset()
    exact = True
    description = precision = "counting"

    def __init__(self) -> None:
        self.caches: set[FakeCache] = set()  # open ones
        self.passes: list[list[int]] = []  # lengths of the pieces of each
        self.encoded: list[str] = []
        self.watch: Callable[[Sequence[tuple[FakeCache, Piece]]], None] = lambda batch: None

    def next_id(self, held: list[object]) -> int:
        """An answer ends after about twelve letters."""
        state = int.from_bytes(hashlib.blake2b(repr(held).encode(), digest_size=4).digest())
        return END if state % 13 == 0 else LETTERS[state % len(LETTERS)]

    def encode(self, clips: Sequence[HashedClip], *, keep: bool) -> list[EncodedClip]:
        self.encoded += [clip.key for clip in clips]
        out = []
        for c in clips:
            features = c.encoded.features if c.encoded is not None else None
            if features is None:
                assert c.samples is not None
                features = self.encode_mel(log_mel(c.samples, self.n_mels), c.longest)
            out.append(
                EncodedClip(c.key, c.n_tokens, features, 0, c.n_frames, c.longest, c.samples)
            )
        return out

    def encode_mel(self, mel: np.ndarray, longest: int) -> FakeFeatures:
        """As the model's: a token depends on all of its chunk, and on nothing beside it but, in a
        chunk that is not full, on the longest clip."""
        features = FakeFeatures()
        for first in range(0, mel.shape[1], self.chunk_frames):
            chunk = np.ascontiguousarray(mel[:, first : first + self.chunk_frames])
            n_frames = chunk.shape[1]
            seen = max(n_frames, min(self.chunk_frames, longest))
            digest = hashlib.blake2b(chunk.data, digest_size=8, salt=str(seen).encode()).hexdigest()
            features += [(digest, i) for i in range(num_tokens(n_frames))]
        return features

    def joined(self, features: Sequence[FakeFeatures]) -> FakeFeatures:
        return FakeFeatures(row for one in features for row in one)

    def cache(self) -> FakeCache:
        return FakeCache(self)

    def forward(self, batch: Sequence[tuple[FakeCache, Piece]]) -> list[FakeLogits]:
        self.watch(batch)
        self.passes.append([len(piece.ids) for _, piece in batch])
        out = []
        for cache, piece in batch:
            assert cache in self.caches, "a closed sequence"
            new: list[object] = list(piece.ids)
            if piece.audio is not None:
                rows = [row for p in piece.audio.parts for row in p.clip.features[p.first : p.end]]
                places = [place for place, is_audio in enumerate(piece.audio.mask) if is_audio]
                for place, row in zip(places, rows, strict=True):
                    new[place] = row
            cache.held += new
            first = cache.length - (len(new) if piece.all_logits else 1)
            out.append(
                FakeLogits(self, [cache.held[: end + 1] for end in range(first, cache.length)])
            )
        return out

    def cosines(self, clip: EncodedClip, ids: Sequence[int]) -> np.ndarray:
        return np.full((clip.n_tokens, len(ids)), 0.5)

    kept_bytes = 0

    def forget(self) -> None: ...

"""Encodings of clips, kept for later requests on the same ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from moss_audio.dsp.mel import log_mel
from moss_audio.engine.prompts import EncodedClip, HashedClip
from moss_audio.engine.runner import Runner

KEPT_BYTES = 128 * 2**20


class EncodedClips:
    """What a runner has encoded; beyond `KEPT_BYTES` the least recently used goes first.

    Args:
        chunk_frames: mel frames that the encoder sees at once.

    Attributes:
        n_bytes: of what is kept.
    """

    def __init__(self, chunk_frames: int) -> None:
        self._chunk_frames = chunk_frames
        self._kept: OrderedDict[tuple[str, int], EncodedClip] = OrderedDict()
        self.n_bytes = 0

    def get(
        self,
        clips: Sequence[HashedClip],
        encode: Callable[[Sequence[HashedClip]], Iterable[Any]],
        *,
        keep: bool,
    ) -> list[EncodedClip]:
        """Encodings of clips, kept from before or computed, each different one once.

        Args:
            encode: gives the features of clips that are not known; they have `n_bytes`.
            keep: what is computed for later calls.
        """
        known: dict[tuple[str, int], EncodedClip] = {}
        missing: dict[tuple[str, int], HashedClip] = {}
        for clip in clips:
            key = clip.encoding_key
            found = clip.encoded or self._kept.get(key)
            if found is None:
                missing[key] = clip
                continue
            known[key] = found
            if key in self._kept:
                self._kept.move_to_end(key)
        computed = encode(list(missing.values())) if missing else ()
        for (key, clip), features in zip(missing.items(), computed, strict=True):
            known[key] = encoded_clip(clip, features, self._chunk_frames)
            if keep:
                self._keep(known[key])
        return [known[clip.encoding_key] for clip in clips]

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Give their memory back."""
        self._kept.clear()
        self.n_bytes = 0

    def _keep(self, encoded: EncodedClip) -> None:
        self._kept[encoded.encoding_key] = encoded
        total = sum(one.n_bytes for one in self._kept.values())
        while total > KEPT_BYTES:
            total -= self._kept.popitem(last=False)[1].n_bytes
        self.n_bytes = total


class ClipInParts:
    """A clip that is encoded chunk by chunk, so that others need not wait for all of it.

    Raises:
        Exception: what the runner raises.
    """

    def __init__(self, clip: HashedClip, runner: Runner) -> None:
        self._clip = clip
        self._features: list[Any] = []
        self._mel = None
        if clip.encoded is None and clip.n_frames > runner.chunk_frames:
            assert clip.samples is not None
            self._mel = log_mel(clip.samples, runner.n_mels)

    def step(self, runner: Runner) -> EncodedClip | None:
        """Encode one further chunk; the clip after the last."""
        if self._mel is None:  # there is but one, or it is known
            return runner.encode([self._clip], keep=False)[0]
        first = len(self._features) * runner.chunk_frames
        chunk = np.ascontiguousarray(self._mel[:, first : first + runner.chunk_frames])
        self._features.append(runner.encode_mel(chunk, self._clip.longest))
        if first + runner.chunk_frames < self._clip.n_frames:
            return None
        return encoded_clip(self._clip, runner.joined(self._features), runner.chunk_frames)


def encoded_clip(clip: HashedClip, features: Any, chunk_frames: int) -> EncodedClip:
    """A clip with its features; its samples are kept where it is shorter than a chunk."""
    samples = clip.samples if clip.n_frames < chunk_frames else None
    n_bytes = features.n_bytes + (0 if samples is None else samples.nbytes)
    return EncodedClip(
        clip.key, clip.n_tokens, features, n_bytes, clip.n_frames, clip.longest, samples
    )

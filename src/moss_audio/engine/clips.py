"""Encodings of clips, kept for later requests on the same ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from moss_audio.engine.prompts import EncodedClip, HashedClip

_KEPT_BYTES = 128 * 2**20


class EncodedClips:
    """What a runner has encoded; beyond its room the least recently used goes first.

    Args:
        chunk_frames: mel frames that the encoder sees at once.
    """

    def __init__(self, chunk_frames: int) -> None:
        self._chunk_frames = chunk_frames
        self._kept: OrderedDict[tuple[str, int], EncodedClip] = OrderedDict()

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
            known[key] = self._encoded(clip, features)
            if keep:
                self._keep(known[key])
        return [known[clip.encoding_key] for clip in clips]

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Give their memory back."""
        self._kept.clear()

    def _encoded(self, clip: HashedClip, features: Any) -> EncodedClip:
        samples = clip.samples if clip.n_frames < self._chunk_frames else None
        n_bytes = features.n_bytes + (0 if samples is None else samples.nbytes)
        return EncodedClip(
            clip.key, clip.n_tokens, features, n_bytes, clip.n_frames, clip.longest, samples
        )

    def _keep(self, encoded: EncodedClip) -> None:
        self._kept[encoded.encoding_key] = encoded
        total = sum(one.n_bytes for one in self._kept.values())
        while total > _KEPT_BYTES:
            total -= self._kept.popitem(last=False)[1].n_bytes

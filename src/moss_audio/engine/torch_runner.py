"""The runner on torch: passes through a `MossAudioModel`.

Shapes: B rows of a pass, L positions of a piece, N positions with logits, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional as F

from moss_audio.dsp.mel import log_mel
from moss_audio.engine.clips import EncodedClips
from moss_audio.engine.kv import PaddedCache, TorchKVCache
from moss_audio.engine.prompts import EncodedClip, HashedClip, similar_lengths
from moss_audio.engine.runner import Piece
from moss_audio.model.features import AudioFeatures
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.padding import left_padded, padded_mels

_MAX_ROWS = {"cuda": 16, "cpu": 8, "mps": 8}
# Positions of one pass of prefill: what others wait for between two of their tokens.
_PREFILL_TOKENS = {"cuda": 8192, "cpu": 1024, "mps": 2048}
_BATCH_TOKENS = {"cuda": 65_536, "cpu": 16_384, "mps": 16_384}
_SPARE = 128  # positions that a batch has room for before it is copied
# What a pass through the decoder costs beside its positions, in positions: on a CPU it soon
# computes all the time, so a second pass is cheaper than padding; a GPU has room to spare.
_PASS_COST = {"cuda": 4096, "cpu": 16, "mps": 512}
# Up to so many rows a CPU is faster at `weights @ rows.T` than at `rows @ weights.T`, which first
# copies all weights into another order.
_FEW_ROWS = 8


class TorchRunner:
    """`Runner` on a `MossAudioModel` in this process.

    Sequences that get a token each are decoded in one batch, which stays as long as they do.

    Args:
        model: on its device, in its dtype; put into evaluation mode.
        suppressed: ids that are never generated: those of audio.
    """

    def __init__(self, model: MossAudioModel, suppressed: Collection[int]) -> None:
        self.model = model.eval()
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        kind = self.device.type
        self.max_rows = _MAX_ROWS.get(kind, 8)
        self.prefill_tokens = _PREFILL_TOKENS.get(kind, 1024)
        self.part_tokens = 64 if kind == "cpu" else self.prefill_tokens
        self.batch_tokens = _BATCH_TOKENS.get(kind, 16_384)
        self.precision = str(self.dtype)
        self.exact = self.dtype == torch.float32
        self.description = f"torch {self.precision.removeprefix('torch.')} on {self.device}"
        decoder, encoder = model.config.language_config, model.config.audio_config
        self.max_positions: int = decoder.max_position_embeddings
        self.chunk_frames: int = encoder.chunk_frames
        self.eos_ids = _eos_ids(model)
        self._n_layers: int = decoder.num_hidden_layers
        self.n_mels: int = encoder.num_mel_bins
        heads = decoder.num_attention_heads
        head_dim = getattr(decoder, "head_dim", None) or decoder.hidden_size // heads
        self._position_bytes: int = (
            2 * self._n_layers * decoder.num_key_value_heads * head_dim * self.dtype.itemsize
        )
        self._suppressed = torch.tensor(sorted(suppressed), device=self.device)
        self._encoded = EncodedClips(self.chunk_frames)
        self._decoding: PaddedCache | None = None

    @torch.inference_mode()
    def encode(self, clips: Sequence[HashedClip], *, keep: bool) -> list[EncodedClip]:
        """Encode the clips that are not known yet, all in one pass."""
        return self._encoded.get(clips, self._features, keep=keep)

    @torch.inference_mode()
    def encode_mel(self, mel: np.ndarray, longest: int) -> AudioFeatures:
        """Features of log-mel frames `[mels, n]` of one clip."""
        data, frames = padded_mels([mel])
        seen = torch.maximum(torch.tensor([longest]), frames)
        return self.model.encode_audio(data.to(self.device), frames, seen)

    @torch.inference_mode()
    def joined(self, features: Sequence[AudioFeatures]) -> AudioFeatures:
        """Features of the parts of a clip, as those of the clip."""
        streams = zip(*(one.deepstack for one in features), strict=True)
        return AudioFeatures(
            torch.cat([one.embeds for one in features]),
            tuple(torch.cat(stream) for stream in streams),
            (sum(sum(one.lengths) for one in features),),
        )

    def cache(self) -> TorchKVCache:
        """A new sequence without positions."""
        return TorchKVCache(self._position_bytes)

    @torch.inference_mode()
    def forward(self, batch: Sequence[tuple[TorchKVCache, Piece]]) -> list[TorchLogits]:
        """Single tokens in one pass, longer pieces in passes of similar length: little of them is
        padding."""
        before = [cache.length for cache, _ in batch]
        try:
            return self._passes(batch)
        except BaseException:
            for (cache, _), length in zip(batch, before, strict=True):
                cache.crop(length)
            raise

    def _passes(self, batch: Sequence[tuple[TorchKVCache, Piece]]) -> list[TorchLogits]:
        out: dict[int, TorchLogits] = {}
        single = [place for place, (_, piece) in enumerate(batch) if _is_step(piece)]
        if len(batch) == 1 and batch[0][0].batch is not None and not batch[0][1].audio:
            single = [0]  # a guess about the one row that is decoded
        if single:
            found = self._step([batch[place] for place in single])
            out.update(zip(single, found, strict=True))
        left = [place for place in range(len(batch)) if place not in out]
        cost = _PASS_COST.get(self.device.type, 512)
        for group in similar_lengths([len(batch[place][1].ids) for place in left], cost):
            places = [left[index] for index in group]
            found = self._one_pass([batch[place] for place in places])
            out.update(zip(places, found, strict=True))
        return [out[place] for place in range(len(batch))]

    @torch.inference_mode()
    def cosines(self, clip: EncodedClip, ids: Sequence[int]) -> np.ndarray:
        """Float32 `[audio tokens, len(ids)]`."""
        table: torch.Tensor = self.model.get_input_embeddings().weight
        pieces = F.normalize(table[torch.tensor(list(ids), device=self.device)].float(), dim=-1)
        unit = F.normalize(clip.features.embeds.float(), dim=-1)
        found: np.ndarray = (unit @ pieces.T).cpu().numpy()
        return found

    @property
    def kept_bytes(self) -> int:
        """Memory of kept encodings."""
        return self._encoded.n_bytes

    def forget(self) -> None:
        """Give the memory of encoded clips back."""
        self._encoded.clear()

    @torch.inference_mode()
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Float32 logits `[N, V]` after `hidden` `[N, H]`; suppressed ids are at -inf."""
        if self.device.type == "cpu" and 1 < hidden.shape[0] <= _FEW_ROWS:
            logits = torch.mm(self.model.lm_head.weight, hidden.T).T.float()
        else:
            logits = self.model.lm_head(hidden).float()
        return logits.index_fill_(1, self._suppressed, float("-inf"))

    def _features(self, clips: Sequence[HashedClip]) -> list[AudioFeatures]:
        """Features of clips, encoded in one pass."""
        mels = [log_mel(clip.samples, self.n_mels) for clip in clips if clip.samples is not None]
        data, frames = padded_mels(mels)
        longest = torch.tensor([clip.longest for clip in clips])
        features = self.model.encode_audio(
            data.to(self.device), frames, torch.maximum(longest, frames)
        )
        out = []
        first = 0
        for clip in clips:
            part = slice(first, first + clip.n_tokens)
            first += clip.n_tokens
            out.append(
                AudioFeatures(
                    features.embeds[part].clone(),
                    tuple(stream[part].clone() for stream in features.deepstack),
                    (clip.n_tokens,),
                )
            )
        return out

    def _step(self, batch: Sequence[tuple[TorchKVCache, Piece]]) -> list[TorchLogits]:
        """A pass of the sequences that are being decoded, each with as many ids."""
        caches = [cache for cache, _ in batch]
        decoding = self._decoding
        there = decoding is not None and decoding.members == caches
        if decoding is None or not there or any(one.batch is not decoding for one in caches):
            for member in decoding.members if decoding is not None else ():
                if member.batch is decoding and member not in caches:
                    member.alone()
            decoding = PaddedCache(self._n_layers, caches, _SPARE, self.device)
            decoding.adopt()
            self._decoding = decoding
        n_new = len(batch[0][1].ids)
        mask = torch.cat([decoding.mask, decoding.mask.new_ones(len(batch), n_new)], dim=1)
        ids = torch.tensor([list(piece.ids) for _, piece in batch], device=self.device)
        try:
            outputs = self.model.hidden_states(
                input_ids=ids,
                attention_mask=mask,
                position_ids=_positions(mask)[:, -n_new:],
                past_key_values=decoding.cache,
                use_cache=True,
                audio_input_mask=None if n_new == 1 else torch.zeros_like(ids, dtype=torch.bool),
            )
        except BaseException:
            decoding.crop(0)  # layers that were written already forget it
            raise
        decoding.mask, decoding.width = mask, decoding.width + n_new
        for cache in caches:
            cache.length += n_new
        hidden = outputs.last_hidden_state
        return self._kept(hidden, [piece for _, piece in batch])

    def _one_pass(self, batch: Sequence[tuple[TorchKVCache, Piece]]) -> list[TorchLogits]:
        """A pass of pieces of similar length, left-padded to the longest."""
        caches = [cache for cache, _ in batch]
        pieces = [piece for _, piece in batch]
        ids, new = left_padded([piece.ids for piece in pieces])
        past = PaddedCache(self._n_layers, caches, ids.shape[1], self.device)
        mask = torch.cat([past.mask, new.to(self.device)], dim=1)
        features = _features(pieces)
        audio, _ = left_padded(
            [piece.audio.mask if piece.audio else [False] * len(piece.ids) for piece in pieces]
        )
        outputs = self.model.hidden_states(
            input_ids=ids.to(self.device),
            attention_mask=mask,
            position_ids=_positions(mask)[:, -ids.shape[1] :],
            past_key_values=past.cache,
            use_cache=True,
            audio_features=features,
            audio_input_mask=audio.bool().to(self.device),
        )
        grown = past.split([len(piece.ids) for piece in pieces])
        for cache, piece, layers in zip(caches, pieces, grown, strict=True):
            cache.batch, cache.layers = None, layers
            cache.length += len(piece.ids)
        return self._kept(outputs.last_hidden_state, pieces)

    def _kept(self, hidden: torch.Tensor, pieces: Sequence[Piece]) -> list[TorchLogits]:
        """The logits that pieces want of a pass's `hidden` `[B, L, H]`, computed together."""
        counts = [len(piece.ids) if piece.all_logits else 1 for piece in pieces]
        rows = torch.cat([hidden[row, -count:] for row, count in enumerate(counts)])
        shared = _PassLogits(self, rows)
        ends = np.cumsum(counts).tolist()
        return [
            TorchLogits(shared, end - count, end) for end, count in zip(ends, counts, strict=True)
        ]


class _PassLogits:
    """The logits of one pass, computed when the first of them is looked at."""

    def __init__(self, runner: TorchRunner, hidden: torch.Tensor) -> None:
        self._runner, self._hidden = runner, hidden

    @cached_property
    def values(self) -> torch.Tensor:
        """Float32 `[N, V]`."""
        return self._runner.logits(self._hidden)

    @cached_property
    def likeliest(self) -> list[int]:
        """`[N]`, fetched from the device at once."""
        ids: list[int] = self.values.argmax(dim=1).tolist()
        return ids


class TorchLogits:
    """`Logits` of one piece: rows `first` to `end` of its pass."""

    def __init__(self, shared: _PassLogits, first: int, end: int) -> None:
        self._shared, self._first, self._end = shared, first, end

    def argmax(self) -> list[int]:
        return self._shared.likeliest[self._first : self._end]

    def row(self, position: int = -1) -> np.ndarray:
        place = range(self._first, self._end)[position]
        values: np.ndarray = self._shared.values[place].cpu().numpy()
        return values


def _is_step(piece: Piece) -> bool:
    return len(piece.ids) == 1 and piece.audio is None


def _features(pieces: Sequence[Piece]) -> AudioFeatures | None:
    """The audio of pieces, one after the other."""
    parts = [part for piece in pieces if piece.audio for part in piece.audio.parts]
    if not parts:
        return None
    found = [part.clip.features for part in parts]
    cut = [slice(part.first, part.end) for part in parts]
    return AudioFeatures(
        torch.cat([one.embeds[rows] for one, rows in zip(found, cut, strict=True)]),
        tuple(
            torch.cat([one.deepstack[i][rows] for one, rows in zip(found, cut, strict=True)])
            for i in range(len(found[0].deepstack))
        ),
        tuple(part.end - part.first for part in parts),
    )


def _positions(mask: torch.Tensor) -> torch.Tensor:
    """Positions `[B, L]` that count the real tokens of each row; padding stands at 0."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def _eos_ids(model: MossAudioModel) -> frozenset[int]:
    found: set[int] = set()
    for source in (model.generation_config, model.config.language_config):
        value = getattr(source, "eos_token_id", None)
        if value is not None:
            found.update([value] if isinstance(value, int) else value)
    return frozenset(found)

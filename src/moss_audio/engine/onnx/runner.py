"""The runner on ONNX Runtime: a decoder and an encoder whose weights may be in 4 or 8 bits.

Shapes: B sequences, L positions of a piece, P of them with logits, H decoder width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnxruntime as ort

from moss_audio.dsp.mel import log_mel
from moss_audio.engine.clips import EncodedClips
from moss_audio.engine.onnx import decoder
from moss_audio.engine.onnx.alike import single_differs
from moss_audio.engine.onnx.decoder import decoder_graph
from moss_audio.engine.onnx.encoder import ClipFeatures, OnnxEncoder
from moss_audio.engine.onnx.kv import OnnxCache, Slab, Table, position_bytes
from moss_audio.engine.onnx.session import session
from moss_audio.engine.onnx.source import WeightSource
from moss_audio.engine.onnx.weights import Blocks, Linear
from moss_audio.engine.prompts import EncodedClip, HashedClip
from moss_audio.engine.runner import AudioRows, Piece
from moss_audio.model.nano.parts import EMBEDDING, HEAD
from moss_audio.model.sizes import ModelSizes

_MEMORY_BYTES = 2**30  # keys and values of all sequences that are decoded together
_SAMPLE = "language_model.layers.0.self_attn.k_proj.weight"  # small, and stored as all layers are
# Layers in 4 and 8 bits are multiplied in int8: with AVX-512 VNNI a step takes three quarters of
# its time in float32 (level 1), a prompt as long.
ACCURACY_LEVEL = 4


class OnnxRunner:
    """`Runner` on ONNX Runtime.

    Args:
        sizes: of the model.
        source: its weights.
        threads: how many compute together.
        bits: of the weights, for the description.
        accuracy_level: of the products of the decoder's layers in blocks: see `weights.linear`.
    """

    max_rows = 8
    prefill_tokens = 512
    part_tokens = 16  # the time of three steps on one thread; of 64 a position takes as long

    def __init__(
        self,
        sizes: ModelSizes,
        source: WeightSource,
        *,
        threads: int,
        bits: int,
        accuracy_level: int = ACCURACY_LEVEL,
    ) -> None:
        self._sizes = sizes
        self.batch_tokens = min(16_384, _MEMORY_BYTES // position_bytes(sizes.decoder))
        self.max_positions = sizes.decoder.max_positions
        self.chunk_frames, self.n_mels = sizes.audio.chunk_frames, sizes.audio.num_mel_bins
        self.eos_ids = sizes.decoder.eos_ids
        self.precision = f"onnx.{bits}"
        # in 4 bits ONNX Runtime rounds a single token otherwise than several
        self.exact = bits > 4
        # (a pass of one row takes a quarter longer with a second one, which nobody reads)
        weight = source.linear(_SAMPLE).weight if bits < 32 else None
        self._never_alone = isinstance(weight, Blocks) and single_differs(
            weight.bits, weight.block, accuracy_level
        )
        self.description = f"onnx {bits} bits, {threads} thread{'s' * (threads > 1)}"
        table = source.linear(EMBEDDING)
        head = table if sizes.tied else source.linear(HEAD)
        self._suppressed = [sizes.audio_token_id, sizes.audio_start_id, sizes.audio_end_id]
        self._embedding = _Embedding(table, source.rows_beyond())
        # think marks are generated, audio ids never: of those alone the head needs no rows
        ids = range(self._embedding.n_rows, self._embedding.n_all)
        generated = not set(ids) <= set(self._suppressed)
        beyond = self._embedding.beyond if generated else None
        self._n_logits = self._embedding.n_all if generated else self._embedding.n_rows
        graph = decoder_graph(sizes, source, head, accuracy_level=accuracy_level, beyond=beyond)
        self._decoder = session(graph, threads, optimize=False)  # it is written as it is fastest
        self._encoder = OnnxEncoder(sizes, source, threads)
        self._table = Table(self._decoder, sizes.decoder)
        self._encoded = EncodedClips(self.chunk_frames)

    def encode(self, clips: Sequence[HashedClip], *, keep: bool) -> list[EncodedClip]:
        """Encodings of clips, kept from before or computed; `keep` them for later calls."""
        return self._encoded.get(clips, self._features, keep=keep)

    def encode_mel(self, mel: np.ndarray, longest: int) -> ClipFeatures:
        """Features of log-mel frames `[mels, n]` of one clip."""
        return self._encoder.encode(mel, longest)

    def joined(self, features: Sequence[ClipFeatures]) -> ClipFeatures:
        """Features of the parts of a clip, as those of the clip."""
        embeds = np.concatenate([one.embeds for one in features])
        streams = zip(*(one.deepstack for one in features), strict=True)
        return ClipFeatures(embeds, tuple(np.concatenate(stream) for stream in streams))

    def cache(self) -> OnnxCache:
        """A new sequence without positions."""
        return OnnxCache(self._decoder, self._sizes.decoder)

    def forward(self, batch: Sequence[tuple[OnnxCache, Piece]]) -> list[OnnxLogits]:
        """Append a piece to each of several sequences. Single tokens go in one step (never one
        alone where a row would then have other digits than beside others), longer pieces
        one after the other: ONNX Runtime has no attention for several of them."""
        out: list[OnnxLogits | None] = [None] * len(batch)
        step = [i for i, (_, piece) in enumerate(batch) if len(piece.ids) == 1 and not piece.audio]
        if len(step) > 1 or (step and self._never_alone):
            caches = [batch[i][0] for i in step]
            ids = [batch[i][1].ids[0] for i in step]
            if len(step) == 1:
                caches, ids = [*caches, self.cache()], [*ids, 0]
            for i, logits in zip(step, self._step(caches, ids), strict=False):
                out[i] = logits
        for i, (cache, piece) in enumerate(batch):
            if out[i] is None:
                out[i] = self._append(cache, piece)
        for cache, piece in batch:
            cache.grown(len(piece.ids))
        return [logits for logits in out if logits is not None]

    def cosines(self, clip: EncodedClip, ids: Sequence[int]) -> np.ndarray:
        """Float32 `[audio tokens, len(ids)]`."""
        features: ClipFeatures = clip.features
        found: np.ndarray = (
            _normalized(features.embeds) @ _normalized(self._embedding.rows(np.asarray(ids))).T
        )
        return found

    @property
    def kept_bytes(self) -> int:
        """Memory of kept encodings."""
        return self._encoded.n_bytes

    def forget(self) -> None:
        """Give the memory of kept encodings back."""
        self._encoded.clear()

    def _features(self, clips: Sequence[HashedClip]) -> Iterator[ClipFeatures]:
        for clip in clips:
            assert clip.samples is not None
            mel = log_mel(clip.samples, self.n_mels)
            yield self._encoder.encode(mel, clip.longest)

    def _step(self, caches: Sequence[OnnxCache], ids: Sequence[int]) -> list[OnnxLogits]:
        """A token `[B]` to each sequence, in one run."""
        n = len(caches)
        room = self._table.arrange(caches)
        by_slot = sorted(range(n), key=lambda i: caches[i].slot)
        embeds = self._embedding.rows(np.array([ids[i] for i in by_slot]))[:, None]
        lengths = np.array([caches[i].length for i in by_slot], np.int32)
        values = self._run(room, (0, n), embeds, None, lengths, np.arange(n))
        return [self._logits(values[caches[i].slot, None]) for i in range(n)]

    def _append(self, cache: OnnxCache, piece: Piece) -> OnnxLogits:
        """A piece to one sequence."""
        n = len(piece.ids)
        embeds = self._embedding.rows(np.asarray(piece.ids))
        deepstack = None
        if piece.audio is not None:
            deepstack = self._with_audio(embeds, piece.audio)
        room = cache.reserve(cache.length + n)
        lengths = np.array([cache.length + n - 1], np.int32)
        wanted = np.arange(0 if piece.all_logits else n - 1, n)
        slots = cache.slot, cache.slot + 1
        return self._logits(self._run(room, slots, embeds[None], deepstack, lengths, wanted))

    def _with_audio(self, embeds: np.ndarray, audio: AudioRows) -> np.ndarray:
        """Put the audio into `embeds` `[L, H]`; the DeepStack streams `[n, 1, L, H]`."""
        mask = np.asarray(audio.mask, bool)
        features = [(part.clip.features, part.first, part.end) for part in audio.parts]
        embeds[mask] = np.concatenate([one.embeds[first:end] for one, first, end in features])
        deepstack = np.zeros((self._sizes.n_deepstack, 1, *embeds.shape), np.float32)
        for i, stream in enumerate(deepstack):
            rows = [one.deepstack[i][first:end] for one, first, end in features]
            stream[0, mask] = np.concatenate(rows)
        return deepstack

    def _run(
        self,
        room: Slab,
        slots: tuple[int, int],
        embeds: np.ndarray,
        deepstack: np.ndarray | None,
        lengths: np.ndarray,
        wanted: np.ndarray,
    ) -> np.ndarray:
        """Logits `[P, V]` at the `wanted` of the positions of `embeds` `[B, L, H]`."""
        binding = room.binding(*slots)
        inputs = {
            decoder.EMBEDS: embeds,
            decoder.LENGTHS: lengths,
            decoder.TOTAL: np.array(lengths.max() + 1, np.int32),
            decoder.WANTED: wanted.astype(np.int64),
        }
        if self._sizes.n_deepstack:
            none = np.zeros((self._sizes.n_deepstack, 1, 1, 1), np.float32)
            inputs[decoder.DEEPSTACK] = none if deepstack is None else deepstack
        logits = np.empty((len(wanted), self._n_logits), np.float32)
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value))
        binding.bind_ortvalue_output(decoder.LOGITS, ort.OrtValue.ortvalue_from_numpy(logits))
        self._decoder.run_with_iobinding(binding)
        return logits

    def _logits(self, values: np.ndarray) -> OnnxLogits:
        ids = [one for one in self._suppressed if one < values.shape[1]]
        values[:, ids] = -np.inf
        return OnnxLogits(values, self._sizes.decoder.vocab_size)


class OnnxLogits:
    """`Logits` `[P, n]` of a vocabulary `V >= n`, whose last ids cannot be generated."""

    def __init__(self, values: np.ndarray, vocab_size: int) -> None:
        self._values = values
        self._vocab_size = vocab_size

    def argmax(self) -> list[int]:
        """The likeliest next token after each position that has logits."""
        tokens: list[int] = self._values.argmax(1).tolist()
        return tokens

    def row(self, position: int = -1) -> np.ndarray:
        """Float32 `[V]`."""
        out = np.full(self._vocab_size, -np.inf, np.float32)
        out[: self._values.shape[1]] = self._values[position]
        return out


class _Embedding:
    """Embeddings of ids. Nano keeps those of the audio ids and of the think marks apart, behind the
    public table: `beyond` `[n, H]`."""

    def __init__(self, table: Linear, beyond: list[np.ndarray]) -> None:
        self._table = table
        self.n_rows = table.shape[0]
        self.beyond = np.concatenate(beyond) if beyond else None
        self.n_all = self.n_rows + (0 if self.beyond is None else len(self.beyond))

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Float32 `[n, H]` of ids `[n]`."""
        if self.beyond is None:
            return np.array(self._table.rows(ids))
        rows = self._table.rows(np.minimum(ids, self.n_rows - 1))
        beyond = ids >= self.n_rows
        rows[beyond] = self.beyond[ids[beyond] - self.n_rows]
        return rows


def _normalized(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.maximum(norms, np.float32(1e-12))

"""The audio encoder with adapter and mergers as an ONNX graph (specification 1.2, 1.3).

Chunks of 4 s are encoded alone; those that run together have equal lengths, so that the graph needs
no mask. What it computes is what `model.encoder` computes.

Shapes: C chunks of equal length, M mel bins, F mel frames of a chunk, S positions of the
transformer, D d_model, T tokens of a chunk, H width of the decoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from moss_audio.engine.onnx.graph import MICROSOFT, Graph
from moss_audio.engine.onnx.session import session
from moss_audio.engine.onnx.source import WeightSource
from moss_audio.engine.onnx.weights import Blocks, linear
from moss_audio.model.sizes import STACK, EncoderSizes, ModelSizes
from moss_audio.units import num_tokens

_OUT_PROJ = "audio_encoder.out_proj"
_CHUNKS = 4  # run together: more are no faster, and each needs 50 MB in the released stem


@dataclass(frozen=True)
class ClipFeatures:
    """A clip as the decoder sees it.

    Attributes:
        embeds: adapter output `[n, H]`.
        deepstack: merger outputs `[n, H]`, one per merger.
    """

    embeds: np.ndarray
    deepstack: tuple[np.ndarray, ...]

    @property
    def n_bytes(self) -> int:
        return self.embeds.nbytes + sum(stream.nbytes for stream in self.deepstack)


class OnnxEncoder:
    """Encodes one clip at a time: what comes out depends on nothing beside it."""

    def __init__(self, sizes: ModelSizes, source: WeightSource, threads: int) -> None:
        self._sizes = sizes.audio
        self._session = session(_encoder_graph(sizes, source), threads)

    def encode(self, mel: np.ndarray, longest: int) -> ClipFeatures:
        """Encode a clip.

        Args:
            mel: log-mel features `[M, n_frames]`, at least one frame.
            longest: mel frames of the longest clip in its prompt.
        """
        parts = [self._session.run(None, feed) for feed in self._feeds(mel, longest)]
        streams = [np.concatenate(stream) for stream in zip(*parts, strict=True)]
        return ClipFeatures(streams[0], tuple(streams[1:]))

    def _feeds(self, mel: np.ndarray, longest: int) -> Iterator[dict[str, np.ndarray]]:
        """Full chunks, some at a time, then the rest of the clip."""
        sizes = self._sizes
        frames = sizes.chunk_frames
        at_once = min(_CHUNKS, sizes.conv_chunksize)
        full = mel.shape[1] // frames
        chunks = mel[:, : full * frames].reshape(len(mel), full, frames).swapaxes(0, 1)
        for first in range(0, full, at_once):
            yield self._feed(chunks[first : first + at_once], frames)
        rest = mel[None, :, full * frames :]
        if valid := rest.shape[2]:
            # The released code pads the chunks of a prompt with zeros to its longest chunk
            # before the stem: see `model.encoder`.
            seen = max(valid, min(frames, longest))
            yield self._feed(np.pad(rest, ((0, 0), (0, 0), (0, seen - valid))), valid)

    def _feed(self, chunks: np.ndarray, valid: int) -> dict[str, np.ndarray]:
        n = num_tokens(valid) if self._sizes.stem == "conv2d" else (valid + 1) // 2
        return {"mel": np.ascontiguousarray(chunks), "places": sinusoids(n, self._sizes.d_model)}


@lru_cache(maxsize=32)
def sinusoids(length: int, width: int) -> np.ndarray:
    """Sinusoidal positions `[length, width]`, float32, as `model.encoder` has them."""
    increment = math.log(10_000.0) / (width // 2 - 1)
    rates = np.exp(-increment * np.arange(width // 2, dtype=np.float32)).astype(np.float32)
    angles = np.arange(length, dtype=np.float32)[:, None] * rates[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def _encoder_graph(sizes: ModelSizes, source: WeightSource) -> Graph:
    """mel `[C, M, F]` and positions `[S, D]` -> `[C * T, H]` for the decoder and each merger."""
    graph = Graph("encoder")
    mel = graph.input("mel", "float32", ["chunks", sizes.audio.num_mel_bins, "frames"])
    places = graph.input("places", "float32", ["positions", sizes.audio.d_model])
    layers = _EncoderLayers(graph, sizes.audio, source, places)
    stem = layers.stem_conv2d if sizes.audio.stem == "conv2d" else layers.stem_conv1d
    x = graph.op("Slice", stem(mel), layers.ints(0), layers.length, layers.ints(1))
    x = layers.rows(graph.op("Add", x, places))
    taps = []
    for index in range(sizes.audio.layers):
        x = layers.layer(x, index)
        if index in sizes.audio.taps[: sizes.n_deepstack]:
            taps.append(x)
    x = layers.norm(x, "audio_encoder.layer_norm")
    names = ["audio_adapter", *(f"deepstack_audio_merger_list.{i}" for i in range(len(taps)))]
    for name, stream in zip(names, (x, *taps), strict=True):
        layers.gated_mlp(layers.tokens(stream), name)
        graph.output(name, "float32", ["tokens", sizes.decoder.hidden_size])
    return graph


class _EncoderLayers:
    """The layers of the encoder, each added to a graph under the names of its weights.

    Args:
        places: positions `[S, D]` of a chunk.
    """

    def __init__(
        self, graph: Graph, sizes: EncoderSizes, source: WeightSource, places: str
    ) -> None:
        self._graph = graph
        self._sizes = sizes
        self._source = source
        self.length = graph.op("Shape", places, start=0, end=1)
        ends = self.ints(-1), self.length, self.ints(sizes.d_model)
        self._chunks_shape = graph.op("Concat", *ends, axis=0)

    def ints(self, *values: int) -> str:
        """A constant list of whole numbers."""
        return self._graph.constant(np.array(values, np.int64), f"ints_{values}")

    def _give(self, name: str) -> str:
        return self._graph.give(name, self._source.array(name))

    def _linear(self, x: str, name: str) -> str:
        layer = self._source.linear(f"{name}.weight")
        # nano's own form, with offsets, is small: its products in float32 cost little and are exact
        small = isinstance(layer.weight, Blocks) and layer.weight.offsets is not None
        return linear(self._graph, x, name, layer, accuracy_level=1 if small else 4)

    def rows(self, x: str) -> str:
        """`[C, S, D]` -> `[C * S, D]`, as linear layers take it."""
        return self._graph.op("Reshape", x, self.ints(-1, self._sizes.d_model))

    def _chunks(self, x: str) -> str:
        """`[C * S, D]` -> `[C, S, D]`."""
        return self._graph.op("Reshape", x, self._chunks_shape)

    def _conv(self, x: str, name: str, stride: int, axes: int) -> str:
        weight, bias = (self._give(f"audio_encoder.{name}.{part}") for part in ("weight", "bias"))
        pads = [1] * 2 * axes
        out = self._graph.op("Conv", x, weight, bias, strides=[stride] * axes, pads=pads)
        return self._graph.op("Gelu", out)

    def stem_conv2d(self, mel: str) -> str:
        """`[C, M, F]` -> `[C, F / 8, D]`."""
        x = self._graph.op("Unsqueeze", mel, self.ints(1))
        for name in ("conv1", "conv2", "conv3"):
            x = self._conv(x, name, stride=2, axes=2)
        x = self._graph.op("Transpose", x, perm=[0, 3, 1, 2])
        width = self._sizes.downsample_hidden_size * num_tokens(self._sizes.num_mel_bins)
        frames = self._graph.op("Shape", x, start=1, end=2)
        x = self._linear(
            self._graph.op("Reshape", x, self.ints(-1, width)), "audio_encoder.stem_proj"
        )
        ends = self.ints(-1), frames, self.ints(self._sizes.d_model)
        return self._graph.op("Reshape", x, self._graph.op("Concat", *ends, axis=0))

    def stem_conv1d(self, mel: str) -> str:
        """`[C, M, F]` -> `[C, F / 2, D]`."""
        x = self._conv(mel, "conv1", stride=1, axes=1)
        x = self._conv(x, "conv2", stride=2, axes=1)
        return self._graph.op("Transpose", x, perm=[0, 2, 1])

    def norm(self, x: str, name: str) -> str:
        """Layer norm."""
        return self._graph.op(
            "LayerNormalization",
            x,
            self._give(f"{name}.weight"),
            self._give(f"{name}.bias"),
            epsilon=self._sizes.layer_norm_eps,
        )

    def layer(self, x: str, index: int) -> str:
        """Whisper's pre-norm transformer layer, `[C, S, D]` -> `[C, S, D]`."""
        name = f"audio_encoder.layers.{index}"
        normed = self.norm(x, f"{name}.self_attn_layer_norm")
        q, k, v = (
            self._chunks(self._linear(normed, f"{name}.self_attn.{part}_proj")) for part in "qkv"
        )
        out = self._graph.op(
            "MultiHeadAttention", q, k, v, domain=MICROSOFT, num_heads=self._sizes.heads
        )
        x = self._graph.op("Add", x, self._linear(self.rows(out), f"{name}.self_attn.out_proj"))
        out = self._linear(self.norm(x, f"{name}.final_layer_norm"), f"{name}.fc1")
        out = self._linear(self._graph.op("Gelu", out), f"{name}.fc2")
        return self._graph.op("Add", x, out)

    def tokens(self, x: str) -> str:
        """Positions `[C * S, D]` -> tokens `[C * T, output_dim]`."""
        sizes, op = self._sizes, self._graph.op
        if sizes.stem == "conv2d":  # a token is a position
            return x if sizes.output_dim == sizes.d_model else self._linear(x, _OUT_PROJ)
        # positions that a chunk lacks to its last whole token are zero
        lacking = op("Mod", op("Neg", self.length), self.ints(STACK))
        pads = op("Concat", self.ints(0, 0, 0, 0), lacking, self.ints(0), axis=0)
        return op("Reshape", op("Pad", self._chunks(x), pads), self.ints(-1, sizes.output_dim))

    def gated_mlp(self, x: str, name: str) -> str:
        """`down(SiLU(gate(x)) * up(x))`, called `name`."""
        gate = self._linear(x, f"{name}.gate_proj")
        gate = self._graph.op("Mul", gate, self._graph.op("Sigmoid", gate))
        hidden = self._graph.op("Mul", gate, self._linear(x, f"{name}.up_proj"))
        return self._graph.op("Identity", self._linear(hidden, f"{name}.down_proj"), name=name)

"""The decoder as a graph: Qwen3 (or Llama, for nano) with DeepStack (specification 1.3, 1.4).

Shapes: B sequences, L positions appended to each, H width, R positions whose logits are wanted,
C positions that the memory of keys and values has room for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from moss_audio.engine.onnx.graph import MICROSOFT, Graph
from moss_audio.engine.onnx.proto import Dim
from moss_audio.engine.onnx.source import WeightSource
from moss_audio.engine.onnx.weights import Linear, joined, linear
from moss_audio.errors import CheckpointError
from moss_audio.model.nano.parts import HEAD
from moss_audio.model.sizes import DecoderSizes, ModelSizes

EMBEDS, DEEPSTACK, LENGTHS, TOTAL, WANTED, LOGITS = (
    "embeds", "deepstack", "lengths", "total", "wanted", "logits",
)  # fmt: skip
# Small layers on the same inputs are computed as one, for which their weights are copied; of large
# ones an operator has enough to do.
_JOINED_WEIGHTS = 2**22


def past(kind: str, layer: int) -> str:
    """The input of the "keys" or "values" of a layer."""
    return f"{kind}.{layer}"


def present(name: str) -> str:
    """The output that belongs to the input `past`."""
    return f"present.{name}"


def decoder_graph(
    sizes: ModelSizes,
    source: WeightSource,
    head: Linear,
    *,
    accuracy_level: int,
    beyond: np.ndarray | None = None,
) -> Graph:
    """The graph of one pass, which ends in `head`, and the rows `beyond` it `[n, H]` where there
    are some; V counts both.

    Inputs:
        embeds `[B, L, H]`; deepstack `[n_deepstack, B, L, H]` (or ones in place of B, L and H),
        the i-th added to the output of layer i; lengths int32 `[B]`, positions of each sequence
        after this pass, less one; total int32 `[]`, the largest of these positions; wanted int64
        `[R]`, places among the B * L positions; keys and values of each layer `[B, kv_heads, C,
        head_dim]`, written in place where the outputs are bound to the same memory.

    Outputs:
        logits `[R, V]`; keys and values of each layer.

    With B > 1 and keys from before, L is 1: ONNX Runtime has no more on a CPU.
    """
    graph, n_deepstack = Graph("decoder"), sizes.n_deepstack
    embeds = graph.input(EMBEDS, "float32", ["batch", "length", sizes.decoder.hidden_size])
    if n_deepstack:
        graph.input(DEEPSTACK, "float32", [n_deepstack, "d_batch", "d_length", "d_width"])
    graph.input(LENGTHS, "int32", ["batch"])
    graph.input(TOTAL, "int32", [])
    graph.input(WANTED, "int64", ["wanted"])
    layers = _Layers(graph, sizes.decoder, source, accuracy_level)
    streams = [f"{DEEPSTACK}.{i}" for i in range(n_deepstack)]
    if n_deepstack:
        graph.ops("Split", [DEEPSTACK], streams, axis=0, num_outputs=n_deepstack)
    width = graph.constant(np.array([-1, sizes.decoder.hidden_size]), "rows")
    hidden = graph.op("Reshape", embeds, width)
    added: str | None = None  # what is still to be added to `hidden`
    for index in range(sizes.decoder.layers):
        hidden, added = layers.layer(index, hidden, added)
        if index < n_deepstack:
            stream = graph.op("Squeeze", streams[index], graph.constant(np.array([0]), "first"))
            spread = graph.op("Reshape", hidden, graph.op("Shape", embeds))
            spread = graph.op("Add", spread, stream)
            hidden = graph.op("Reshape", spread, width)
    hidden = graph.op("Gather", graph.op("Add", hidden, added or ""), WANTED, axis=0)
    hidden = layers.norm(hidden, "language_model.norm.weight")
    logits = linear(graph, hidden, HEAD, head, accuracy_level=accuracy_level)
    if beyond is None:
        graph.op("Identity", logits, name=LOGITS)
    else:
        more = graph.op("Gemm", hidden, graph.give(f"{HEAD}.beyond", beyond), transB=1)
        graph.op("Concat", logits, more, name=LOGITS, axis=-1)
    n_logits = head.shape[0] + (0 if beyond is None else len(beyond))
    graph.output(LOGITS, "float32", ["wanted", n_logits])
    return graph


class _Layers:
    """The decoder's layers, on `[B * L, H]`."""

    def __init__(
        self, graph: Graph, sizes: DecoderSizes, source: WeightSource, accuracy_level: int
    ) -> None:
        self._graph = graph
        self._sizes = sizes
        self._source = source
        self._accuracy_level = accuracy_level
        check_rotary(sizes)
        cos, sin = _rotary(sizes)
        graph.give("cos", cos)
        graph.give("sin", sin)
        self._lead = graph.op("Shape", EMBEDS, end=2)  # [B, L]

    def layer(self, index: int, hidden: str, added: str | None) -> tuple[str, str]:
        """The layer on `hidden + added`; what it gives is the sum of the two results."""
        prefix = f"language_model.layers.{index}"
        normed, hidden = self.norm_sum(hidden, added, f"{prefix}.input_layernorm.weight")
        attended = self._attention(index, normed)
        normed, hidden = self.norm_sum(
            hidden, attended, f"{prefix}.post_attention_layernorm.weight"
        )
        return hidden, self._mlp(prefix, normed)

    def norm(self, x: str, name: str) -> str:
        """RMS norm along the last axis."""
        weight = self._graph.give(name, self._source.array(name))
        epsilon = self._sizes.rms_norm_eps
        return self._graph.op(
            "SimplifiedLayerNormalization", x, weight, axis=-1, epsilon=epsilon, stash_type=1
        )

    def norm_sum(self, x: str, added: str | None, name: str) -> tuple[str, str]:
        """The RMS norm of `x + added`, and the sum itself."""
        if added is None:
            return self.norm(x, name), x
        weight = self._graph.give(name, self._source.array(name))
        normed, total = f"{name}.normed", f"{name}.sum"
        self._graph.ops(
            "SkipSimplifiedLayerNormalization",
            [x, added, weight],
            [normed, "", "", total],
            domain=MICROSOFT,
            epsilon=self._sizes.rms_norm_eps,
        )
        return normed, total

    def _attention(self, index: int, x: str) -> str:
        graph, sizes = self._graph, self._sizes
        prefix = f"language_model.layers.{index}.self_attn"
        queries, keys, values = self._parallel(x, prefix, ("q_proj", "k_proj", "v_proj"))
        if sizes.family == "qwen3":
            queries = self._head_norm(queries, f"{prefix}.q_norm.weight")
            keys = self._head_norm(keys, f"{prefix}.k_norm.weight")
        inputs = [self._wide(rows) for rows in (queries, keys, values)]
        memory = [past("keys", index), past("values", index)]
        for name in memory:
            shape: list[Dim] = ["batch", sizes.kv_heads, "room", sizes.head_dim]
            graph.input(name, "float32", shape)
            graph.output(present(name), "float32", shape)
        graph.ops(
            "GroupQueryAttention",
            [*inputs, *memory, LENGTHS, TOTAL, "cos", "sin"],
            [f"{prefix}.mixed", *map(present, memory)],
            domain=MICROSOFT,
            num_heads=sizes.heads,
            kv_num_heads=sizes.kv_heads,
            do_rotary=1,
        )
        width = graph.constant(np.array([-1, sizes.heads * sizes.head_dim]), "mixed_rows")
        mixed = graph.op("Reshape", f"{prefix}.mixed", width)
        return self._linear(
            mixed, f"{prefix}.o_proj", self._source.linear(f"{prefix}.o_proj.weight")
        )

    def _mlp(self, prefix: str, x: str) -> str:
        graph, prefix = self._graph, f"{prefix}.mlp"
        gate, up = self._parallel(x, prefix, ("gate_proj", "up_proj"))
        opened = graph.op("QuickGelu", gate, domain=MICROSOFT, alpha=1.0)  # x * sigmoid(x)
        product = graph.op("Mul", opened, up)
        return self._linear(
            product, f"{prefix}.down_proj", self._source.linear(f"{prefix}.down_proj.weight")
        )

    def _parallel(self, x: str, prefix: str, names: Sequence[str]) -> list[str]:
        """The outputs of several layers on `x`."""
        graph, labels = self._graph, [f"{prefix}.{name}" for name in names]
        layers = [self._source.linear(f"{label}.weight") for label in labels]
        if sum(math.prod(layer.shape) for layer in layers) > _JOINED_WEIGHTS:
            pairs = zip(labels, layers, strict=True)
            return [self._linear(x, label, layer) for label, layer in pairs]
        together = self._linear(x, f"{prefix}.{'+'.join(names)}", joined(layers))
        widths = graph.constant(np.array([layer.shape[0] for layer in layers]))
        graph.ops("Split", [together, widths], labels, axis=-1)
        return labels

    def _head_norm(self, x: str, name: str) -> str:
        """Each head `[.., head_dim]` normed alone."""
        graph = self._graph
        heads = graph.constant(np.array([0, -1, self._sizes.head_dim]), "heads")
        normed = self.norm(graph.op("Reshape", x, heads), name)
        return graph.op("Reshape", normed, graph.constant(np.array([0, -1]), "whole"))

    def _wide(self, x: str) -> str:
        """`[B * L, n]` as `[B, L, n]`."""
        last = self._graph.constant(np.array([-1]), "last")
        if not hasattr(self, "_wide_shape"):
            self._wide_shape = self._graph.op("Concat", self._lead, last, axis=0)
        return self._graph.op("Reshape", x, self._wide_shape)

    def _linear(self, x: str, name: str, layer: Linear) -> str:
        return linear(self._graph, x, name, layer, accuracy_level=self._accuracy_level)


def check_rotary(sizes: DecoderSizes) -> None:
    """Raises CheckpointError for rotary positions whose frequencies are scaled: they would be taken
    for plain ones, silently."""
    if sizes.rope_type != "default":
        raise CheckpointError(
            f"config.json: rotary positions of the type {sizes.rope_type!r} are not those of the "
            "engine onnx: take engine='torch'"
        )


def _rotary(sizes: DecoderSizes) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of every position, float32 `[max_positions, head_dim / 2]`."""
    steps = np.arange(0, sizes.head_dim, 2, dtype=np.float32) / sizes.head_dim
    frequencies = (1 / np.float32(sizes.rope_theta) ** steps).astype(np.float32)
    angles = np.arange(sizes.max_positions, dtype=np.float32)[:, None] * frequencies
    return np.cos(angles), np.sin(angles)

"""The graphs that are written here are those that ONNX Runtime reads."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.engine.onnx.graph import MICROSOFT, Graph


def _session(graph: Graph) -> ort.InferenceSession:
    options = ort.SessionOptions()
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in graph.given.values()]
    options.add_external_initializers(list(graph.given), values)
    return ort.InferenceSession(graph.model(), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("kind", ["constant", "given"])
def test_weights_come_from_the_graph_or_from_memory(kind: str) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 4)).astype(np.float32)
    graph = Graph("product")
    x = graph.input("x", "float32", ["rows", 6])
    w = graph.constant(weight) if kind == "constant" else graph.give("w", weight)
    graph.op("MatMul", x, w, name="y")
    graph.output("y", "float32", ["rows", 4])
    values = rng.normal(size=(3, 6)).astype(np.float32)
    (y,) = _session(graph).run(None, {"x": values})
    np.testing.assert_allclose(y, values @ weight, rtol=1e-5, atol=1e-6)


def test_attributes_of_every_kind_and_missing_inputs_arrive() -> None:
    graph = Graph("attributes")
    x = graph.input("x", "float32", [1, 2, "n"])
    lowest = graph.constant(np.float32(-0.5), "lowest")
    clipped = graph.op("Clip", x, lowest)  # no upper bound
    padded = graph.op("Transpose", clipped, perm=[0, 2, 1])
    graph.op("LeakyRelu", padded, name="y", alpha=0.25)
    graph.output("y", "float32", [1, "n", 2])
    values = np.array([[[-1.0, 2.0], [-0.25, 3.0]]], np.float32)
    (y,) = _session(graph).run(None, {"x": values})
    np.testing.assert_allclose(y, [[[-0.125, -0.0625], [2.0, 3.0]]])


@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_of_any_size_arrive(value: int) -> None:
    graph = Graph("numbers")
    graph.op("Constant", name="y", value_int=value)
    graph.output("y", "int64", [])
    (y,) = _session(graph).run(None, {})
    assert int(y) == value


def test_four_bit_weights_are_low_nibble_first() -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 16, size=(3, 2, 32)).astype(np.uint8)  # [N, blocks, weights]
    scales = rng.uniform(0.1, 1.0, size=(3, 2)).astype(np.float32)
    graph = Graph("blocks")
    x = graph.input("x", "float32", ["rows", 64])
    w = graph.give("codes", codes[..., 0::2] | codes[..., 1::2] << 4)
    s = graph.give("scales", scales)
    sizes = {"K": 64, "N": 3, "bits": 4, "block_size": 32, "accuracy_level": 1}
    graph.op("MatMulNBits", x, w, s, name="y", domain=MICROSOFT, **sizes)
    graph.output("y", "float32", ["rows", 3])
    values = rng.normal(size=(5, 64)).astype(np.float32)
    (y,) = _session(graph).run(None, {"x": values})
    weights = ((codes.astype(np.float32) - 8) * scales[..., None]).reshape(3, 64)
    np.testing.assert_allclose(y, values @ weights.T, rtol=1e-4, atol=1e-4)

"""Every form of a linear layer computes what numpy computes from the same weights."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.engine.onnx.graph import Graph
from moss_audio.engine.onnx.weights import Blocks, Linear, LowRank, joined, linear, quantize

RNG = np.random.default_rng(0)


def _normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def _layer(
    n: int, k: int, bits: int, *, rank: int = 0, bias: bool = False, block: int = 32
) -> Linear:
    weight = _normal(n, k)
    return Linear(
        weight if bits == 32 else quantize(weight, bits, block),
        LowRank(_normal(rank, k), _normal(n, rank)) if rank else None,
        _normal(n) if bias else None,
    )


def _run(layer: Linear, x: np.ndarray, accuracy_level: int) -> np.ndarray:
    graph = Graph("layer")
    graph.input("x", "float32", ["rows", x.shape[1]])
    y = linear(graph, "x", "layer", layer, accuracy_level=accuracy_level)
    graph.output(y, "float32", ["rows", layer.shape[0]])
    options = ort.SessionOptions()
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in graph.given.values()]
    options.add_external_initializers(list(graph.given), values)
    session = ort.InferenceSession(graph.model(), options, providers=["CPUExecutionProvider"])
    out: np.ndarray = session.run(None, {"x": x})[0]
    return out


@pytest.mark.parametrize("bits", [4, 8, 32])
@pytest.mark.parametrize("rank", [0, 5])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("blocks", [1, 3, 8])
def test_a_graph_computes_what_the_weights_say(
    bits: int, rank: int, bias: bool, rows: int, blocks: int
) -> None:
    layer = _layer(24, 32 * blocks, bits, rank=rank, bias=bias)
    x = _normal(rows, 32 * blocks)
    expected = x @ layer.rows().T + (0 if layer.bias is None else layer.bias)
    exact = _run(layer, x, 1)
    np.testing.assert_allclose(exact, expected, atol=2e-4, rtol=1e-4)
    # in int8 each input is rounded to 1/127 of the largest of its block
    bound = 0.02 * np.sqrt(32 * blocks) + 1e-3
    assert np.abs(_run(layer, x, 4) - expected).max() < 3 * bound


@pytest.mark.parametrize("bits", [4, 8])
def test_blocks_may_be_larger(bits: int) -> None:
    one = joined([_layer(n, 192, bits, block=64) for n in (16, 8)])
    assert isinstance(one.weight, Blocks)
    assert (one.weight.bits, one.shape, one.weight.scales.shape) == (bits, (24, 192), (24, 3))
    x = _normal(5, 192)
    np.testing.assert_allclose(_run(one, x, 1), x @ one.rows().T, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("bits", [4, 8, 32])
@pytest.mark.parametrize("rank", [0, 3])
def test_joined_layers_are_the_layers_one_after_the_other(bits: int, rank: int) -> None:
    layers = [_layer(n, 96, bits, rank=rank, bias=True) for n in (8, 16, 4)]
    one = joined(layers)
    np.testing.assert_allclose(
        one.rows(), np.concatenate([layer.rows() for layer in layers]), atol=1e-5
    )
    assert one.bias is not None
    assert one.bias.shape == (28,)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 6),
    st.sampled_from([1e-4, 1.0, 50.0]),
    st.sampled_from([0.0, 2.0, -0.5]),
    st.integers(0, 2**31),
)
def test_rounding_stays_within_a_step(
    n: int, blocks: int, scale: float, offset: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = ((rng.normal(size=(n, 32 * blocks)) + offset) * scale).astype(np.float32)
    grouped = weight.reshape(n, blocks, 32)
    span = np.maximum(grouped.max(2), 0) - np.minimum(grouped.min(2), 0)
    for bits, step in ((4, span / 15), (8, np.abs(grouped).max(2) / 127)):
        blocks_of = quantize(weight, bits)
        assert blocks_of.bits == bits
        assert blocks_of.shape == weight.shape
        error = (blocks_of.rows(np.s_[:]) - weight).reshape(grouped.shape)
        # a whole step at an end of the range, half a step inside it; the mean says which is usual
        rms = np.sqrt((error**2).mean(2))
        assert (rms <= 0.6 * step + 1e-12).all()


def test_four_bits_of_normal_weights_lose_under_eight_per_cent() -> None:
    """Beside 8.5 % with the plain range, and 8.1 without zero points."""
    weight = _normal(256, 512)
    error = quantize(weight, 4).rows(np.s_[:]) - weight
    assert np.sqrt((error**2).mean()) < 0.079


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_and_single_rows(bits: int) -> None:
    blocks = quantize(np.zeros((3, 64), np.float32), bits)
    assert not blocks.rows(np.s_[:]).any()
    weight = _normal(50, 64)
    some = np.array([3, 3, 49])
    np.testing.assert_array_equal(
        quantize(weight, bits).rows(some), quantize(weight, bits).rows(np.s_[:])[some]
    )


def test_other_forms_are_refused() -> None:
    with pytest.raises(ValueError, match="3 x 40"):
        quantize(_normal(3, 40), 4)
    with pytest.raises(ValueError, match="5 bits"):
        quantize(_normal(3, 64), 5)

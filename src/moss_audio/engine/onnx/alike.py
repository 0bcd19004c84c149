"""Whether ONNX Runtime computes a row of a product alone as it does beside others."""

from __future__ import annotations

import functools

import numpy as np

from moss_audio.engine.onnx.graph import Graph
from moss_audio.engine.onnx.session import session
from moss_audio.engine.onnx.weights import Linear, linear, quantize

_N, _K = 64, 1024


@functools.cache
def single_differs(bits: int, block: int, accuracy_level: int) -> bool:
    """Whether a single row of a product in blocks of 4 or 8 bits has other digits than the same row
    among several. Some kernels (4 bits on x86 without AVX-512, and in blocks of 64 with it) add in
    another order for one row than for more; among two and more a row is always the same."""
    draw = np.random.default_rng(0)
    weight = quantize(draw.standard_normal((_N, _K)).astype(np.float32), bits, block)
    rows = draw.standard_normal((2, _K)).astype(np.float32)
    graph = Graph("probe")
    x = graph.input("x", "float32", ["rows", _K])
    out = linear(graph, x, "weight", Linear(weight), accuracy_level=accuracy_level)
    graph.output(out, "float32", ["rows", _N])
    probe = session(graph, 1, optimize=False)
    (both,), (alone,) = (probe.run([out], {"x": given}) for given in (rows, rows[:1]))
    return not np.array_equal(both[:1], alone)

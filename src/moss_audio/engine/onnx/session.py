"""Makes sessions of ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

from moss_audio.engine.allocator import give_back
from moss_audio.engine.onnx.graph import Graph

_SPINNING = "session.intra_op.allow_spinning"
_ERROR = 3  # severity from which ONNX Runtime logs


def session(graph: Graph, threads: int, *, optimize: bool = True) -> ort.InferenceSession:
    """A session on the CPU, of a graph that was built here. Its threads sleep while they have
    nothing to do, and memory that a run no longer needs goes back. The graph's tensors are given
    away: it makes one session.

    Args:
        threads: how many compute one operator together.
        optimize: let ONNX Runtime look for a faster form of the graph, which takes time.
    """
    options = _options(threads)
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in graph.given.values()]
    options.add_external_initializers(list(graph.given), values)
    made = ort.InferenceSession(graph.model(), options, providers=["CPUExecutionProvider"])
    del values, options
    graph.given.clear()
    give_back()
    return made


def file_session(path: Path, threads: int) -> ort.InferenceSession:
    """The same from a file that others made."""
    return ort.InferenceSession(str(path), _options(threads), providers=["CPUExecutionProvider"])


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERROR
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry(_SPINNING, "0")
    return options

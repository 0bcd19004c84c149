"""Makes a session of ONNX Runtime from a graph that was built here."""

from __future__ import annotations

import onnxruntime as ort

from moss_audio.engine.onnx.graph import Graph

_SPINNING = "session.intra_op.allow_spinning"
_ERROR = 3  # severity from which ONNX Runtime logs


def session(graph: Graph, threads: int, *, arena: bool = True) -> ort.InferenceSession:
    """A session on the CPU. Its threads sleep while they have nothing to do.

    Args:
        threads: how many compute one operator together.
        arena: keep freed memory for the next run, which is faster; without it memory goes back.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERROR
    options.enable_cpu_mem_arena = arena
    options.add_session_config_entry(_SPINNING, "0")
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in graph.given.values()]
    options.add_external_initializers(list(graph.given), values)
    return ort.InferenceSession(graph.model(), options, providers=["CPUExecutionProvider"])

"""A session of a voice's ONNX file that also gives one of its inner tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moss_audio.engine.onnx import proto


def open_graph(path: Path, tensor: str) -> Any:
    """A session of onnxruntime on one thread, so that it repeats, with `tensor` as last output."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = proto.with_output(path.read_bytes(), tensor)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

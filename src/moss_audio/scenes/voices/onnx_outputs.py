"""Expose an inner tensor of an ONNX file as an output, without the onnx package.

Protocol buffers merge a repeated message field: a second `graph` field appended to a ModelProto
adds its `output` entries to the first one's (protobuf encoding guide, "Last One Wins").
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_MODEL_GRAPH = b"\x3a"  # ModelProto.graph = 7, length-delimited
_GRAPH_OUTPUT = b"\x62"  # GraphProto.output = 12, length-delimited
_VALUE_NAME = b"\x0a"  # ValueInfoProto.name = 1, length-delimited


def open_graph(path: Path, tensor: str) -> Any:
    """A session of onnxruntime on one thread, so that it repeats, with `tensor` as last output."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = _with_output(path, tensor)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _with_output(path: Path, tensor: str) -> bytes:
    """The model in `path` with `tensor` (its name in the graph) as one more, last output."""
    name = tensor.encode()
    value = _VALUE_NAME + _varint(len(name)) + name
    graph = _GRAPH_OUTPUT + _varint(len(value)) + value
    return path.read_bytes() + _MODEL_GRAPH + _varint(len(graph)) + graph


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)

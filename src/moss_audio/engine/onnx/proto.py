"""The few messages of ONNX's file format that a graph needs, as protocol-buffer bytes.

Written here because the package `onnx` is large and its own protobuf runtime is needed for nothing
else. Field numbers are those of `onnx.proto` (IR version 10).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

IR_VERSION = 10
OPSETS = {"": 21, "com.microsoft": 1}  # ONNX's own operators, and ONNX Runtime's
_DTYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10,
}  # fmt: skip
_SAFETENSORS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "U8": "uint8"}
_EXTERNAL = 1  # TensorProto.DataLocation

Dim = int | str  # a number, or the name of a size that is known when the graph runs
Attribute = int | float | str | Sequence[int]


def element_type(dtype: np.dtype | type | str) -> int:
    """ONNX's number of an element type. Raises KeyError for one that no graph here uses."""
    return _DTYPES[np.dtype(dtype).name]


@lru_cache(4096)  # tags, lengths and sizes come again and again
def _varint(value: int) -> bytes:
    value &= 2**64 - 1  # negative numbers are stored as 64-bit two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _numbers(field: int, values: Iterable[int]) -> bytes:
    return _bytes(field, b"".join(map(_varint, values)))


def tensor(name: str, array: np.ndarray) -> bytes:
    """A `TensorProto` that holds its values."""
    dims = _numbers(1, array.shape)
    kind = _number(2, element_type(array.dtype))
    return dims + kind + _bytes(8, name) + _bytes(9, np.ascontiguousarray(array).tobytes())


def stored_tensor(
    name: str, dtype: np.dtype | type | str, shape: Sequence[int], file: str, offset: int, size: int
) -> bytes:
    """A `TensorProto` whose `size` bytes lie in a file beside the graph, from `offset` on."""
    where = {"location": file, "offset": str(offset), "length": str(size)}
    entries = (_bytes(13, _bytes(1, key) + _bytes(2, value)) for key, value in where.items())
    head = _numbers(1, shape) + _number(2, element_type(dtype)) + _bytes(8, name)
    return head + b"".join(entries) + _number(14, _EXTERNAL)


def node(
    op: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    name: str,
    domain: str,
    attributes: Mapping[str, Attribute],
) -> bytes:
    """A `NodeProto`; an input called "" is left out."""
    out = b"".join(_bytes(1, one) for one in inputs) + b"".join(_bytes(2, one) for one in outputs)
    out += _bytes(3, name) + _bytes(4, op)
    out += b"".join(_bytes(5, _attribute(key, value)) for key, value in attributes.items())
    return out + (_bytes(7, domain) if domain else b"")


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        stored, kind = _number(3, value), 2
    elif isinstance(value, float):
        stored, kind = _varint(2 << 3 | 5) + struct.pack("<f", value), 1
    elif isinstance(value, str):
        stored, kind = _bytes(4, value), 3
    else:
        stored, kind = _numbers(8, value), 7
    return _bytes(1, name) + stored + _number(20, kind)


def value_info(name: str, dtype: np.dtype | type | str, shape: Sequence[Dim]) -> bytes:
    """A `ValueInfoProto`: name, type and shape of an input or output."""
    dims = (_number(1, dim) if isinstance(dim, int) else _bytes(2, dim) for dim in shape)
    shape_proto = b"".join(_bytes(1, dim) for dim in dims)
    tensor_type = _number(1, element_type(dtype)) + _bytes(2, shape_proto)
    return _bytes(1, name) + _bytes(2, _bytes(1, tensor_type))


def with_output(model: bytes, tensor: str) -> bytes:
    """A `ModelProto` with one of its graph's tensors as one more, last output: protocol buffers
    merge a message that comes twice, so a second graph adds its outputs to those of the first."""
    return model + _bytes(7, _bytes(12, _bytes(1, tensor)))


def model(
    name: str,
    *,
    nodes: Iterable[bytes],
    tensors: Iterable[bytes],
    inputs: Iterable[bytes],
    outputs: Iterable[bytes],
) -> bytes:
    """A `ModelProto` of one graph."""
    graph = b"".join(_bytes(1, one) for one in nodes) + _bytes(2, name)
    graph += b"".join(_bytes(5, one) for one in tensors)
    graph += b"".join(_bytes(11, one) for one in inputs)
    graph += b"".join(_bytes(12, one) for one in outputs)
    opsets = (_bytes(1, domain) + _number(2, version) for domain, version in OPSETS.items())
    head = _number(1, IR_VERSION) + _bytes(2, "moss_audio") + _bytes(7, graph)
    return head + b"".join(_bytes(8, opset) for opset in opsets)


@dataclass(frozen=True)
class StoredTensor:
    """Where the bytes of a tensor lie: `size` of them from `offset` on in the file `file`."""

    dtype: str
    shape: tuple[int, ...]
    file: str
    offset: int
    size: int


def places(path: Path) -> dict[str, StoredTensor]:
    """Where each tensor of a safetensors file lies, by its name; no value is read.

    Raises:
        OSError, ValueError, KeyError: if it is no such file, or holds a type that no graph uses.
    """
    with path.open("rb") as file:
        head = file.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length > path.stat().st_size - 8:
            raise ValueError("it has no header")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    out = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = _SAFETENSORS[entry["dtype"]]
        out[name] = StoredTensor(
            dtype, tuple(entry["shape"]), path.name, 8 + length + begin, end - begin
        )
    return out

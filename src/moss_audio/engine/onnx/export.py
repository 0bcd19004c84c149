"""Exports a checkpoint for the light engine: linear layers in blocks of 4 or 8 bits.

    config.json        the checkpoint's, and under "exported" the format, bits and size of a block
    tokenizer.json, processor_config.json, ...    the checkpoint's
    model-*.safetensors    by the released names: `NAME:codes`, `NAME:scales` (and `NAME:zeros` at
                       4 bits) of a layer in blocks, as MatMulNBits takes them; all else float32

At 4 bits only the decoder's layers have 4; encoder, adapter, mergers, embedding and head have 8.
Weights are read, quantised and written some rows at a time, so that memory does not grow with
the model.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moss_audio.engine.onnx.decoder import check_rotary
from moss_audio.engine.onnx.nano import NanoSource
from moss_audio.engine.onnx.source import Tensors
from moss_audio.engine.onnx.weights import quantize
from moss_audio.errors import CheckpointError, MossAudioError
from moss_audio.files import MODEL_SUFFIXES
from moss_audio.model.checkpoint import (
    EXPORTED,
    INDEX_FILE,
    PARTS_FILE,
    PROCESSOR_FILE,
    Checkpoint,
)
from moss_audio.model.nano.parts import EMBEDDING
from moss_audio.model.output import replaced_folder
from moss_audio.model.weights import check_weights, expected_shapes

FORMAT = "moss_audio.blocks.v1"
BLOCK = 64  # faster than 32 in ONNX Runtime, and 0.5 bits a weight less; a little less exact
BITS = (4, 8, 32)
_DECODER = "language_model.layers."
_SHARD_BYTES = 10**9
_JOB_WEIGHTS = 2**22  # quantised by one thread at a time
_DTYPES = {"uint8": "U8", "float32": "F32"}

Rows = Callable[[str, slice], np.ndarray]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class _Stored:
    """A tensor of the exported files."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class _Weight:
    """A weight of the checkpoint, and in how many bits it is stored."""

    name: str
    shape: tuple[int, ...]
    bits: int

    def stored(self) -> list[_Stored]:
        if self.bits == 32:
            return [_Stored(self.name, "float32", self.shape)]
        n, k = self.shape
        blocks = k // BLOCK
        tensors = [
            _Stored(f"{self.name}:codes", "uint8", (n, blocks, BLOCK * self.bits // 8)),
            _Stored(f"{self.name}:scales", "float32", (n, blocks)),
        ]
        if self.bits == 4:
            tensors.append(_Stored(f"{self.name}:zeros", "uint8", (n, (blocks + 1) // 2)))
        return tensors

    @property
    def n_bytes(self) -> int:
        return sum(stored.n_bytes for stored in self.stored())

    def jobs(self) -> Iterator[slice]:
        """Rows that are written at once."""
        n = self.shape[0]
        step = max(1, _JOB_WEIGHTS * n // math.prod(self.shape))
        for first in range(0, n, step):
            yield slice(first, min(first + step, n))

    def write(self, rows: slice, read: Rows, into: Mapping[str, np.ndarray]) -> int:
        """Store some rows; returns how many weights they are."""
        values = read(self.name, rows)
        if self.bits == 32:
            into[self.name][rows] = values
        else:
            blocks = quantize(values, self.bits, BLOCK)
            into[f"{self.name}:codes"][rows] = blocks.codes
            into[f"{self.name}:scales"][rows] = blocks.scales
            if blocks.zeros is not None:
                into[f"{self.name}:zeros"][rows] = blocks.zeros
        return values.size


def export(
    checkpoint: Checkpoint,
    output: Path,
    *,
    bits: int = 4,
    threads: int = 1,
    report: Progress = lambda share: None,
) -> Path:
    """Write a folder that the light engine loads; it appears whole or not at all.

    Args:
        output: what is there of an earlier result is replaced.
        bits: of the decoder's layers, 4 or 8 (all else has 8), or 32 for float32.
        threads: weights are quantised by so many.
        report: called with the share that is done, 0 to 1.

    Raises:
        CheckpointError: if the checkpoint is an export already, damaged or incomplete, or has
            rotary positions that the light engine has not.
        MossAudioError: if the folder cannot be written, or its disk is too small.
    """
    if bits not in BITS:
        raise MossAudioError(f"bits {bits} is not one of {', '.join(map(str, BITS))}")
    if checkpoint.layout == "exported":
        raise CheckpointError(
            f"{checkpoint.folder}: is an export itself; export the checkpoint that it was made from"
        )
    if output.exists() and output.samefile(checkpoint.folder):
        raise MossAudioError(f"{output}: holds the checkpoint itself; name another folder")
    check_rotary(checkpoint.sizes.decoder)
    check_weights(checkpoint)
    shapes, read = _reader(checkpoint)
    weights = [_Weight(name, shape, _bits_of(name, shape, bits)) for name, shape in shapes.items()]
    _check_room(output, sum(weight.n_bytes for weight in weights))
    total = sum(math.prod(shape) for shape in shapes.values())
    with replaced_folder(output) as folder:
        _copy_settings(checkpoint, folder, bits)
        for done in _write_weights(folder, weights, read, threads):
            report(done / total)
    return output


def _write_weights(
    folder: Path, weights: Sequence[_Weight], read: Rows, threads: int
) -> Iterator[int]:
    """Write all shards and their index; yields how many weights are written so far."""
    shards = list(_shards(weights))
    weight_map: dict[str, str] = {}
    done = 0
    with _workers(threads) as pool:
        for number, shard in enumerate(shards, 1):
            name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            tensors = [stored for weight in shard for stored in weight.stored()]
            weight_map |= {stored.name: name for stored in tensors}
            into = _new_file(folder / name, tensors)
            jobs = [
                pool.submit(weight.write, rows, read, into)
                for weight in shard
                for rows in weight.jobs()
            ]
            for job in as_completed(jobs):
                done += job.result()
                yield done
    size = sum(weight.n_bytes for weight in weights)
    _write_json(folder / INDEX_FILE, {"metadata": {"total_size": size}, "weight_map": weight_map})


def _reader(checkpoint: Checkpoint) -> tuple[dict[str, tuple[int, ...]], Rows]:
    """The shapes of all weights that are stored, and how rows of one are read as float32."""
    sizes = checkpoint.sizes
    expected = expected_shapes(sizes)
    if sizes.tied:
        del expected["lm_head.weight"]
    if checkpoint.layout == "released":
        return expected, Tensors(checkpoint.weight_files).floats
    whole = _merged(NanoSource(checkpoint.folder), expected)
    return expected, lambda name, rows: whole[name][rows]


def _merged(source: NanoSource, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The weights of an embedded checkpoint in full, its updates and appended rows in place."""
    whole = {
        name: source.linear(name).rows() if len(shape) == 2 else source.array(name)
        for name, shape in shapes.items()
    }
    whole[EMBEDDING] = np.concatenate([whole[EMBEDDING], *source.rows_beyond()])
    return whole


def _bits_of(name: str, shape: tuple[int, ...], bits: int) -> int:
    """In how many bits a weight is stored: vectors and convolutions are never rounded."""
    if len(shape) != 2 or shape[1] % BLOCK:
        return 32
    return bits if name.startswith(_DECODER) else max(bits, 8)


def _shards(weights: Sequence[_Weight]) -> Iterator[list[_Weight]]:
    shard: list[_Weight] = []
    size = 0
    for weight in weights:
        if shard and size + weight.n_bytes > _SHARD_BYTES:
            yield shard
            shard, size = [], 0
        shard.append(weight)
        size += weight.n_bytes
    yield shard


def _new_file(path: Path, tensors: Sequence[_Stored]) -> dict[str, np.ndarray]:
    """A safetensors file of zeros; its tensors are mapped into memory, to be written there."""
    header: dict[str, object] = {"__metadata__": {"format": FORMAT}}
    end = 0
    for one in tensors:
        begin, end = end, end + one.n_bytes
        header[one.name] = {
            "dtype": _DTYPES[one.dtype], "shape": one.shape, "data_offsets": [begin, end],
        }  # fmt: skip
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    data = np.memmap(path, np.uint8, "r+", offset=8 + len(text))
    out = {}
    end = 0
    for one in tensors:
        begin, end = end, end + one.n_bytes
        out[one.name] = data[begin:end].view(one.dtype).reshape(one.shape)
    return out


def _check_room(output: Path, needed: int) -> None:
    parent = next(path for path in output.absolute().parents if path.exists())
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise MossAudioError(
            f"{output}: {needed / 1e9:.1f} GB are needed, but {parent} has {free / 1e9:.1f} GB "
            "left: make room or name another folder"
        )


@contextmanager
def _workers(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that drop what is left to do when they are interrupted."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _copy_settings(checkpoint: Checkpoint, folder: Path, bits: int) -> None:
    """All files of the checkpoint but its weights; what it says of its use stays true."""
    for path in checkpoint.folder.iterdir():
        kept = path.suffix in MODEL_SUFFIXES and path.suffix != ".safetensors" and path.is_file()
        if kept and path.name not in (INDEX_FILE, PARTS_FILE):
            shutil.copyfile(path, folder / path.name)
    said = {"format": FORMAT, "bits": bits, "block": BLOCK, "times": checkpoint.times}
    _write_json(folder / "config.json", {**checkpoint.values, EXPORTED: said})
    processor = {**checkpoint.processor, **checkpoint.habits}
    _write_json(folder / PROCESSOR_FILE, processor)


def _write_json(path: Path, values: Mapping[str, object]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

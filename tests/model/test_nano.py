"""Nano's folder: fixed parts, trained parts, and the one model that they make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import torch

from moss_audio.errors import CheckpointError
from moss_audio.model.checkpoint import PARTS_FILE
from moss_audio.model.config import MossAudioConfig
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano import build
from moss_audio.model.nano import parts as nano
from moss_audio.model.nano.quantize import load_packed, save_packed

TARGET = "language_model.layers.1.self_attn.q_proj.weight"
PUBLIC_ROWS = 61  # the public table; three rows of audio ids follow it


def nano_config() -> MossAudioConfig:
    return tiny.config(
        audio=tiny.WHISPER_STEM,
        language={**tiny.LLAMA, "tie_word_embeddings": True},
        audio_token_id=61,
        audio_start_id=62,
        audio_end_id=63,
        architectures=["MossAudioModel"],
    )


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as `build` writes it, from random parts, with a merged LoRA in the trained file."""
    config = nano_config()
    model = MossAudioModel(config)
    tiny.scramble(model)
    state = model.state_dict()
    config.save_pretrained(tmp_path)
    encoder = {n: t for n, t in state.items() if n.startswith("audio_encoder.")}
    decoder = {n: t for n, t in state.items() if n.startswith("language_model.")}
    decoder[nano.EMBEDDING] = decoder[nano.EMBEDDING][:PUBLIC_ROWS]
    for name, tensors, bits in (
        (nano.ENCODER_FILE, encoder, 8),
        (nano.DECODER_FILE, decoder, 4),
    ):
        save_packed(
            tmp_path / name, {n: (t, 16 if t.ndim == 1 else bits) for n, t in tensors.items()}
        )
    generator = torch.Generator().manual_seed(1)
    trained = build.initial_trained(config, decoder[nano.EMBEDDING], generator)
    trained[TARGET + nano.LORA_UP] = normal(32, 2, seed=2)
    trained[TARGET + nano.LORA_DOWN] = normal(2, 32, seed=3)
    write_trained(tmp_path, trained)
    (tmp_path / PARTS_FILE).write_text(
        json.dumps({"fixed": [nano.ENCODER_FILE, nano.DECODER_FILE], "trained": nano.TRAINED_FILE})
    )
    return tmp_path


def write_trained(folder: Path, trained: dict[str, torch.Tensor]) -> None:
    save_packed(folder / nano.TRAINED_FILE, {n: (t, 16) for n, t in trained.items()})


def change_trained(folder: Path, **changes: torch.Tensor | None) -> None:
    trained = load_packed(folder / nano.TRAINED_FILE, torch.float32)
    for name, tensor in changes.items():
        if tensor is None:
            del trained[name]
        else:
            trained[name] = tensor
    write_trained(folder, trained)


def load_error(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        MossAudioModel.from_pretrained(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_assemble_merges_appends_and_ties() -> None:
    fixed = {nano.EMBEDDING: normal(5, 4), "w": normal(4, 4, seed=1), "same": normal(3, seed=2)}
    trained = {
        "w" + nano.LORA_UP: normal(4, 2, seed=3),
        "w" + nano.LORA_DOWN: normal(2, 4, seed=4),
        nano.AUDIO_ROWS: normal(3, 4, seed=5),
        "audio_adapter.gate_proj.weight": normal(2, 2, seed=6),
        "same": normal(3, seed=7),  # a fixed weight that was trained further
    }
    state = nano.assemble(fixed, trained, torch.float32)
    assert set(state) == {
        nano.EMBEDDING,
        nano.HEAD,
        "w",
        "same",
        "audio_adapter.gate_proj.weight",
    }
    delta = trained["w" + nano.LORA_UP] @ trained["w" + nano.LORA_DOWN]
    torch.testing.assert_close(state["w"], fixed["w"] + delta)
    assert torch.equal(state[nano.EMBEDDING][:5], fixed[nano.EMBEDDING])
    assert torch.equal(state[nano.EMBEDDING][5:], trained[nano.AUDIO_ROWS])
    assert state[nano.HEAD] is state[nano.EMBEDDING]
    assert torch.equal(state["same"], trained["same"])
    # the sum is rounded once, not its parts
    rounded = nano.assemble(fixed, trained, torch.bfloat16)
    assert torch.equal(rounded["w"], (fixed["w"] + delta).to(torch.bfloat16))
    assert all(tensor.dtype == torch.bfloat16 for tensor in rounded.values())


def test_assemble_names_what_does_not_fit() -> None:
    fixed = {nano.EMBEDDING: normal(5, 4), "w": normal(4, 4)}
    up, down = "w" + nano.LORA_UP, "w" + nano.LORA_DOWN
    for trained, named in (
        ({up: normal(4, 2)}, "w.lora_up has no w.lora_down"),
        ({up: normal(4, 2), down: normal(3, 4)}, "does not fit"),
        ({up: normal(4, 2), down: normal(2, 5)}, "does not fit"),
        ({"x" + nano.LORA_UP: normal(4, 2)}, "x.lora_up has no weight"),
        ({nano.AUDIO_ROWS: normal(3, 5)}, r"shape \[3, 5\], expected \[ids, 4\]"),
    ):
        with pytest.raises(CheckpointError, match=named):
            nano.assemble(fixed, trained, torch.float32)


def test_a_folder_of_parts_becomes_one_model(folder: Path) -> None:
    expected = nano.load_parts(folder, torch.bfloat16)
    model = MossAudioModel.from_pretrained(folder).eval()
    assert model.dtype == torch.bfloat16  # nano's default
    state = model.state_dict()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert model.get_input_embeddings().weight.shape[0] == PUBLIC_ROWS + 3
    clip = tiny.mel(130)
    ids = torch.tensor([[5, 62, *[61] * 17, 63, 6]])
    output = model.generate(input_ids=ids, **tiny.pad_clips([clip]), max_new_tokens=3)
    assert output.shape[1] > ids.shape[1]


@pytest.mark.parametrize("dtype", [torch.float32, "float32"])
def test_another_dtype_may_be_asked_for(folder: Path, dtype: torch.dtype | str) -> None:
    model = MossAudioModel.from_pretrained(folder, dtype=dtype)
    assert model.dtype == torch.float32
    expected = nano.load_parts(folder, torch.float32)
    assert torch.equal(model.state_dict()[TARGET], expected[TARGET])


def test_what_is_saved_from_nano_is_an_ordinary_checkpoint(folder: Path, tmp_path: Path) -> None:
    model = MossAudioModel.from_pretrained(folder)
    model.save_pretrained(tmp_path / "whole")
    assert (tmp_path / "whole" / "model.safetensors").is_file()
    again = MossAudioModel.from_pretrained(tmp_path / "whole", dtype="auto")
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_an_untrained_merger_is_silent() -> None:
    config = nano_config()
    trained = build.initial_trained(config, normal(61, 32), torch.Generator().manual_seed(0))
    assert not trained["deepstack_audio_merger_list.0.down_proj.weight"].any()
    assert trained["audio_adapter.down_proj.weight"].any()
    assert trained[nano.AUDIO_ROWS].shape == (3, 32)
    again = build.initial_trained(config, normal(61, 32), torch.Generator().manual_seed(0))
    assert all(torch.equal(again[name], tensor) for name, tensor in trained.items())


def test_missing_and_unfitting_parts_are_named(folder: Path) -> None:
    """They once became random weights with no more than a warning."""
    merger = "deepstack_audio_merger_list.1.up_proj.weight"
    whole = load_packed(folder / nano.TRAINED_FILE, torch.float32)
    change_trained(folder, **{merger: None})
    assert f"missing {merger}" in load_error(folder)
    change_trained(folder, **{merger: normal(3, 3)})
    assert f"{merger} has shape [3, 3]" in load_error(folder)
    write_trained(folder, {**whole, "extra": normal(2)})
    assert "unexpected extra" in load_error(folder)
    write_trained(folder, {n: t for n, t in whole.items() if n != nano.AUDIO_ROWS})
    assert f"{nano.EMBEDDING} has shape [61, 32], expected [64, 32]" in load_error(folder)
    (folder / nano.TRAINED_FILE).unlink()
    assert f"{folder / nano.TRAINED_FILE}: missing" in load_error(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"fixed": 3, "trained": "x"}'])
def test_a_damaged_list_of_parts_is_named(folder: Path, content: str) -> None:
    path = folder / PARTS_FILE
    path.write_text(content)
    assert f"{path}: damaged" in load_error(folder)


@pytest.mark.parametrize("window_s", [0, -3, True, "15", float("nan")])
def test_the_window_of_parts_is_seconds(folder: Path, window_s: Any) -> None:
    path = folder / PARTS_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "window_s": window_s}))
    assert f"{path}: window_s {window_s!r} must be a positive number" in load_error(folder)

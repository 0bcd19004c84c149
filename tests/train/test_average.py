"""The mean of checkpoints: exact, of packed and plain folders, refused where they do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import PARTS_FILE
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano import parts as nano
from moss_audio.model.nano.quantize import load_packed, save_packed
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.train.average import average
from moss_audio.train.export import PackedBits
from tests.train.conftest import write_model


def moved(source: Path, folder: Path, by: float) -> Path:
    """A copy whose trained weights are all higher by `by`."""
    shutil.copytree(source, folder)
    parts = load_packed(source / "trained.safetensors", torch.float32)
    save_packed(folder / "trained.safetensors", {n: (t + by, 16) for n, t in parts.items()})
    return folder


def plain(source: Path, folder: Path, by: float) -> Path:
    """The same model in the released layout, all weights higher by `by`."""
    model = MossAudioModel.from_pretrained(source, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by)
    model.save_pretrained(folder)
    MossAudioProcessor.from_pretrained(source).save_pretrained(folder)
    return folder


def test_packed_folders(model_folder: Path, tmp_path: Path) -> None:
    other = moved(model_folder, tmp_path / "other", 0.5)
    out = average([model_folder, other], tmp_path / "out", [3.0, 1.0], bits=PackedBits())
    before = load_packed(model_folder / "trained.safetensors", torch.float32)
    after = load_packed(out / "trained.safetensors", torch.float32)
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        torch.testing.assert_close(tensor, before[name] + 0.125, atol=2e-3, rtol=0)
    MossAudioModel.from_pretrained(out)  # complete
    assert {p.name for p in out.iterdir()} == {p.name for p in model_folder.iterdir()}


def test_plain_folders(model_folder: Path, tmp_path: Path) -> None:
    folders = [plain(model_folder, tmp_path / str(by), by) for by in (0.0, 0.25, 0.5)]
    out = average(folders, tmp_path / "out")
    mean = MossAudioModel.from_pretrained(out).state_dict()
    middle = MossAudioModel.from_pretrained(folders[1]).state_dict()
    torch.testing.assert_close(dict(mean), dict(middle), atol=1e-6, rtol=0)
    assert not (out / PARTS_FILE).exists()


def test_a_mean_may_take_the_place_of_one(model_folder: Path, tmp_path: Path) -> None:
    folder = moved(model_folder, tmp_path / "folder", 0.5)
    average([model_folder, folder], folder)
    weights = load_packed(folder / "trained.safetensors", torch.float32)
    before = load_packed(model_folder / "trained.safetensors", torch.float32)
    name = next(iter(before))
    torch.testing.assert_close(weights[name], before[name] + 0.25, atol=2e-3, rtol=0)


def test_what_does_not_fit_is_named(model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(MossAudioError, match="two checkpoints"):
        average([model_folder], out)
    with pytest.raises(MossAudioError, match="2 checkpoints, 1 weights"):
        average([model_folder, model_folder], out, [1.0])
    with pytest.raises(MossAudioError, match="not all 0"):
        average([model_folder, model_folder], out, [0.0, 0.0])
    with pytest.raises(MossAudioError, match="nowhere: no such folder"):
        average([model_folder, tmp_path / "nowhere"], out)
    with pytest.raises(MossAudioError, match="released layout"):
        average([plain(model_folder, tmp_path / "plain", 0.0), model_folder], out)
    rows = moved(model_folder, tmp_path / "rows", 0.0)
    parts = load_packed(rows / "trained.safetensors", torch.float32)
    name = next(n for n, t in parts.items() if t.ndim == 2)
    parts[name] = parts[name][:-1]
    save_packed(rows / "trained.safetensors", {n: (t, 16) for n, t in parts.items()})
    with pytest.raises(MossAudioError, match=f"rows: {name}"):
        average([model_folder, rows], out)
    built = write_model(tmp_path / "built")
    fixed = built / nano.ENCODER_FILE
    tensors = load_packed(fixed, torch.float32)
    save_packed(fixed, {n: (t + 1, 16) for n, t in tensors.items()})
    with pytest.raises(MossAudioError, match=nano.ENCODER_FILE):
        average([model_folder, built], out)
    assert not out.exists()

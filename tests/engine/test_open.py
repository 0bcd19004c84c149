"""Which engine opens a checkpoint, and what is said where that cannot be."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import moss_audio
from moss_audio.errors import CheckpointError, MissingDependencyError, MossAudioError
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.presets import preset


@pytest.fixture
def released(tmp_path: Path) -> Path:
    preset("micro").save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    hidden = ("torch", "transformers")

    def found(name: str, *more: Any) -> Any:
        return None if name in hidden else find(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", found)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"engine": "tensorflow"}, "engine='tensorflow': give one of onnx, torch"),
        ({"threads": 0}, "threads=0"),
        ({"threads": True}, "threads=True"),
        ({"threads": "2"}, "threads='2'"),
        ({"engine": "onnx", "device": "cuda"}, "engine='onnx' runs on the CPU"),
        ({"engine": "onnx", "dtype": "bfloat16"}, "engine='onnx' runs on the CPU"),
    ],
)
def test_what_cannot_be_is_one_line(options: dict[str, Any], named: str) -> None:
    with pytest.raises(MossAudioError) as caught:
        moss_audio.load("nano", **options)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("without_torch")
def test_a_checkpoint_that_takes_torch_names_the_extra_and_the_export(released: Path) -> None:
    with pytest.raises(MissingDependencyError) as caught:
        moss_audio.load(released)
    message = str(caught.value)
    assert "install the extra 'torch'" in message
    assert f"moss-audio export {released} FOLDER" in message
    assert "\n" not in message
    with pytest.raises(MissingDependencyError, match="the extra 'torch'") as caught:
        moss_audio.load("nano", engine="torch")
    assert "export" not in str(caught.value)
    with pytest.raises(MissingDependencyError, match="the extra 'torch'"):
        _ = Checkpoint.open(released).config


def test_torch_is_not_imported_to_look_for_a_gpu_where_none_shows() -> None:
    code = (
        "import sys; from moss_audio.engine.open import _torch_has_gpu; _torch_has_gpu();"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    shows = any(Path("/dev").glob("nvidia[0-9]*")) or sys.platform in ("darwin", "win32")
    assert done.stdout.strip() == str(shows)


@pytest.mark.usefixtures("without_torch")
def test_torch_is_not_asked_for_where_it_would_not_help(released: Path) -> None:
    """An exported folder named the extra 'torch'; once installed, it could not load the folder."""
    config = released / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps({**values, "exported": {"bits": 4}}))
    with pytest.raises(CheckpointError, match="light engine"):
        moss_audio.load(released, engine="torch")

"""An exported folder holds the checkpoint, rounded no more than its bits say, or is not there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from moss_audio.cli.app import build
from moss_audio.engine.onnx import export as module
from moss_audio.engine.onnx.encoder import OnnxEncoder
from moss_audio.engine.onnx.export import BLOCK, export
from moss_audio.engine.onnx.source import FileSource
from moss_audio.engine.onnx.weights import Blocks
from moss_audio.errors import CheckpointError, MossAudioError
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano.parts import load_parts
from moss_audio.model.weights import check_weights
from moss_audio.testing.micro import write_micro
from tests.embedded import NEEDS_NANO


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_micro(tmp_path_factory.mktemp("micro") / "thinking")


def source_of(folder: Path) -> FileSource:
    return FileSource(Checkpoint.open(folder).weight_files, BLOCK)


@pytest.mark.parametrize("bits", [4, 8, 32])
def test_weights_are_rounded_as_their_bits_say(bits: int, micro: Path, tmp_path: Path) -> None:
    out = export(Checkpoint.open(micro), tmp_path / "out", bits=bits, threads=2)
    source = source_of(out)
    for name, tensor in load_file(micro / "model.safetensors").items():
        expected = tensor.float().numpy()
        if expected.ndim != 2:
            np.testing.assert_array_equal(source.array(name), expected)
            continue
        layer = source.linear(name)
        stored = layer.weight.bits if isinstance(layer.weight, Blocks) else 32
        assert stored == (bits if name.startswith("language_model.layers.") else max(bits, 8))
        error = np.linalg.norm(layer.rows() - expected) / np.linalg.norm(expected)
        assert error <= {4: 0.1, 8: 0.01, 32: 0}[stored]
        bias = name.removesuffix("weight") + "bias"
        assert (layer.bias is not None) == (bias in source._tensors)


@NEEDS_NANO[0]
@NEEDS_NANO[1]
def test_nano_is_exported_with_its_updates_in_its_weights(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open("nano")
    out = export(checkpoint, tmp_path / "out", bits=32, threads=2)
    exported, source = Checkpoint.open(out), source_of(out)
    check_weights(exported)
    assert (exported.times, exported.window_s) == (checkpoint.times, checkpoint.window_s)
    assert exported.knows == checkpoint.knows
    for name, tensor in load_parts(checkpoint.folder, torch.float32).items():
        if name != "lm_head.weight":  # the embedding
            np.testing.assert_allclose(source.array(name), tensor.numpy(), atol=1e-6, rtol=1e-5)


def test_rows_that_several_threads_wrote_are_those_of_one(
    micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint.open(micro)
    whole = export(checkpoint, tmp_path / "whole")
    monkeypatch.setattr(module, "_JOB_WEIGHTS", 3000)
    monkeypatch.setattr(module, "_SHARD_BYTES", 400_000)
    parts = export(checkpoint, tmp_path / "parts", threads=3)
    assert len(Checkpoint.open(parts).weight_files) > 3
    one, other = source_of(whole)._tensors, source_of(parts)._tensors
    assert one.shapes == other.shapes
    for name in one.shapes:
        np.testing.assert_array_equal(one.raw(name), other.raw(name))


def test_an_export_is_a_checkpoint_that_knows_its_use(micro: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(micro, source)
    processor = json.loads((source / "processor_config.json").read_text())
    windows = {"window_s": 12.5, "task_windows_s": {"ask": 60.0}}
    (source / "processor_config.json").write_text(json.dumps({**processor, **windows}))
    out = export(Checkpoint.open(source), tmp_path / "out")
    checkpoint = Checkpoint.open(out)
    assert (checkpoint.layout, checkpoint.window_s) == ("exported", 12.5)
    assert checkpoint.task_windows_s == {"ask": 60.0}
    assert checkpoint.sizes == Checkpoint.open(source).sizes
    check_weights(checkpoint)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (out / name).read_bytes() == (source / name).read_bytes()


def test_a_folder_s_name_that_says_thinking_is_kept(micro: Path, tmp_path: Path) -> None:
    out = export(Checkpoint.open(micro), tmp_path / "out")
    assert Checkpoint.open(out).thinks


def test_torch_refuses_an_export(micro: Path, tmp_path: Path) -> None:
    out = export(Checkpoint.open(micro), tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"out: holds weights for the light engine"):
        MossAudioModel.from_pretrained(out)


@pytest.mark.parametrize("bits", [8, 32])
def test_the_encoder_runs_on_what_was_exported(bits: int, micro: Path, tmp_path: Path) -> None:
    sizes = Checkpoint.open(micro).sizes
    mel = np.random.default_rng(0).normal(size=(128, 1000)).astype(np.float32)
    whole = OnnxEncoder(sizes, source_of(micro), 1).encode(mel, 1000)
    out = export(Checkpoint.open(micro), tmp_path / "out", bits=bits)
    found = OnnxEncoder(sizes, source_of(out), 1).encode(mel, 1000)
    for ours, theirs in zip((found.embeds, *found.deepstack), (whole.embeds, *whole.deepstack),
                            strict=True):  # fmt: skip
        error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        assert error < (0.05 if bits == 8 else 1e-5)


def test_what_cannot_be_exported_is_refused_in_one_line(micro: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(micro)
    out = export(checkpoint, tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"out: is an export itself"):
        export(Checkpoint.open(out), tmp_path / "again")
    with pytest.raises(MossAudioError, match="bits 5 is not one of 4, 8, 32"):
        export(checkpoint, tmp_path / "five", bits=5)
    with pytest.raises(MossAudioError, match="holds the checkpoint itself"):
        export(checkpoint, micro)
    broken = tmp_path / "broken"
    shutil.copytree(micro, broken)
    config = json.loads((broken / "config.json").read_text())
    config["adapter_hidden_size"] *= 2
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"audio_adapter.gate_proj.weight has shape"):
        export(Checkpoint.open(broken), tmp_path / "none")
    config["adapter_hidden_size"] //= 2
    config["language_config"]["rope_parameters"] = {"rope_type": "yarn", "factor": 4.0}
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="rotary positions of the type 'yarn'"):
        export(Checkpoint.open(broken), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_disk_without_room_is_named_before_anything_is_written(
    micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(MossAudioError, match=r"GB are needed, but .* has 0\.0 GB left"):
        export(Checkpoint.open(micro), tmp_path / "deep" / "out")
    assert not (tmp_path / "deep").exists()


def test_an_interrupted_export_leaves_what_was_there(micro: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(micro)
    out = export(checkpoint, tmp_path / "out", bits=8)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def stop(share: float) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    for target in (out, tmp_path / "new"):
        with pytest.raises(KeyboardInterrupt):
            export(checkpoint, target, report=stop)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_command_replaces_only_what_it_is_told_to(micro: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = CliRunner().invoke
    first = run(build(), ["export", str(micro), str(out), "--bits", "8"])
    assert (first.exit_code, first.stdout) == (0, f"{out}\n")
    again = run(build(), ["export", str(micro), str(out)])
    assert again.exit_code == 1
    assert "add --overwrite" in again.output
    assert run(build(), ["export", str(micro), str(out), "--overwrite"]).exit_code == 0
    assert Checkpoint.open(out).exported["bits"] == 4

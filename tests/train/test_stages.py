"""Alignment and joint training end to end, on a model of a few thousand weights."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from moss_audio.errors import MossAudioError
from moss_audio.model import nano
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.quantize import load_packed
from moss_audio.scenes.reader import Scene, load_scenes
from moss_audio.train import align, sft
from moss_audio.train.loop import Stage, load_checkpoint
from moss_audio.train.samples import IGNORE, Batch, make_sample, pack
from moss_audio.train.setup import load_for_training

WriteConfig = Callable[..., Path]
ALIGN_AND_SFT = pytest.mark.parametrize("stage", [align, sft], ids=["align", "sft"])


def _output(stage: Any, tmp_path: Path, name: str = "out") -> dict[str, str]:
    return {} if stage is align else {"output": str(tmp_path / name)}


def _trained(folder: Path) -> dict[str, torch.Tensor]:
    return load_packed(folder / nano.TRAINED_FILE, torch.float32)


def _killed_at(step: int) -> Callable[[Path], Callable[[str], None]]:
    """In the place of `log_to`: a log that sends this process SIGTERM at a step."""

    def log(line: str) -> None:
        if line.startswith(f"step {step}/"):
            os.kill(os.getpid(), signal.SIGTERM)

    return lambda path: log


@ALIGN_AND_SFT
def test_kill_and_resume_gives_the_weights_of_an_unbroken_run(
    stage: Any,
    write_config: WriteConfig,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Alignment once forgot, when resumed, that it had scaled the mergers before the first step."""
    fresh = (model_folder / nano.TRAINED_FILE).read_bytes()
    whole = write_config("whole", **_output(stage, tmp_path, "a"))
    assert stage.main(whole)
    folder = model_folder if stage is align else tmp_path / "a"
    expected = _trained(folder)
    (model_folder / nano.TRAINED_FILE).write_bytes(fresh)

    parts = write_config("parts", **_output(stage, tmp_path, "b"))
    with monkeypatch.context() as patch:
        patch.setattr(stage, "log_to", _killed_at(3))
        assert stage.main(parts) is False
    assert load_checkpoint(tmp_path / "run-parts" / "last.safetensors")[1]["step"] == 3
    assert (model_folder / nano.TRAINED_FILE).read_bytes() == fresh  # nothing half done is written
    assert stage.main(parts) is True
    resumed = _trained(model_folder if stage is align else tmp_path / "b")
    assert resumed.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(resumed[name], tensor), name
    one, two = (
        load_checkpoint(tmp_path / run / "last.safetensors") for run in ("run-whole", "run-parts")
    )
    assert one[1] == two[1]
    for name, tensor in one[0].items():
        assert torch.equal(two[0][name], tensor), name


@ALIGN_AND_SFT
def test_frozen_parts_stay_bit_identical_and_trained_ones_move(
    stage: Any,
    write_config: WriteConfig,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[MossAudioModel] = []

    def load(folder: Path) -> Any:
        found = load_for_training(folder)
        kept.append(found[0])
        return found

    monkeypatch.setattr(stage, "load_for_training", load)
    before = MossAudioModel.from_pretrained(model_folder, dtype=torch.float32).state_dict()
    files = {p.name: p.read_bytes() for p in model_folder.iterdir()}
    assert stage.main(write_config("run", **_output(stage, tmp_path)))
    after = {n.replace(".base.", "."): t for n, t in kept[0].state_dict().items()}
    assert before.keys() <= after.keys()
    for name, tensor in before.items():
        frozen = not name.startswith(("audio_adapter.", "deepstack_audio_merger_list."))
        if frozen:
            assert torch.equal(after[name], tensor), name
        elif stage is sft or name.startswith("audio_adapter."):
            assert not torch.equal(after[name], tensor), name
    folder = model_folder if stage is align else tmp_path / "out"
    for name, content in files.items():
        if name != nano.TRAINED_FILE:
            assert (folder / name).read_bytes() == content
    MossAudioModel.from_pretrained(folder)  # what was written loads


class _Live:
    """The joint stage with its model, stopped before its first step."""

    def __init__(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        stages: list[Stage] = []
        loaded: list[Any] = []
        with monkeypatch.context() as patch:
            patch.setattr(sft, "run", lambda stage, *_: stages.append(stage) or True)
            patch.setattr(
                sft, "load_for_training", lambda folder: loaded.append(load_for_training(folder))
                or loaded[0]
            )  # fmt: skip
            sft.main(config)
        (self.stage,) = stages
        ((self.model, self.tokenizer, self.spec),) = loaded
        self.n_mels = self.model.config.audio_config.num_mel_bins

    def batch(self, scenes: list[Scene], seed: int = 0) -> Batch:
        samples = [make_sample(scene, None, seed + i) for i, scene in enumerate(scenes)]
        return pack(samples, self.tokenizer, self.spec, self.n_mels)

    def loss(self, batch: Batch) -> float:
        with torch.no_grad():
            return float(self.stage.loss(batch)[0])

    def move(self) -> None:
        """Every trained parameter somewhere else, on values that float16 holds."""
        generator = torch.Generator().manual_seed(9)
        with torch.no_grad():
            for parameter in self.stage.parameters.values():
                noise = torch.randn(parameter.shape, generator=generator) * 0.1
                parameter.copy_((parameter + noise).half().float())


def test_a_packed_batch_has_the_loss_of_its_samples(
    write_config: WriteConfig, scenes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config("run", output=str(tmp_path / "out"), align_weight=0.0)
    live = _Live(config, monkeypatch)
    live.move()
    scenes = load_scenes(scenes_folder, "train")
    packed = live.loss(live.batch(scenes))
    alone = [live.batch([scene], seed=i) for i, scene in enumerate(scenes)]
    counts = [int((b.labels != IGNORE).sum()) for b in alone]
    losses = [live.loss(b) for b in alone]
    mean = sum(n * value for n, value in zip(counts, losses, strict=True)) / sum(counts)
    assert packed == pytest.approx(mean, abs=1e-5)
    assert len({round(value, 3) for value in losses}) > 1


@pytest.mark.parametrize(("bits", "tolerance"), [(16, 1e-5), (8, 0.03)])
def test_the_export_answers_as_the_live_model(
    write_config: WriteConfig,
    scenes_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bits: int,
    tolerance: float,
) -> None:
    """LoRA merged, audio rows appended, adapters in their bits: `nano.assemble` has it all."""
    config = write_config(
        "run",
        output=str(tmp_path / "out"),
        align_weight=0.0,
        adapter_bits=bits,
        merger_bits=bits,
        lora_bits=bits,
    )
    live = _Live(config, monkeypatch)
    live.move()
    live.stage.finish()
    shipped = MossAudioModel.from_pretrained(tmp_path / "out", dtype=torch.float32)
    untrained = MossAudioModel.from_pretrained(tmp_path / "model", dtype=torch.float32)
    # the live embedding still holds the old audio rows: the stage looks the new ones up itself
    with torch.no_grad():
        live.model.get_parameter(nano.EMBEDDING)[-3:] = live.stage.parameters[nano.AUDIO_ROWS]
    for scene in load_scenes(scenes_folder, "train")[:3]:
        batch = live.batch([scene])
        inputs = {
            "input_ids": batch.input_ids,
            "audio_data": batch.audio_data,
            "audio_data_seqlens": batch.audio_data_seqlens,
            "use_cache": False,
        }
        with torch.no_grad():
            expected = live.model(
                **inputs, attention_mask={"full_attention": None}, segments=batch.segments
            ).logits
            found = shipped(**inputs, labels=batch.labels)
            far = (untrained(**inputs).logits - expected).norm() / expected.norm()
        distance = (found.logits - expected).norm() / expected.norm()
        assert distance < tolerance
        assert far > 10 * tolerance  # or the test would see nothing
        if bits == 16:
            assert float(found.loss) == pytest.approx(live.loss(batch), abs=1e-4)


def test_the_loss_falls_when_a_few_samples_are_seen_again_and_again(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(sft, "log_to", lambda path: lines.append)
    still = {"speed_share": 0, "telephone_share": 0, "noise_share": 0}
    config = write_config(
        "run",
        output=str(tmp_path / "out"),
        augment=still,
        adapter_lr=1e-2,
        lora_lr=2e-2,
        loop_steps=24,
        loop_log_every=8,
    )
    assert sft.main(config)
    losses = [float(line.split(" loss ")[1].split()[0]) for line in lines if " loss " in line]
    assert len(losses) == 3
    assert losses[-1] < 0.7 * losses[0]


def test_alignment_lowers_its_loss(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(align, "log_to", lambda path: lines.append)
    assert align.main(write_config("run", learning_rate=1e-2, loop_steps=30, loop_log_every=10))
    losses = [float(line.split(" loss ")[1].split()[0]) for line in lines if " loss " in line]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("field", ["adapter_bits", "merger_bits", "lora_bits"])
def test_bits_that_cannot_be_written_are_refused_before_training(
    write_config: WriteConfig, tmp_path: Path, field: str
) -> None:
    config = write_config("run", output=str(tmp_path / "out"), **{field: 7})
    with pytest.raises(MossAudioError, match=field):
        sft.main(config)
    assert not (tmp_path / "run-run").exists()


def test_a_folder_inside_the_models_is_no_obstacle_to_the_export(
    write_config: WriteConfig, model_folder: Path, tmp_path: Path
) -> None:
    (model_folder / "notes").mkdir()
    assert sft.main(write_config("run", output=str(tmp_path / "out"), loop_steps=1))
    assert (tmp_path / "out" / nano.TRAINED_FILE).is_file()

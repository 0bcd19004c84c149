"""Eight micro-batches are one big batch; two processes are one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from moss_audio.scenes.reader import load_scenes
from moss_audio.settings import load_config
from moss_audio.train import align, checkpoint, loop, sft
from moss_audio.train.align import DenseObjective
from moss_audio.train.loop import run
from moss_audio.train.pieces import SpokenPieces
from moss_audio.train.setup import ADAPTER, learn, load_for_training, settle
from moss_audio.train.stage import LoopConfig
from tests.train.helpers import Fixed, Live, scene_batches, stage_of, torchrun

WriteConfig = Callable[..., Path]


@pytest.fixture
def _plain_descent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam divides a gradient by its own size, and with it rounding noise: not here."""

    monkeypatch.setattr(
        loop, "make_optimizer", lambda objective, config: torch.optim.SGD(objective.groups(0.0))
    )


def _batches(live: Live, scenes_folder: Path) -> tuple[list[Any], list[Any]]:
    """Eight batches of a clip each, of unequal answers, and all in one."""
    scenes = load_scenes(scenes_folder, "train")
    scenes += scenes[:2]
    alone = [live.batch([scene], seed=i) for i, scene in enumerate(scenes)]
    assert len({b.num_items for b in alone}) > 3
    return alone, [live.batch(scenes)]


def _after(objective: Any, batches: list[Any], folder: Path) -> dict[str, torch.Tensor]:
    config = LoopConfig(3, str(folder), accumulate=len(batches), warmup_steps=0, clip_norm=1e9)
    assert run(stage_of(objective, batches), config, lambda line: None)
    tensors = checkpoint.read_tensors(folder / "checkpoint-3")
    return {n: t for n, t in tensors.items() if n.startswith(checkpoint.WEIGHT)}


def _same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor], before: Any) -> None:
    assert one.keys() == two.keys()
    moved = 0.0
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=1e-5)
        moved = max(moved, float((tensor - before[name.removeprefix("weight.")]).abs().max()))
    assert moved > 1e-3  # or nothing was learnt that could differ


@pytest.mark.usefixtures("_plain_descent")
def test_eight_micro_batches_of_one_are_one_of_eight(
    write_config: WriteConfig, scenes_folder: Path, tmp_path: Path
) -> None:
    path = write_config(
        "run", output=str(tmp_path / "out"), encoder="full", adapter_lr=1e-2, lora_lr=1e-2,
        encoder_lr=1e-2,
    )  # fmt: skip
    results = []
    for name in ("many", "one"):
        live = Live(load_config(path, sft.SftConfig), spoken=load_scenes(scenes_folder, "train"))
        before = {n: p.detach().clone() for n, p in live.objective.kept().items()}
        many, one = _batches(live, scenes_folder)
        results.append(_after(live.objective, many if name == "many" else one, tmp_path / name))
    _same(*results, before)


@pytest.mark.usefixtures("_plain_descent")
def test_the_same_for_the_weighted_terms_of_alignment(
    write_config: WriteConfig, scenes_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    live = Live(load_config(write_config("run", output=str(tmp_path / "out")), sft.SftConfig))
    batches = _batches(live, scenes_folder)
    scenes = load_scenes(scenes_folder, "train")
    results = []
    for name, some in zip(("many", "one"), batches, strict=True):
        model, tokenizer, _ = load_for_training(model_folder)
        learn(model, [ADAPTER])
        dtype = settle(model)
        spoken = SpokenPieces(scenes, tokenizer, model.get_parameter(align.EMBEDDING), 24.0)
        objective = DenseObjective(model, spoken, dtype, 1e-2, 0.1)
        before = {n: p.detach().clone() for n, p in objective.kept().items()}
        results.append(_after(objective, some, tmp_path / name))
    _same(*results, before)


def test_alignment_learns_nothing_of_a_batch_without_clips(
    scenes_folder: Path, model_folder: Path
) -> None:
    """A process whose share of a step holds text alone, or nothing that is usable."""
    model, tokenizer, spec = load_for_training(model_folder)
    learn(model, [ADAPTER])
    table = model.get_parameter(align.EMBEDDING)
    spoken = SpokenPieces(load_scenes(scenes_folder, "train"), tokenizer, table, 24.0)
    objective = DenseObjective(model, spoken, settle(model), 1e-2, 0.1)
    batch = Collator(tokenizer, spec, model.config.audio_config.num_mel_bins)([])
    assert objective.counts(batch) == [0.0, 0.0]
    terms = objective(batch, torch.full((2,), 1e-9))
    terms.sum().backward()
    assert terms.tolist() == [0.0, 0.0]
    learnt = [p for p in objective.parameters() if p.requires_grad]
    assert learnt
    assert all(p.grad is not None and not p.grad.any() for p in learnt)


# what configs/accelerate/fsdp2.yaml makes of the environment, for the layers of the small model
FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "LlamaDecoderLayer,EncoderLayer",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, FSDP2], ids=["ddp", "fsdp2"])
def test_two_processes_are_one(
    write_config: WriteConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
) -> None:
    """And a checkpoint of two resumes as two: the second half is run after a stop."""
    options = {"encoder": "full", "loop_accumulate": 2}
    path = write_config("one", output=str(tmp_path / "a"), **options)
    batches = scene_batches(path)
    monkeypatch.setattr(sft, "loading", lambda *_: lambda *of: Fixed(batches, *of))
    assert sft.main(path)
    options["loop_accumulate"] = 1
    two = write_config("two", output=str(tmp_path / "b"), **options)
    torchrun("halves", str(two), **environment)
    one, other = (
        checkpoint.read_tensors(tmp_path / name / "checkpoint-6") for name in ("run-one", "run-two")
    )
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        if name.startswith(checkpoint.WEIGHT):
            torch.testing.assert_close(other[name], tensor, rtol=0, atol=1e-4)
    with pytest.raises(sft.MossAudioError, match="written by 2 processes, this run has 1"):
        sft.main(two, {"loop.steps": 8})


@pytest.mark.slow
def test_sharded_weights_learn_as_whole_ones(write_config: WriteConfig, tmp_path: Path) -> None:
    """FSDP2 over two processes, with frozen parts: the worker compares and raises."""
    config = write_config(
        "run", output=str(tmp_path / "out"), encoder="lora", align_weight=0.0, lora_lr=1.0
    )
    torchrun("fsdp", str(config))

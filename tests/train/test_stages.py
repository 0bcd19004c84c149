"""Alignment and fine-tuning end to end, on a model of a few thousand weights."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import PARTS_FILE
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano import parts as nano
from moss_audio.model.nano.quantize import load_packed
from moss_audio.scenes.reader import load_scenes
from moss_audio.settings import load_config
from moss_audio.train import align, checkpoint, sft
from moss_audio.train.loop import run
from moss_audio.train.lora import is_lora, plain_name
from moss_audio.train.setup import checkpoint_activations, load_for_training
from moss_audio.train.stage import LoopConfig
from tests.train.helpers import Live, assert_same_checkpoints, killed, losses, stage_of

WriteConfig = Callable[..., Path]
ALIGN_AND_SFT = pytest.mark.parametrize("stage", [align, sft], ids=["align", "sft"])
_TRAINED_PARTS = ("audio_adapter.", "deepstack_audio_merger_list.")


def _output(stage: Any, tmp_path: Path, name: str = "out") -> dict[str, str]:
    return {} if stage is align else {"output": str(tmp_path / name)}


def _trained(folder: Path) -> dict[str, torch.Tensor]:
    return load_packed(folder / nano.TRAINED_FILE, torch.float32)


@ALIGN_AND_SFT
def test_a_killed_run_goes_on_to_the_weights_of_an_unbroken_one(
    stage: Any, write_config: WriteConfig, model_folder: Path, tmp_path: Path
) -> None:
    """Alignment once forgot, when resumed, that it had scaled the mergers before the first step."""
    fresh = (model_folder / nano.TRAINED_FILE).read_bytes()
    options = {"loop_accumulate": 2, "loop_save_every_s": 0.0}
    assert stage.main(write_config("whole", **_output(stage, tmp_path, "a"), **options))
    folder = model_folder if stage is align else tmp_path / "a"
    expected = _trained(folder)
    (model_folder / nano.TRAINED_FILE).write_bytes(fresh)

    parts = write_config("parts", **_output(stage, tmp_path, "b"), **options)
    assert killed(stage, parts, "step 4/") == signal.SIGKILL
    found = checkpoint.latest(tmp_path / "run-parts")
    assert found is not None
    assert checkpoint.step_of(found) == 3
    assert (model_folder / nano.TRAINED_FILE).read_bytes() == fresh  # nothing half done is written
    assert stage.main(parts) is True
    resumed = _trained(model_folder if stage is align else tmp_path / "b")
    assert resumed.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(resumed[name], tensor), name
    ends = (tmp_path / run / "checkpoint-6" for run in ("run-whole", "run-parts"))
    assert_same_checkpoints(*ends)


@pytest.mark.parametrize("workers", [0, 1])
def test_sigterm_saves_and_says_that_there_is_more_to_do(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Also where the whole process group gets it, as from a job scheduler."""

    def log(line: str) -> None:
        if line.startswith("step 3/"):
            for process in [os.getpid(), *(c.pid for c in multiprocessing.active_children())]:
                os.kill(process, signal.SIGTERM)

    config = write_config("run", output=str(tmp_path / "out"), data={"workers": workers})
    with monkeypatch.context() as patch:
        patch.setattr(sft, "log_to", lambda path: log)
        assert sft.main(config) is False
    assert not (tmp_path / "out").exists()
    assert sft.main(config) is True


def _loaded(stage: Any, monkeypatch: pytest.MonkeyPatch) -> list[MossAudioModel]:
    """The model that a stage is going to train, as soon as it is loaded."""
    kept: list[MossAudioModel] = []

    def load(folder: Path) -> Any:
        found = load_for_training(folder)
        kept.append(found[0])
        return found

    monkeypatch.setattr(stage, "load_for_training", load)
    return kept


def _moves(stage: Any, fields: dict[str, Any], name: str) -> bool:
    """Whether a weight of the model is to learn under these choices."""
    if stage is align:
        return name.startswith(
            _TRAINED_PARTS if fields.get("objective") == "decoder" else "audio_adapter."
        )
    return (
        (name.startswith("audio_adapter.") and fields.get("adapter", True))
        or (name.startswith("deepstack_") and fields.get("mergers", True))
        or (name.startswith("audio_encoder.") and fields.get("encoder") == "full")
        or (name.startswith(("language_model.", "lm_head.")) and fields.get("decoder") == "full")
    )


@pytest.mark.parametrize(
    ("stage", "fields"),
    [
        (align, {}),
        (align, {"objective": "decoder"}),
        (sft, {}),
        (sft, {"decoder": "full", "encoder": "lora", "align_weight": 0.0}),
        (sft, {"decoder": "frozen", "encoder": "full", "mergers": False}),
        (sft, {"decoder": "lora", "encoder": "lora", "adapter": False, "mergers": False}),
    ],
    ids=["align", "align-decoder", "sft", "sft-full", "sft-encoder", "sft-lora-only"],
)
def test_frozen_parts_stay_bit_identical_and_trained_ones_move(
    stage: Any,
    fields: dict[str, Any],
    write_config: WriteConfig,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = _loaded(stage, monkeypatch)
    before = MossAudioModel.from_pretrained(model_folder, dtype=torch.float32).state_dict()
    files = {p.name: p.read_bytes() for p in model_folder.iterdir()}
    assert stage.main(write_config("run", **_output(stage, tmp_path), **fields))
    after = {plain_name(n): t for n, t in kept[0].state_dict().items() if not is_lora(n)}
    assert before.keys() == after.keys()
    still = {"deepstack_audio_merger_list"} if stage is align and not fields else set()
    for name, tensor in before.items():
        if name.split(".")[0] in still:
            continue  # scaled once before the first step, on purpose
        same = torch.equal(after[name], tensor)
        assert same is not _moves(stage, fields, name), name
    folder = model_folder if stage is align else tmp_path / "out"
    if (folder / PARTS_FILE).is_file():
        for name, content in files.items():
            if name != nano.TRAINED_FILE:
                assert (folder / name).read_bytes() == content
    MossAudioModel.from_pretrained(folder)  # what was written loads


def _live(config: Path, **kw: Any) -> Live:
    return Live(load_config(config, sft.SftConfig), **kw)


def test_a_packed_batch_has_the_loss_of_its_samples(
    write_config: WriteConfig, scenes_folder: Path, tmp_path: Path
) -> None:
    live = _live(write_config("run", output=str(tmp_path / "out"), align_weight=0.0))
    live.move()
    scenes = load_scenes(scenes_folder, "train")
    packed = live.loss(live.batch(scenes))
    alone = [live.batch([scene], seed=i) for i, scene in enumerate(scenes)]
    counts = [b.num_items for b in alone]
    each = [live.loss(b) for b in alone]
    mean = sum(n * value for n, value in zip(counts, each, strict=True)) / sum(counts)
    assert packed == pytest.approx(mean, abs=1e-5)
    assert len({round(value, 3) for value in each}) > 1


def test_rows_of_several_samples_and_padding_have_the_loss_of_one_row(
    write_config: WriteConfig, scenes_folder: Path, tmp_path: Path
) -> None:
    live = _live(write_config("run", output=str(tmp_path / "out"), align_weight=0.0))
    live.move()
    batch = live.batch(load_scenes(scenes_folder, "train"))
    lengths = batch.segments[0]
    border = sum(lengths[:2])
    width = max(border, sum(lengths) - border) + 3

    def rows(tensor: torch.Tensor, filler: int) -> torch.Tensor:
        parts = tensor[0].split([border, tensor.shape[1] - border])
        padded = [torch.nn.functional.pad(p, (0, width - len(p)), value=filler) for p in parts]
        return torch.stack(padded)

    folded = replace(
        batch,
        input_ids=rows(batch.input_ids, 0),
        labels=rows(batch.labels, -100),
        position_ids=rows(batch.position_ids, 0),
        audio_input_mask=rows(batch.audio_input_mask, 0),
        segments=[lengths[:2], lengths[2:]],
    )
    assert live.loss(folded) == pytest.approx(live.loss(batch), abs=1e-5)
    # transformers' own mask, the way on a GPU, must see the same borders
    live.model.language_model.config._attn_implementation = "sdpa"
    assert live.loss(folded) == pytest.approx(live.loss(batch), abs=1e-5)


def test_recomputed_activations_change_nothing(
    write_config: WriteConfig, scenes_folder: Path, tmp_path: Path
) -> None:
    options = {"output": str(tmp_path / "out"), "encoder": "full"}
    live = _live(write_config("run", **options))
    live.move()
    batch = live.batch(load_scenes(scenes_folder, "train"))
    plain = live.gradients([batch])
    checkpoint_activations(live.model)
    again = live.gradients([batch])
    assert plain.keys() == again.keys()
    assert any("deepstack" in name and g.abs().max() > 0 for name, g in plain.items())
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("bits", "tolerance"), [(16, 1e-5), (8, 0.03)])
def test_the_packed_export_answers_as_the_live_model(
    write_config: WriteConfig,
    scenes_folder: Path,
    model_folder: Path,
    tmp_path: Path,
    bits: int,
    tolerance: float,
) -> None:
    """LoRA merged, audio rows appended, adapters in their bits: `nano.assemble` has it all."""
    packed = {f"{n}_bits": bits for n in ("adapter", "merger", "lora", "encoder")}
    config = write_config(
        "run", output=str(tmp_path / "out"), align_weight=0.0, lora_alpha=8.0, lora_rank=4, **packed
    )
    live = _live(config)
    live.move()
    live.export()
    live.check_export(tmp_path / "out", model_folder, scenes_folder, tolerance)


@pytest.mark.parametrize("fields", [{}, {"decoder": "full"}, {"encoder": "lora"}])
def test_the_plain_export_answers_as_the_live_model(
    write_config: WriteConfig,
    scenes_folder: Path,
    model_folder: Path,
    tmp_path: Path,
    fields: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("moss_audio.train.export.EMBEDDED_DTYPE", torch.float32)
    config = write_config(
        "run", output=str(tmp_path / "out"), align_weight=0.0, form="plain", lora_alpha=4.0,
        lora_rank=2, **fields,
    )  # fmt: skip
    live = _live(config)
    live.move()
    live.export()
    assert not (tmp_path / "out" / PARTS_FILE).exists()
    live.check_export(tmp_path / "out", model_folder, scenes_folder, 1e-5)
    live.export()  # over what is there
    live.check_export(tmp_path / "out", model_folder, scenes_folder, 1e-5)
    again = _live(config, model=tmp_path / "out")  # a plain folder is trained further
    assert again.model.config.tie_word_embeddings


def test_a_second_lora_is_added_to_the_first(
    write_config: WriteConfig, scenes_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    """Fine-tuning the embedded checkpoint, which holds a LoRA, must not lose it."""
    bits = {f"{n}_bits": 16 for n in ("adapter", "merger", "lora")}
    first = _live(write_config("one", output=str(tmp_path / "a"), align_weight=0.0, **bits))
    first.move()
    first.export()
    options = {"output": str(tmp_path / "b"), "align_weight": 0.0, "lora_rank": 3, **bits}
    second = _live(write_config("two", **options), model=tmp_path / "a")
    second.move(seed=10)
    second.export()
    second.check_export(tmp_path / "b", model_folder, scenes_folder, 1e-5)
    ranks = {t.shape[0] for n, t in _trained(tmp_path / "b").items() if n.endswith(nano.LORA_DOWN)}
    assert ranks == {16 + 3}


def test_a_stored_lora_learns_on(
    write_config: WriteConfig, scenes_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    bits = {f"{n}_bits": 16 for n in ("adapter", "merger", "lora", "encoder")}
    fields = {"align_weight": 0.0, "lora_rank": 3, "encoder": "lora", **bits}
    first = _live(write_config("one", output=str(tmp_path / "a"), **fields))
    first.move()
    first.export()
    fields = {**fields, "output": str(tmp_path / "b"), "lora_start": "stored"}
    second = _live(write_config("two", **fields), model=tmp_path / "a")
    batch = second.batch(load_scenes(scenes_folder, "train"))
    assert second.loss(batch) == pytest.approx(first.loss(batch), abs=2e-3)  # stored in 16 bits
    second.move(seed=10)
    second.export()
    second.check_export(tmp_path / "b", model_folder, scenes_folder, 1e-5)
    ranks = {t.shape[0] for n, t in _trained(tmp_path / "b").items() if n.endswith(nano.LORA_DOWN)}
    assert ranks == {3}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lora_rank": 2}, "has rank 3, lora_rank is 2"),
        ({"lora_rank": 3, "lora_alpha": 6.0}, "lora_alpha equal to lora_rank"),
        ({"lora_rank": 3, "form": "plain"}, "leave out form: plain"),
    ],
)
def test_a_stored_lora_that_does_not_fit_is_refused(
    write_config: WriteConfig, tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    first = _live(write_config("one", output=str(tmp_path / "a"), align_weight=0.0, lora_rank=3))
    first.move()
    first.export()
    config = write_config(
        "two", model=str(tmp_path / "a"), output=str(tmp_path / "b"), lora_start="stored", **fields
    )
    with pytest.raises(MossAudioError, match=said):
        sft.main(config)


def test_where_nothing_is_stored_nothing_is_taken_up(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    with pytest.raises(MossAudioError, match="lora_start: new"):
        sft.main(write_config("one", output=str(tmp_path / "a"), lora_start="stored"))


def test_the_loss_falls_when_a_few_samples_are_seen_again_and_again(
    write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(
        "run",
        output=str(tmp_path / "out"),
        adapter_lr=1e-2,
        lora_lr=2e-2,
        loop_steps=24,
        loop_log_every=8,
    )
    seen = losses(sft, config, monkeypatch)
    assert len(seen) == 3
    assert seen[-1] < 0.7 * seen[0]


def test_dense_alignment_lowers_its_loss(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config("run", learning_rate=2e-2, loop_steps=30, loop_log_every=10)
    seen = losses(align, config, monkeypatch)
    assert seen[-1] < 0.8 * seen[0]


def test_alignment_through_the_decoder_lowers_its_loss(
    write_config: WriteConfig, scenes_folder: Path, tmp_path: Path
) -> None:
    """One batch, for little can be reached through a frozen decoder of random weights."""
    options = {"output": str(tmp_path / "out"), "decoder": "frozen", "adapter_lr": 2e-2}
    live = _live(write_config("run", align_weight=0.0, **options))
    batch = live.batch(load_scenes(scenes_folder, "train"))
    before = live.loss(batch)
    loop = LoopConfig(20, str(tmp_path / "loop"), warmup_steps=2, clip_norm=100.0)
    run(stage_of(live.objective, [batch]), loop, lambda line: None)
    assert live.loss(batch) < 0.95 * before


@pytest.mark.parametrize("field", ["adapter_bits", "merger_bits", "lora_bits", "encoder_bits"])
def test_bits_that_cannot_be_written_are_refused_before_training(
    write_config: WriteConfig, tmp_path: Path, field: str
) -> None:
    config = write_config("run", output=str(tmp_path / "out"), **{field: 7})
    with pytest.raises(MossAudioError, match=field):
        sft.main(config)
    assert not (tmp_path / "run-run").exists()


def test_a_form_that_cannot_be_written_is_refused_before_training(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    plain = write_config("plain", output=str(tmp_path / "plain"), form="plain", align_weight=0.0)
    Live(load_config(plain, sft.SftConfig)).export()
    config = write_config(
        "run", model=str(tmp_path / "plain"), output=str(tmp_path / "out"), form="packed"
    )
    with pytest.raises(MossAudioError, match="form: packed"):
        sft.main(config)


def test_a_decoder_that_learnt_in_full_is_packed_again_where_that_is_asked(
    write_config: WriteConfig, scenes_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    """From a folder whose decoder has a LoRA: it is part of the weights that learnt, once."""
    first = write_config("first", output=str(tmp_path / "first"), encoder="lora", lora_rank=4)
    assert sft.main(first)
    config = write_config(
        "run", model=str(tmp_path / "first"), output=str(tmp_path / "out"), align_weight=0.0,
        decoder="full", encoder="lora", lora_rank=4, lora_start="stored", form="packed",
        **{f"{n}_bits": 16 for n in ("adapter", "merger", "lora")},
    )  # fmt: skip
    live = _live(config)
    live.move()
    live.export()
    names = _trained(tmp_path / "out")
    assert any(name.startswith("audio_encoder.") for name in names)
    assert not any(name.startswith("language_model.") for name in names)
    live.check_export(tmp_path / "out", tmp_path / "first", scenes_folder, 1e-5)


def test_a_folder_inside_the_models_is_no_obstacle_to_the_export(
    write_config: WriteConfig, model_folder: Path, tmp_path: Path
) -> None:
    (model_folder / "notes").mkdir()
    assert sft.main(write_config("run", output=str(tmp_path / "out"), loop_steps=1))
    assert (tmp_path / "out" / nano.TRAINED_FILE).is_file()


def test_a_run_starts_from_a_hub_id(
    write_config: WriteConfig, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves what was downloaded as it is, which others share."""
    asked: list[str] = []

    def download(name: str, *_: Any) -> Path:
        asked.append(name)
        return model_folder

    monkeypatch.setattr("moss_audio.model.checkpoint._download", download)
    before = (model_folder / nano.TRAINED_FILE).read_bytes()
    config = write_config("run", model="owner/name", output=str(tmp_path / "out"), loop_steps=1)
    assert sft.main(config)
    assert set(asked) == {"owner/name"}
    assert (tmp_path / "out" / nano.TRAINED_FILE).is_file()
    with pytest.raises(MossAudioError, match="output is missing"):
        align.main(write_config("align", model="owner/name", loop_steps=1))
    assert (model_folder / nano.TRAINED_FILE).read_bytes() == before


def test_alignment_of_the_encoder_too_with_figures_of_held_out_clips(
    write_config: WriteConfig, scenes_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    """From a folder that has a LoRA: it is trained further, the decoder's stays as it was."""
    first = write_config("first", output=str(tmp_path / "first"), encoder="lora", lora_rank=4)
    assert sft.main(first)
    held_out = [{"kind": "scenes", "path": str(scenes_folder), "split": "train", "name": "heard"}]
    told: list[str] = []
    config = write_config(
        "second", model=str(tmp_path / "first"), output=str(tmp_path / "second"), encoder="lora",
        lora_rank=4, lora_start="stored", learning_rate=5e-3, held_out=held_out, held_out_clips=3,
        loop_steps=20, loop_evaluate_every=10,
    )  # fmt: skip
    kept, align.log_to = align.log_to, lambda path: told.append
    try:
        assert align.main(config)
    finally:
        align.log_to = kept
    figures = [line for line in told if line.startswith("held out at step ")]
    assert [line.split()[4] for line in figures] == ["0:", "10:", "20:"]
    tops = [float(line.split("heard top 1 ")[1].split(",")[0]) for line in figures]
    assert tops[0] < tops[1] <= tops[2] <= 100
    before, after = _trained(tmp_path / "first"), _trained(tmp_path / "second")
    assert before.keys() == after.keys()
    changed = {n.split(".")[0] for n, tensor in after.items() if not torch.equal(tensor, before[n])}
    assert {"audio_encoder", "audio_adapter"} <= changed
    assert "language_model" not in changed
    for name in before:
        if name.startswith("language_model"):
            assert torch.equal(before[name], after[name])


@pytest.mark.parametrize("standardise", [False, True])
def test_alignment_goes_on_from_the_adapter_that_it_is_given(
    write_config: WriteConfig, model_folder: Path, tmp_path: Path, standardise: bool
) -> None:
    """It took trained adapters for new ones, and scaled what they had learnt to nothing."""
    config = write_config(
        "run", output=str(tmp_path / "out"), learning_rate=1e-9, loop_steps=1,
        standardise=standardise,
    )  # fmt: skip
    assert align.main(config)
    before, after = _trained(model_folder), _trained(tmp_path / "out")
    first = [n for n in before if n.endswith(("gate_proj.weight", "up_proj.weight"))]
    assert first
    for name in (n for n in first if not n.startswith("language_model")):
        same = torch.allclose(before[name].float(), after[name].float(), rtol=2e-3, atol=1e-4)
        assert same is not standardise, name

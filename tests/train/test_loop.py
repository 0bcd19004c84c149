"""Configuration errors come all at once; the schedule; stopping, resuming, averaging; checkpoints
that do not fit are refused."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from transformers import TrainerState

from moss_audio.errors import MossAudioError
from moss_audio.settings import load_config
from moss_audio.train import checkpoint
from moss_audio.train.loop import run
from moss_audio.train.objective import Objective
from moss_audio.train.stage import LoopConfig, Stage, lr_share
from tests.train.helpers import killed_at


@dataclass(frozen=True)
class _Inner:
    needed: int
    rate: float = 0.5


@dataclass(frozen=True)
class _Config:
    name: str
    inner: _Inner
    other: _Inner = field(default_factory=lambda: _Inner(7))
    weight: float = 1.0
    phases: tuple[_Inner, ...] = ()
    way: Literal["a", "b"] = "a"
    limit: float | None = None
    shares: dict[str, float] = field(default_factory=dict)


def _load(tmp_path: Path, text: str, overrides: dict | None = None) -> _Config:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config(path, _Config, overrides)


def test_reads_nested_fields_defaults_and_numbers_written_as_text(tmp_path: Path) -> None:
    config = _load(tmp_path, "name: a\ninner: {needed: 2, rate: 4e-4}\n")
    assert config == _Config("a", _Inner(2, 4e-4), _Inner(7), 1.0)


def test_overrides_reach_into_tables_that_may_be_empty(tmp_path: Path) -> None:
    changes = {"inner.needed": 5, "weight": 2, "other.needed": 1}
    config = _load(tmp_path, "name: a\ninner:\n", changes)
    assert config == _Config("a", _Inner(5), _Inner(1), 2.0)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = "names: a\ninner: {rate: fast, neded: 2}\nweight: .nan\nother: 3\n"
    with pytest.raises(MossAudioError) as caught:
        _load(tmp_path, text)
    message = str(caught.value)
    for part in (
        "unknown field names",
        "missing field name",
        "inner.rate: 'fast' is not a number",
        "unknown field inner.neded",
        "missing field inner.needed",
        "weight: nan is not a number",
        "other: expected fields",
    ):
        assert part in message
    assert "\n" not in message


def test_lists_tables_choices_and_absent_values(tmp_path: Path) -> None:
    text = (
        "name: a\ninner: {needed: 1}\nphases: [{needed: 2}, {needed: 3, rate: 1}]\n"
        "way: b\nlimit: 3\nshares: {x: 1, y: 2e-1}\n"
    )
    config = _load(tmp_path, text)
    assert config.phases == (_Inner(2), _Inner(3, 1.0))
    assert (config.way, config.limit, config.shares) == ("b", 3.0, {"x": 1.0, "y": 0.2})
    assert _load(tmp_path, text, {"limit": None}).limit is None
    with pytest.raises(MossAudioError) as caught:
        _load(tmp_path, text, {"phases": [{"neded": 2}], "way": "c", "shares": {"x": "much"}})
    for part in ("unknown field phases.0.neded", "missing field phases.0.needed",
                 "way: 'c' is not one of a, b", "shares.x: 'much' is not a number"):  # fmt: skip
        assert part in str(caught.value)


def test_a_bound_may_be_infinite_but_no_number_is_too_large(tmp_path: Path) -> None:
    assert _load(tmp_path, "name: a\ninner: {needed: 1}\nlimit: .inf\n").limit == math.inf
    for value in ("1e999", "'inf'", "9" * 400):
        with pytest.raises(MossAudioError, match=r"limit: .* is not a number"):
            _load(tmp_path, f"name: a\ninner: {{needed: 1}}\nlimit: {value}\n")


def test_a_class_that_checks_itself_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("steps: 1\noutput_dir: x\nema: 1\nclip_norm: 0\n")
    with pytest.raises(MossAudioError, match=r"clip_norm 0.0 must be above 0; ema 1.0 must be in"):
        load_config(path, LoopConfig)
    with pytest.raises(MossAudioError, match=r"steps: 0 must be at least 1; ema 1.0 must be in"):
        LoopConfig(0, "x", ema=1.0)


@pytest.mark.parametrize("value", ["2.5", "true", "abc", "null"])
def test_a_whole_number_is_no_other_thing(tmp_path: Path, value: str) -> None:
    with pytest.raises(MossAudioError, match=r"inner\.needed"):
        _load(tmp_path, f"name: a\ninner: {{needed: {value}}}\n")


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n", "a: [1\n"])
def test_a_file_that_holds_no_fields_is_one_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(MossAudioError, match=r"config\.yaml"):
        _load(tmp_path, text)


def test_a_missing_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(MossAudioError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml", _Config)


def test_learning_rate_rises_linearly_and_falls_as_a_cosine() -> None:
    config = LoopConfig(steps=110, output_dir="", warmup_steps=10, final_lr_share=0.1)
    assert [lr_share(i, config) for i in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert lr_share(10, config) == pytest.approx(1.0)
    assert lr_share(60, config) == pytest.approx(0.55)
    assert lr_share(110, config) == pytest.approx(0.1)
    falling = [lr_share(i, config) for i in range(10, 111)]
    assert falling == sorted(falling, reverse=True)
    no_warmup = LoopConfig(steps=4, output_dir="", warmup_steps=0)
    assert lr_share(0, no_warmup) == 1.0
    only_warmup = LoopConfig(steps=4, output_dir="", warmup_steps=50)
    assert 0 < lr_share(3, only_warmup) < 0.1


def test_wsd_stays_level_and_falls_linearly_at_the_end() -> None:
    config = LoopConfig(
        steps=100, output_dir="", warmup_steps=10, schedule="wsd", decay_share=0.2,
        final_lr_share=0.0,
    )  # fmt: skip
    assert [lr_share(i, config) for i in (9, 10, 50, 80)] == [1.0] * 4
    assert [lr_share(i, config) for i in (85, 90, 100)] == pytest.approx([0.75, 0.5, 0.0])


@dataclass
class _Number:
    value: int
    audio_s: float = 1.0
    num_tokens: int = 1

    def to(self, device: Any) -> _Number:
        return self


class _Numbers:
    """1, 2, 3, ...: a loader whose state is the last number given."""

    def __init__(self, state: Any, seen: list[int], rank: int = 0, world_size: int = 1) -> None:
        self.at = 0 if state is None else state["at"]
        self.seen = seen

    def __iter__(self) -> Iterator[_Number]:
        while True:
            self.at += 1
            self.seen.append(self.at)
            torch.rand(3)  # what data draw must not matter to training
            yield _Number(self.at)

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}


class _Line(Objective):
    """y = w x, with dropout-like noise, on a stream of numbers: a stage of one weight."""

    terms = ("square", "noise")
    also_kept = ("still",)

    def __init__(self, size: int = 1, scale: float = 1.0) -> None:
        super().__init__(torch.nn.Identity())  # type: ignore[arg-type]
        self.weight = torch.nn.Parameter(torch.zeros(size))
        self.still = torch.nn.Parameter(torch.ones(2), requires_grad=False)
        self.scale = scale
        self.seen: list[int] = []
        self.results: list[dict[str, torch.Tensor]] = []

    def counts(self, batch: Any) -> list[float]:
        return [1.0, 1.0]

    def rates(self) -> dict[str, float]:
        return {"": 0.1}

    def forward(self, batch: Any, counts: torch.Tensor) -> torch.Tensor:
        square = ((self.weight - batch.value % 5) * self.scale).square().mean()
        noise = (torch.rand(1) * self.weight).sum()
        return torch.stack([square, noise]) / counts

    def stage(self) -> Stage:
        return Stage(self, lambda state, *_: _Numbers(state, self.seen), self.results.append)


def _silent(line: str) -> None:
    pass


def _kill_at(step: int) -> Any:
    def log(line: str) -> None:
        if line.startswith(f"step {step}/"):
            os.kill(os.getpid(), signal.SIGTERM)

    return log


def test_a_signal_saves_and_the_same_command_resumes_where_it_stopped(tmp_path: Path) -> None:
    whole = _Line()
    assert run(whole.stage(), LoopConfig(20, str(tmp_path / "whole"), accumulate=2), _silent)

    config = LoopConfig(20, str(tmp_path / "parts"), accumulate=2, log_every=1)
    before = signal.getsignal(signal.SIGTERM)
    first, second = _Line(), _Line()
    first.still.data.fill_(7.0)
    lines: list[str] = []
    assert run(first.stage(), config, _kill_at(7)) is False
    assert signal.getsignal(signal.SIGTERM) == before
    assert first.results == []
    assert run(second.stage(), config, lines.append) is True
    assert lines[0].startswith("resumed at step 7") or lines[0].startswith("resumed at step 8")
    assert first.seen + second.seen == whole.seen == list(range(1, 41))
    assert torch.equal(second.weight, whole.weight)
    assert torch.equal(second.results[0]["weight"], whole.weight)
    assert second.results[0]["still"].tolist() == [7.0, 7.0]


class _Now(_Line):
    """Every other batch has nothing to learn."""

    def counts(self, batch: Any) -> list[float]:
        return [float(batch.value % 2)] * 2

    def forward(self, batch: Any, counts: torch.Tensor) -> torch.Tensor:
        return super().forward(batch, counts) * float(batch.value % 2)


def test_a_step_in_which_nothing_is_learnt_leaves_the_weights(tmp_path: Path) -> None:
    """The optimiser's momentum moved them."""
    weights = []
    for steps in (1, 2, 3):  # in the warm-up, so that the rates are the same
        line = _Now()
        run(line.stage(), LoopConfig(steps, str(tmp_path / f"{steps}")), _silent)
        assert line.seen == list(range(1, steps + 1))
        assert (tmp_path / f"{steps}" / f"checkpoint-{steps}").is_dir()  # the step counts
        weights.append(line.weight.detach())
    assert weights[0].any()
    assert torch.equal(weights[1], weights[0])
    assert not torch.equal(weights[2], weights[0])


def test_a_complete_run_only_writes_its_result_again(tmp_path: Path) -> None:
    config = LoopConfig(3, str(tmp_path))
    first, again = _Line(), _Line()
    run(first.stage(), config, _silent)
    assert run(again.stage(), config, _silent)
    assert again.seen == []
    assert torch.equal(again.results[0]["weight"], first.weight)


def test_resuming_under_other_settings_is_said(tmp_path: Path) -> None:
    run(_Line().stage(), LoopConfig(3, str(tmp_path), warmup_steps=2), _silent)
    lines: list[str] = []
    run(_Line().stage(), LoopConfig(3, str(tmp_path), warmup_steps=2, log_every=1), lines.append)
    assert lines == []  # how often a line is written changes no weight
    run(_Line().stage(), LoopConfig(5, str(tmp_path), warmup_steps=1), lines.append)
    assert "checkpoint-3: changed since: steps 3 -> 5, warmup_steps 2 -> 1" in lines[0]
    # also where nothing is left to train: fewer steps than were made
    lines.clear()
    assert run(_Line().stage(), LoopConfig(4, str(tmp_path), warmup_steps=1), lines.append)
    assert "checkpoint-5: changed since: steps 5 -> 4" in lines[0]


def test_the_last_checkpoints_are_kept_and_no_half_one_is_taken(tmp_path: Path) -> None:
    config = LoopConfig(5, str(tmp_path), save_every_s=0.0, keep=2)
    (tmp_path / "checkpoint-9.tmp").mkdir(parents=True)  # of a run that was killed
    run(_Line().stage(), config, _silent)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-4", "checkpoint-5"]
    (tmp_path / "checkpoint-5" / checkpoint.STATE).unlink()
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-4"


def test_a_checkpoint_of_the_loop_over_transformers_trainer_resumes(tmp_path: Path) -> None:
    """It holds the step in two more places, and the whole state of the Trainer."""
    whole, first, second = _Line(), _Line(), _Line()
    run(whole.stage(), LoopConfig(12, str(tmp_path / "whole"), ema=0.9), _silent)
    config = LoopConfig(12, str(tmp_path / "parts"), ema=0.9, log_every=1)
    assert run(first.stage(), config, _kill_at(5)) is False
    found = checkpoint.latest(tmp_path / "parts")
    assert found is not None
    step, history = checkpoint.step_of(found), checkpoint.read_history(found)
    trainer = TrainerState(epoch=0.4, global_step=step, max_steps=12, log_history=history)
    trainer.save_to_json(str(found / "trainer_state.json"))
    state = {**checkpoint.read_state(found), "schedule": {"step": step}}
    (found / "state.json").write_text(json.dumps(state))
    assert run(second.stage(), config, _silent)
    assert torch.equal(second.weight, whole.weight)
    assert torch.equal(second.results[0]["weight"], whole.results[0]["weight"])
    past = checkpoint.read_history(tmp_path / "parts" / "checkpoint-12")
    assert [line["step"] for line in past] == list(range(1, 13))


def test_only_our_own_checkpoints_are_removed(tmp_path: Path) -> None:
    """`checkpoint-best` once sorted before every number, and was removed as the oldest."""
    others = ["checkpoint-best", "checkpoint-120-kept", "checkpoint-", "checkpoint-best.tmp"]
    for name in others:
        (tmp_path / name).mkdir()
        (tmp_path / name / checkpoint.TENSORS).write_bytes(b"precious")
    (tmp_path / "checkpoint-7.tmp").mkdir()  # of a run that was killed
    run(_Line().stage(), LoopConfig(5, str(tmp_path), save_every_s=0.0, keep=1), _silent)
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {*others, "checkpoint-5"}
    for name in others:
        assert (tmp_path / name / checkpoint.TENSORS).read_bytes() == b"precious"


def test_killed_before_any_operation_the_newest_checkpoint_is_whole(tmp_path: Path) -> None:
    """Also while an old one is removed, or one of the same step is replaced."""

    def write(folder: Path, step: int) -> None:
        checkpoint.write(
            folder, step, tensors={"weight.w": torch.full((3,), float(step))}, state={"loop": {}},
            history=[], loader_state={"at": step}, rank=0, keep=1, barrier=lambda: None,
        )  # fmt: skip

    for second in (2, 1):
        event, steps, more = 0, set(), True
        while more:
            event += 1
            folder = tmp_path / f"{second}-{event}"
            write(folder, 1)
            more = killed_at(event, lambda at=second, folder=folder: write(folder, at))
            checkpoint.check_names(folder)
            found = checkpoint.latest(folder)
            if found is None:  # one of the same step is only there if it was damaged
                assert second == 1
                steps.add(0)
            else:
                steps.add(checkpoint.step_of(found))
                assert set(checkpoint.read_tensors(found)["weight.w"].tolist()) == {max(steps)}
                assert checkpoint.read_rank(found, 0)[1] == {"at": checkpoint.step_of(found)}
            write(folder, 3)  # the run resumes, and clears up
            assert [p.name for p in folder.iterdir()] == ["checkpoint-3"]
        assert event > 10
        assert steps == ({1, 2} if second == 2 else {0, 1})


def test_a_numbered_checkpoint_of_another_program_is_named_and_kept(tmp_path: Path) -> None:
    theirs = tmp_path / "checkpoint-500" / "model.safetensors"
    theirs.parent.mkdir()
    theirs.write_bytes(b"precious")
    line = _Line()
    with pytest.raises(MossAudioError, match="checkpoint-500 is not a checkpoint of this program"):
        run(line.stage(), LoopConfig(5, str(tmp_path)), _silent)
    assert line.seen == []
    assert theirs.read_bytes() == b"precious"


def test_the_average_is_what_is_exported_and_survives_a_stop(tmp_path: Path) -> None:
    whole, first, second = _Line(), _Line(), _Line()
    run(whole.stage(), LoopConfig(12, str(tmp_path / "whole"), ema=0.9), _silent)
    config = LoopConfig(12, str(tmp_path / "parts"), ema=0.9, log_every=1)
    assert run(first.stage(), config, _kill_at(5)) is False
    assert run(second.stage(), config, _silent)
    assert torch.equal(second.results[0]["weight"], whole.results[0]["weight"])
    assert not torch.equal(whole.results[0]["weight"], whole.weight)


def test_a_checkpoint_of_other_sizes_is_refused(tmp_path: Path) -> None:
    config = LoopConfig(3, str(tmp_path))
    run(_Line(1).stage(), config, _silent)
    with pytest.raises(MossAudioError, match="weight is not what this configuration trains"):
        run(_Line(2).stage(), LoopConfig(5, str(tmp_path)), _silent)
    other = _Line(1)
    other.also_kept = ()
    with pytest.raises(MossAudioError, match="holds still, which this configuration does not"):
        run(other.stage(), config, _silent)


@pytest.mark.parametrize("name", [checkpoint.TENSORS, checkpoint.STATE, "rank-0.safetensors"])
def test_a_damaged_checkpoint_is_one_error(tmp_path: Path, name: str) -> None:
    run(_Line().stage(), LoopConfig(3, str(tmp_path)), _silent)
    (tmp_path / "checkpoint-3" / name).write_bytes(b"not a checkpoint")
    with pytest.raises(MossAudioError, match=rf"{name}.*damaged"):
        run(_Line().stage(), LoopConfig(5, str(tmp_path)), _silent)


def test_a_loader_whose_state_would_not_come_back_is_refused(tmp_path: Path) -> None:
    line = _Line()

    class Bad(_Numbers):
        def state_dict(self) -> Any:
            return {1: "keys become text"}

    stage = Stage(line, lambda state, *_: Bad(state, []), line.results.append)
    with pytest.raises(MossAudioError, match="survive JSON"):
        run(stage, LoopConfig(1, str(tmp_path)), _silent)


def test_data_without_a_batch_are_one_error(tmp_path: Path) -> None:
    class Empty(_Numbers):
        def __iter__(self) -> Iterator[_Number]:
            return iter(())

    line = _Line()
    stage = Stage(line, lambda state, *_: Empty(state, []), line.results.append)
    with pytest.raises(MossAudioError, match="no batch"):
        run(stage, LoopConfig(1, str(tmp_path)), _silent)


@pytest.mark.parametrize("scale", [math.nan, 1e30])
def test_a_loss_that_explodes_stops_before_it_spoils_the_weights(
    tmp_path: Path, scale: float
) -> None:
    line = _Line(scale=scale)
    with pytest.raises(MossAudioError, match=r"step 0.*lower the learning rates"):
        run(line.stage(), LoopConfig(3, str(tmp_path)), _silent)
    assert torch.equal(line.weight, torch.zeros(1))
    assert checkpoint.latest(tmp_path) is None


def test_the_line_says_how_fast_and_how_long(tmp_path: Path) -> None:
    lines: list[str] = []
    run(_Line().stage(), LoopConfig(4, str(tmp_path), log_every=2), lines.append)
    assert len(lines) == 2
    parts = "step 2/4 loss", "square", "noise", "grad", "audio-s/s", "tokens/s", "waited", "left"
    for part in parts:
        assert part in lines[0]


def test_a_tracker_that_is_not_installed_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MossAudioError, match="report_to: tensorboard is not installed"):
        run(_Line().stage(), LoopConfig(2, str(tmp_path), report_to=("tensorboard",)), _silent)


def test_tensorboard_gets_the_figures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run(_Line().stage(), LoopConfig(2, str(tmp_path), report_to=("tensorboard",)), _silent)
    assert list(tmp_path.rglob("events.out.tfevents*"))

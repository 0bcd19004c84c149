"""Configuration errors come all at once; the schedule; checkpoints that do not fit are refused."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from moss_audio.errors import MossAudioError
from moss_audio.train.loop import (
    LoopConfig,
    Stage,
    load_checkpoint,
    load_config,
    lr_share,
    run,
    save_checkpoint,
)


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


def test_checkpoint_round_trip_leaves_no_half_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "last.safetensors"
    save_checkpoint(path, {"a": torch.arange(3.0)}, {"step": 4})
    tensors, counters = load_checkpoint(path)
    assert counters == {"step": 4}
    assert torch.equal(tensors["a"], torch.arange(3.0))
    assert [p.name for p in path.parent.iterdir()] == ["last.safetensors"]


def test_a_damaged_checkpoint_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(MossAudioError, match="damaged"):
        load_checkpoint(path)


class _Line:
    """y = w x on a stream of numbers: a stage of one weight."""

    def __init__(self, size: int = 1, scale: float = 1.0) -> None:
        self.weight = torch.nn.Parameter(torch.zeros(size))
        self.scale = scale
        self.seen: list[int] = []
        self.finished = 0

    def stage(self) -> Stage:
        def batches(position: int) -> Iterator[tuple[int, int]]:
            while True:
                position += 1
                yield position, position

        def loss(batch: int) -> tuple[torch.Tensor, float, int]:
            self.seen.append(batch)
            return ((self.weight - batch % 5) * self.scale).square().mean(), 1.0, 1

        def finish() -> None:
            self.finished += 1

        groups = [{"params": [self.weight], "lr": 0.1}]
        return Stage({"weight": self.weight}, groups, batches, loss, finish)


def _silent(line: str) -> None:
    pass


def test_a_signal_saves_and_the_same_command_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = _Line()
    assert run(whole.stage(), LoopConfig(20, str(tmp_path / "whole")), _silent)

    config = LoopConfig(20, str(tmp_path / "parts"), log_every=1)
    before = signal.getsignal(signal.SIGTERM)
    first, second = _Line(), _Line()

    def kill(line: str) -> None:
        if line.startswith("step 7/"):
            os.kill(os.getpid(), signal.SIGTERM)

    assert run(first.stage(), config, kill) is False
    assert signal.getsignal(signal.SIGTERM) == before
    assert first.finished == 0
    assert run(second.stage(), config, _silent) is True
    assert first.seen + second.seen == whole.seen
    assert torch.equal(second.weight, whole.weight)
    assert second.finished == 1


def test_a_complete_run_only_writes_its_result_again(tmp_path: Path) -> None:
    config = LoopConfig(3, str(tmp_path))
    first, again = _Line(), _Line()
    run(first.stage(), config, _silent)
    assert run(again.stage(), config, _silent)
    assert again.seen == []
    assert again.finished == 1
    assert torch.equal(again.weight, first.weight)


def test_a_checkpoint_of_other_sizes_is_refused(tmp_path: Path) -> None:
    config = LoopConfig(3, str(tmp_path))
    run(_Line(1).stage(), config, _silent)
    with pytest.raises(MossAudioError, match="weight is not what this configuration trains"):
        run(_Line(2).stage(), config, _silent)


@pytest.mark.parametrize("scale", [math.nan, 1e30])
def test_a_loss_that_explodes_stops_before_it_spoils_the_weights(
    tmp_path: Path, scale: float
) -> None:
    line = _Line(scale=scale)
    with pytest.raises(MossAudioError, match=r"step 0.*lower the rates"):
        run(line.stage(), LoopConfig(3, str(tmp_path)), _silent)
    assert torch.equal(line.weight, torch.zeros(1))
    assert not (tmp_path / "last.safetensors").exists()

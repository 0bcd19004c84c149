"""The shipped configurations are what the stages read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from moss_audio.scenes.config import read_config
from moss_audio.settings import load_config
from moss_audio.train import align, cold_start, dapo, encoder, pretrain, sft
from moss_audio.train.data import check_phases

CONFIGS = Path(__file__).parents[2] / "configs"
KINDS = {
    "encoder": encoder.EncoderConfig,
    "align": align.AlignConfig,
    "pretrain": pretrain.PretrainConfig,
    "sft": sft.SftConfig,
    "dapo": dapo.DapoConfig,
}


@pytest.mark.parametrize("stage", KINDS)
def test_the_stages_of_micro_follow_one_another(stage: str) -> None:
    config = load_config(CONFIGS / "micro" / f"{stage}.yaml", KINDS[stage])
    if isinstance(config, pretrain.PretrainConfig):
        check_phases(config.curriculum, config.data)
    order = list(KINDS)
    if stage != order[0]:
        before = order[order.index(stage) - 1]
        earlier = load_config(CONFIGS / "micro" / f"{before}.yaml", KINDS[before])
        assert config.model == earlier.output


@pytest.mark.parametrize("size", ["nano", "4b", "8b"])
def test_dapo_goes_on_where_cold_start_ended(size: str) -> None:
    config = load_config(CONFIGS / size / "cold_start.yaml", cold_start.ColdStartConfig)
    after = load_config(CONFIGS / size / "dapo.yaml", dapo.DapoConfig)
    assert after.model == config.output


def test_controls_of_cold_start_ask_the_same_questions() -> None:
    """Which question a scene gets depends on the source's name and the seed; the second control
    differs from the first in nothing but how long it learns."""
    text, thinks = (
        load_config(CONFIGS / "nano" / f"{name}.yaml", cold_start.ColdStartConfig)
        for name in ("cold_start_text", "cold_start")
    )
    assert text.output == thinks.model
    direct, longer = (
        load_config(CONFIGS / "nano" / f"{name}.yaml", sft.SftConfig)
        for name in ("direct", "direct_tokens")
    )
    asked, again = thinks.data.sources[0], direct.data.sources[0]
    assert (asked.name, asked.path, asked.split) == (again.name, again.path, again.split)
    assert (thinks.data.seed, thinks.data.augment) == (direct.data.seed, direct.data.augment)
    steps = text.loop.steps + thinks.loop.steps
    assert (steps, thinks.lora_lr) == (direct.loop.steps, direct.lora_lr)
    assert longer.loop.steps > direct.loop.steps
    loop = replace(longer.loop, steps=direct.loop.steps, output_dir=direct.loop.output_dir)
    assert replace(longer, loop=loop, output=direct.output) == direct


def test_cold_start_of_micro_follows_fine_tuning() -> None:
    config = load_config(CONFIGS / "micro" / "cold_start.yaml", cold_start.ColdStartConfig)
    assert config.model == load_config(CONFIGS / "micro" / "sft.yaml", sft.SftConfig).output


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("align", align.AlignConfig),
        ("sft", sft.SftConfig),
        ("people", sft.SftConfig),
        ("noise", sft.SftConfig),
        ("finetune", sft.SftConfig),
        ("v2-align", align.AlignConfig),
        ("v2-joint", sft.SftConfig),
        ("ablation", pretrain.PretrainConfig),
        ("cold_start", cold_start.ColdStartConfig),
        ("direct", sft.SftConfig),
        ("direct_tokens", sft.SftConfig),
    ],
)
def test_those_of_nano_are_read(name: str, kind: Any) -> None:
    config = load_config(CONFIGS / "nano" / f"{name}.yaml", kind)
    if isinstance(config, pretrain.PretrainConfig):
        check_phases(config.curriculum, config.data)


def test_dapo_of_nano_goes_on_from_its_cold_start() -> None:
    config = load_config(CONFIGS / "nano" / "dapo.yaml", dapo.DapoConfig)
    before = load_config(CONFIGS / "nano" / "cold_start.yaml", cold_start.ColdStartConfig)
    assert (config.model, config.lora_start, config.lora_rank) == (
        before.output, "stored", before.lora_rank,
    )  # fmt: skip


@pytest.mark.parametrize("size", ["4b", "8b"])
def test_dapo_of_the_large_ones_has_the_numbers_of_the_report(size: str) -> None:
    config = load_config(CONFIGS / size / "dapo.yaml", dapo.DapoConfig)
    sampling, groups, loss = config.sampling, config.groups, config.loss
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (1.0, 1.0, 50)
    assert (sampling.max_new_tokens, groups.answers, groups.prompts_per_step) == (2048, 16, 128)
    assert (loss.clip_low, loss.clip_high, loss.tis_cap) == (0.2, 0.28, 2.0)


def test_the_steps_of_nano_follow_one_another() -> None:
    before = load_config(CONFIGS / "nano" / "align.yaml", align.AlignConfig).output
    for name in ("sft", "people", "noise"):
        config = load_config(CONFIGS / "nano" / f"{name}.yaml", sft.SftConfig)
        assert config.model == before
        before = config.output


def test_the_steps_of_the_second_nano_follow_one_another() -> None:
    aligned = load_config(CONFIGS / "nano" / "v2-align.yaml", align.AlignConfig)
    joint = load_config(CONFIGS / "nano" / "v2-joint.yaml", sft.SftConfig)
    assert aligned.model == "nano"
    assert joint.model == aligned.output
    read = {source.path for source in joint.data.sources}
    # what they are measured on is not what they read
    assert not {source.path for source in aligned.held_out} & read


def test_no_voice_is_both_heard_and_tested() -> None:
    heard, tested = (read_config(CONFIGS / "nano" / f"{n}.yaml") for n in ("v2-scenes", "readings"))
    assert set(tested.held_out_speakers) == set(heard.held_out_speakers)
    assert not {split for split, hours in tested.hours.items() if hours} & {"train", "val"}


@pytest.mark.parametrize("name", ["single", "ddp", "fsdp2"])
def test_accelerate_knows_every_field_of_its_files(name: str) -> None:
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    path = CONFIGS / "accelerate" / f"{name}.yaml"
    loaded = config_args.load_config_from_file(str(path))
    assert loaded.num_processes == yaml.safe_load(path.read_text())["num_processes"]

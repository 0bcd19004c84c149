"""Reasoning cold start: a checkpoint learns to think before it answers.

Source: section 2.5 of the MOSS-Audio report (arXiv 2606.01802): supervised fine-tuning on audio
reasoning and text reasoning with traces, before DAPO. It gives no sizes and rates.

The data are a mixture as of `sft` (docs/data.md), of the tasks `reason` (a question on a composed
scene, a thought, the answer), `reason_text` and `arithmetic` (no clip), `reason_off` and
`reason_direct` (the answer alone), and the tasks of before. A thought is a timeline in the form of
the task `events` and what is computed from it, made of the scene's exact truth when it is drawn;
lines that a later one mends are read and not learnt.

Deviations: thoughts are derived, not written by a language model, so that every one is true and its
answer can be checked. An embedded checkpoint without think tokens (nano) is given two, whose rows
learn; the result then holds only what differs from that checkpoint, and names it as its base.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch

from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import Checkpoint, is_embedded, part_files
from moss_audio.model.nano.thinking import add_think_tokens
from moss_audio.prompt import ChatVocabulary
from moss_audio.settings import Between, load_config
from moss_audio.train.data import loading
from moss_audio.train.export import set_thinks
from moss_audio.train.loop import run
from moss_audio.train.progress import log_to
from moss_audio.train.setup import load_for_training, source_folder, trained_millions
from moss_audio.train.sft import SftConfig, check_form, export, objective_of, prepare
from moss_audio.train.stage import Stage
from moss_audio.train.text_answers import TextAnswers

_WAIT_S = 600.0  # for the first process, which writes the folder that a run starts from


@dataclass(frozen=True, kw_only=True)
class ColdStartConfig(SftConfig):
    """The stage. Of the fields of `sft`, `align_weight` and `drills` play no part."""

    adapter: bool = False
    mergers: bool = False
    align_weight: float = 0.0
    # Whether the result thinks where nobody says otherwise; None: as what it starts from does
    thinks: bool | None = None
    # Questions in text alone that are answered at each `loop.evaluate_every`; 0: none
    text_problems: Annotated[int, Between(0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.align_weight:
            raise MossAudioError("align_weight: text alone has no alignment loss; leave it out")
        if any(source.kind == "drills" for source in self.data.sources):
            raise MossAudioError("data: reader drills belong to sft; leave that source out")


def main(config_path: Path, overrides: dict[str, Any] | None = None) -> bool:
    """Run or resume the stage that `config_path` describes; True when it is complete."""
    config = load_config(config_path, ColdStartConfig, overrides)
    given, folder = source_folder(config.model), Path(config.loop.output_dir)
    log = log_to(folder / "log.txt")
    torch.manual_seed(config.seed)
    thinks = Checkpoint.open(given).can_think
    source = given if thinks else _with_tokens(given, folder / "start", config)
    model, tokenizer, spec = load_for_training(source)
    dtype = prepare(model, config, source)
    learns = is_embedded(source) and config.decoder != "full"
    objective = objective_of(
        model, spec, dtype, config, None, think_ids=_think_ids(tokenizer) if learns else ()
    )
    check_form(config, source, objective)
    log(f"cold_start: {trained_millions(objective):.2f} M trained parameters")
    evaluate = None
    if config.text_problems:
        evaluate = TextAnswers(
            objective, tokenizer, spec, config.data, config.text_problems,
            scaling=config.lora.scaling, seed=config.seed,
        )  # fmt: skip

    def finish(weights: Mapping[str, torch.Tensor]) -> None:
        output = export(config, source, weights)
        if config.thinks is not None:
            set_thinks(output, config.thinks)
        log(f"cold_start: wrote {output}")

    loader = loading(config.data, model, tokenizer, spec)
    return run(Stage(objective, loader, finish, evaluate), config.loop, log, config.seed)


def _think_ids(tokenizer: Any) -> tuple[int, ...]:
    vocabulary = ChatVocabulary(tokenizer)
    ids = (vocabulary.think_start, vocabulary.think_end)
    return tuple(one for one in ids if one is not None)


def _with_tokens(given: Path, start: Path, config: ColdStartConfig) -> Path:
    """The checkpoint that can think, which the first process writes once.

    Raises:
        MossAudioError: if an earlier run has made it from another checkpoint.
    """
    until = time.monotonic() + _WAIT_S
    while not is_embedded(start):
        if int(os.environ.get("RANK", "0")) == 0:
            return add_think_tokens(given, start, config.seed)
        if time.monotonic() > until:
            raise MossAudioError(f"{start}: the first process has not written it; start again")
        time.sleep(0.5)
    if part_files(start).folders[1].resolve() != given.resolve():
        raise MossAudioError(
            f"{start}: made from another model than {given}; choose another loop.output_dir"
        )
    return start

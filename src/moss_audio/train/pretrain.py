"""Joint pretraining: everything learns end to end, and plain text joins.

Source: pretraining stage 2 of the MOSS-Audio report (arXiv 2606.01802): recognition (plain, with
word times, with sentence times), captions and text in the shares 30 / 40 / 30, sets inside a group
drawn in proportion to the square root of their size; the same decoder loss for all. The time-aware
objectives are the timed tasks themselves: word and sentence times and event timelines, on prompts
with time markers.

The mixture is the `data:` table (its `groups` are the shares). A `curriculum` says which tasks and
groups are trained from which share of the steps on; without one, all are from the first step.

Deviations: learning rates differ by part, since encoder and decoder arrive more or less trained;
`freeze` leaves parts out, for a machine too small for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from moss_audio.data.config import DataConfig
from moss_audio.errors import MossAudioError
from moss_audio.settings import load_config
from moss_audio.train.answers import AnswerObjective
from moss_audio.train.data import Phase, PhasedLoader, check_phases, loading
from moss_audio.train.export import MODEL, ROWS, Form, PackedBits, packs, write_result
from moss_audio.train.loop import run
from moss_audio.train.progress import log_to
from moss_audio.train.setup import (
    ADAPTER,
    DECODER,
    ENCODER,
    MERGERS,
    learn,
    load_for_training,
    settle,
    source_folder,
    trained_millions,
)
from moss_audio.train.stage import BatchSource, Stage, StageConfig

Part = Literal["encoder", "adapter", "mergers", "decoder"]
_PREFIXES = {"encoder": [ENCODER], "adapter": [ADAPTER], "mergers": [MERGERS], "decoder": DECODER}


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(StageConfig):
    """The joint stage, from an aligned model."""

    output: str  # the folder of the result
    curriculum: tuple[Phase, ...] = ()
    freeze: tuple[Part, ...] = ()
    encoder_lr: float = 1e-4
    adapter_lr: float = 4e-4  # of adapter and mergers
    decoder_lr: float = 1e-4
    form: Form = "auto"


def main(config_path: Path, overrides: dict[str, Any] | None = None) -> bool:
    """Run or resume the stage that `config_path` describes; True when it is complete."""
    config = load_config(config_path, PretrainConfig, overrides)
    parts = [name for name in _PREFIXES if name not in config.freeze]
    try:
        check_phases(config.curriculum, config.data)
        if not parts:
            raise MossAudioError("freeze: nothing is left to learn")
    except MossAudioError as error:
        raise MossAudioError(f"{config_path}: {error}") from error
    source = source_folder(config.model)
    log = log_to(Path(config.loop.output_dir) / "log.txt")
    torch.manual_seed(config.seed)
    model, tokenizer, spec = load_for_training(source)
    learn(model, [prefix for part in parts for prefix in _PREFIXES[part]])
    dtype = settle(model)
    rates = {
        ROWS: config.adapter_lr,
        MODEL + ENCODER: config.encoder_lr,
        MODEL + ADAPTER: config.adapter_lr,
        MODEL + MERGERS: config.adapter_lr,
        **{MODEL + prefix: config.decoder_lr for prefix in DECODER},
    }
    objective = AnswerObjective(model, spec, dtype, rates, rows="decoder" not in parts)
    packs(source, config.form, objective.trained())
    log(f"pretrain: {trained_millions(objective):.2f} M trained parameters")

    def loader(state: Any, rank: int, world_size: int) -> BatchSource:
        def make(data: DataConfig, inner: Any) -> BatchSource:
            return loading(data, model, tokenizer, spec)(inner, rank, world_size)

        if not config.curriculum:
            return make(config.data, state)
        loop = config.loop
        return PhasedLoader(
            config.data, config.curriculum, loop.steps, loop.accumulate, make, state
        )

    def finish(weights: dict[str, torch.Tensor]) -> None:
        bits = PackedBits(encoder=8)
        output = write_result(source, Path(config.output), weights, bits=bits, form=config.form)
        log(f"pretrain: wrote {output}")

    return run(Stage(objective, loader, finish), config.loop, log, config.seed)

"""What a run is: what every stage's file says (`StageConfig`), how long, how fast and where to
(`LoopConfig`), and what is learnt from which batches (`Stage`). What runs it is `loop`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Protocol

import torch

from moss_audio.data.config import DataConfig
from moss_audio.settings import AtLeastOne, Between, check
from moss_audio.train.objective import Objective


@dataclass(frozen=True)
class LoopConfig:
    """How long, how fast, and where to."""

    steps: AtLeastOne
    output_dir: str  # checkpoints and log; the same folder resumes
    accumulate: AtLeastOne = 1  # micro-batches a step
    schedule: Literal["cosine", "wsd"] = "cosine"  # wsd: warm-up, stable, decay
    warmup_steps: Annotated[int, Between(0)] = 50
    decay_share: float = 0.2  # wsd: the share of the steps on which the rate falls, linearly
    final_lr_share: float = 0.05  # the schedule ends at this share of the peak
    clip_norm: float = 1.0
    beta2: float = 0.98  # of AdamW
    weight_decay: float = 0.0  # of matrices
    ema: float = 0.0  # of the moving average, which is then what is exported; 0: none
    gradient_checkpointing: bool = False
    log_every: AtLeastOne = 20
    evaluate_every: Annotated[int, Between(0)] = 0  # steps, and before the first; 0: never
    save_every_s: float = 180.0
    keep: AtLeastOne = 2  # checkpoints
    report_to: tuple[str, ...] = ()  # tensorboard, wandb
    peak_tflops: float | None = None  # of one device, for the MFU; None: measured at the start

    def __post_init__(self) -> None:
        wrong = [
            f"{name} {getattr(self, name)} must be {what}"
            for name, what, good in (
                ("decay_share", "in (0, 1]", 0 < self.decay_share <= 1),
                ("clip_norm", "above 0", self.clip_norm > 0),
                ("ema", "in [0, 1)", 0 <= self.ema < 1),
            )
            if not good
        ]
        check(self, wrong)

    def arithmetic(self) -> dict[str, Any]:
        """The fields that decide the weights; the others may differ when a run resumes."""
        return {name: value for name, value in asdict(self).items() if name not in _FREE}


# Fields of LoopConfig about where a run is kept, what it reports and how it fits into memory.
_FREE = {
    "output_dir", "gradient_checkpointing", "log_every", "evaluate_every", "save_every_s", "keep",
    "report_to", "peak_tflops",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """What the file of every stage says."""

    model: str  # what to start from: nano, a folder or a hub id
    data: DataConfig
    loop: LoopConfig
    seed: int = 0


def lr_share(step: int, config: LoopConfig) -> float:
    """Learning rate at `step` as a share of the peak: linear warm-up, then a cosine, or level and
    falling linearly at the end (WSD)."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "wsd":
        decay = max(1, round(config.decay_share * config.steps))
        falling = min(1.0, max(0, step - (config.steps - decay)) / decay)
        return 1 - (1 - config.final_lr_share) * falling
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.final_lr_share + (1 - config.final_lr_share) * cosine


class BatchSource(Protocol):
    """Endless batches, or batches by epochs; `state_dict` resumes after the last one given."""

    def __iter__(self) -> Iterator[Any]: ...

    def state_dict(self) -> Any: ...


LoaderOf = Callable[[Any, int, int], BatchSource]


@dataclass(frozen=True)
class Stage:
    """One training stage as the loop sees it.

    Attributes:
        objective: what learns, and its loss.
        loader: of a state (None: from the start), a rank and the number of processes, the loader
            of this process's batches.
        finish: writes the result from the trained weights (full, on the CPU, by the objective's
            names); only the first process calls it.
        evaluate: figures of the model as it is, by name; None where there are none. Every process
            calls it, and it leaves the model and the random state as they are.
    """

    objective: Objective
    loader: LoaderOf
    finish: Callable[[dict[str, torch.Tensor]], None]
    evaluate: Callable[[], dict[str, float]] | None = None

"""The loop that all stages share: how long, how fast, where to; start, resume, stop, finish.

The steps themselves are transformers' Trainer (see `trainer`); this file decides what it is given.
Deliberately nothing about what is learnt: that is in each stage's own file.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from moss_audio.errors import MissingDependencyError, MossAudioError
from moss_audio.train import checkpoint as checkpoints
from moss_audio.train.objective import Objective


@dataclass(frozen=True)
class LoopConfig:
    """How long, how fast, and where to."""

    steps: int
    output_dir: str  # checkpoints and log; the same folder resumes
    accumulate: int = 1  # micro-batches a step
    schedule: Literal["cosine", "wsd"] = "cosine"  # wsd: warm-up, stable, decay
    warmup_steps: int = 50
    decay_share: float = 0.2  # wsd: the share of the steps on which the rate falls, linearly
    final_lr_share: float = 0.05  # the schedule ends at this share of the peak
    clip_norm: float = 1.0
    beta2: float = 0.98  # of AdamW
    weight_decay: float = 0.0  # of matrices
    ema: float = 0.0  # of the moving average, which is then what is exported; 0: none
    gradient_checkpointing: bool = False
    log_every: int = 20
    save_every_s: float = 180.0
    keep: int = 2  # checkpoints
    report_to: tuple[str, ...] = ()  # tensorboard, wandb
    peak_tflops: float | None = None  # of one device, for the MFU; None: measured at the start

    def __post_init__(self) -> None:
        wrong = [
            f"{name} {getattr(self, name)} must be {what}"
            for name, what, good in (
                ("steps", "at least 1", self.steps >= 1),
                ("accumulate", "at least 1", self.accumulate >= 1),
                ("warmup_steps", "at least 0", self.warmup_steps >= 0),
                ("decay_share", "in (0, 1]", 0 < self.decay_share <= 1),
                ("clip_norm", "above 0", self.clip_norm > 0),
                ("ema", "in [0, 1)", 0 <= self.ema < 1),
                ("log_every", "at least 1", self.log_every >= 1),
                ("keep", "at least 1", self.keep >= 1),
            )
            if not good
        ]
        if wrong:
            raise MossAudioError("; ".join(wrong))

    def arithmetic(self) -> dict[str, Any]:
        """The fields that decide the weights; the others may change from start to start."""
        return {name: value for name, value in asdict(self).items() if name not in _FREE}


# of LoopConfig: where a run is kept, what it says and how it fits into memory
_FREE = {
    "output_dir", "gradient_checkpointing", "log_every", "save_every_s", "keep", "report_to",
    "peak_tflops",
}  # fmt: skip


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


class Loader(Protocol):
    """Endless batches, or batches by epochs; `state_dict` resumes after the last one given."""

    def __iter__(self) -> Iterator[Any]: ...

    def state_dict(self) -> Any: ...


@dataclass(frozen=True)
class Stage:
    """One training stage as the loop sees it.

    `loader` gives this process's batches: from a state that a loader gave before (None: from the
    start), for a rank out of so many. `finish` writes the result from the trained weights (full,
    on the CPU, by the objective's names); only the first process calls it.
    """

    objective: Objective
    loader: Callable[[Any, int, int], Loader]
    finish: Callable[[dict[str, torch.Tensor]], None]


def check_dependencies() -> None:
    """Raise one line if the packages that training needs are absent."""
    for package in ("accelerate", "peft"):
        if util.find_spec(package) is None:
            raise MissingDependencyError(package, "train", "training")


def resumed(config: LoopConfig) -> Path | None:
    """The checkpoint that a run would go on from."""
    return checkpoints.latest(Path(config.output_dir))


def run(
    stage: Stage, config: LoopConfig, log: Callable[[str], None] | None = None, seed: int = 0
) -> bool:
    """Train, or go on from the last checkpoint; True when all steps are done.

    SIGTERM and SIGINT save and return False; a second one ends the process at once.

    Raises:
        MossAudioError: a loss that is not finite, or a checkpoint of another configuration.
    """
    check_dependencies()
    from moss_audio.train.trainer import StageTrainer

    folder = Path(config.output_dir)
    log = log or log_to(folder / "log.txt")
    found = checkpoints.latest(folder)
    if found is not None and _is_main() and (line := changes(found, config)):
        log(line)
    if found is None or checkpoints.step_of(found) < config.steps:
        with _stop_signals() as stopping:
            trainer = StageTrainer(stage, config, log, seed, stopping, found)
            trainer.train(resume_from_checkpoint=str(found) if found else None)
        done, main = int(trainer.state.global_step), trainer.is_world_process_zero()
        barrier = trainer.accelerator.wait_for_everyone
        if done < config.steps:
            number = f" by signal {stopping[0]}" if stopping else ""
            if main:
                log(f"stopped{number} at step {done}; the same command goes on")
            return False
        found = checkpoints.latest(folder)
    else:
        main, barrier = _is_main(), lambda: None
    if main and found is not None:
        stage.finish(final_weights(found, stage.objective, config))
    barrier()
    return True


def changes(checkpoint: Path, config: LoopConfig) -> str:
    """One line that names what was otherwise when a checkpoint was written; empty: nothing.

    A run may go on under other settings (more steps, say), but then it is not the run that one
    command would have given, and whoever compares runs has to know.
    """
    before, now = checkpoints.read_state(checkpoint).get("loop", {}), config.arithmetic()
    # a field that one of the two does not know, being of another version, is passed over
    changed = [
        f"{n} {before[n]} -> {value}" for n, value in now.items() if before.get(n, value) != value
    ]
    if not changed:
        return ""
    return (
        f"{checkpoint}: changed since: {', '.join(changed)}; the run goes on under the new "
        "settings (another output_dir starts anew)"
    )


def final_weights(
    checkpoint: Path, objective: Objective, config: LoopConfig
) -> dict[str, torch.Tensor]:
    """What a run has learnt: the moving average where there is one, else the weights themselves."""
    tensors = checkpoints.read_tensors(checkpoint)
    fit(checkpoint, tensors, objective)
    weights = {
        name.removeprefix(checkpoints.WEIGHT): tensor
        for name, tensor in tensors.items()
        if name.startswith(checkpoints.WEIGHT)
    }
    if config.ema:
        for name in weights:
            weights[name] = tensors.get(checkpoints.AVERAGE + name, weights[name])
    return weights


def fit(checkpoint: Path, tensors: dict[str, torch.Tensor], objective: Objective) -> None:
    """Raise if a checkpoint holds other weights than an objective keeps."""
    kept = objective.kept()
    for name, parameter in kept.items():
        stored = tensors.get(checkpoints.WEIGHT + name)
        if stored is None or stored.shape != parameter.shape:
            raise MossAudioError(
                f"{checkpoint}: {name} is not what this configuration trains; use another "
                "output_dir, or remove the folder to start again"
            )
    for name in tensors:
        bare = name.removeprefix(checkpoints.WEIGHT)
        if name.startswith(checkpoints.WEIGHT) and bare not in kept:
            raise MossAudioError(
                f"{checkpoint}: holds {bare}, which this configuration does not train; use "
                "another output_dir, or remove the folder to start again"
            )


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """SIGTERM and SIGINT are collected in the list; the second one interrupts at once."""
    got: list[int] = []

    def stop(number: int, _: Any) -> None:
        if got:
            raise KeyboardInterrupt
        got.append(number)

    previous = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield got
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _is_main() -> bool:
    import os

    return int(os.environ.get("RANK", "0")) == 0


def log_to(path: Path) -> Callable[[str], None]:
    """A log that goes to the terminal and, with the time, to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def log(line: str) -> None:
        print(line, file=sys.stderr, flush=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    return log


def repeated(loader: Iterable[Any]) -> Iterator[Any]:
    """A loader's batches, epoch after epoch.

    Raises:
        MossAudioError: if an epoch has no batch.
    """
    empty = 0
    while True:
        empty += 1
        for batch in loader:
            empty = 0
            yield batch
        if empty > 1:  # a loader that was resumed at the end of an epoch gives nothing once
            raise MossAudioError("the data give no batch: nothing is left after its filters")

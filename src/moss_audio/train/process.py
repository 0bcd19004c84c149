"""The process that a run lives in: its device, its peers and trackers, the signals that stop it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from moss_audio.errors import MossAudioError, require
from moss_audio.train.stage import LoopConfig

if TYPE_CHECKING:
    from accelerate import Accelerator


def start_accelerator(config: LoopConfig) -> Accelerator:
    """What places and wraps the model and reduces over processes, with the trackers of `report_to`
    started.

    Raises:
        MossAudioError: if a package that training or a tracker needs is not installed.
    """
    require("accelerate", "peft", extra="train", purpose="training")
    for package in config.report_to:
        if util.find_spec(package) is None:
            raise MossAudioError(
                f"report_to: {package} is not installed; pip install {package}, or leave it out"
            )
    from accelerate import Accelerator

    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",  # the objectives choose for themselves (`objective.mixed_precision`)
        log_with=list(config.report_to) or None,
        project_dir=Path(config.output_dir) / "runs",
    )
    if config.report_to:
        flat = {name: str(value) for name, value in asdict(config).items()}
        accelerator.init_trackers(os.environ.get("WANDB_PROJECT", "moss-audio"), flat)
    return accelerator


@contextmanager
def stop_signals() -> Iterator[list[int]]:
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

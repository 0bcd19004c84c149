"""Hands work on shards to a Slurm cluster: four jobs that wait for each other (datatrove).

Ingest and steps are arrays whose jobs take shards until none is left; sorting out and finishing,
which see all shards, are one short job each. The output folder and the recordings have to be on a
disk that all nodes share.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from moss_audio.annotate.claims import Claims
from moss_audio.annotate.config import SlurmConfig
from moss_audio.annotate.work import Work
from moss_audio.errors import MissingDependencyError, MossAudioError

try:
    from datatrove.executor.slurm import SlurmPipelineExecutor
    from datatrove.pipeline.base import PipelineStep
except ModuleNotFoundError as error:
    raise MissingDependencyError("datatrove", "slurm", "annotation on a Slurm cluster") from error


@dataclass(frozen=True)
class SlurmPhase:
    """A job that makes a call, or an array of jobs that do work on `shards`."""

    name: str
    work: Work | Callable[[], Any]
    shards: Sequence[int] = ()


class _Jobs(SlurmPipelineExecutor):
    def launch_merge_stats(self) -> None:
        """datatrove's own figures mean nothing here; our times lie beside the results."""


def _take_shards(work: Work, shards: Sequence[int], claims: Claims) -> None:
    """Every job takes shards until none is left, so that one with long shards does not keep the
    others waiting, and models load once a job. A job whose worker gave up fails, and
    those that wait for it do not start."""
    claims.work(work.do, shards)
    claims.check()


class _Call(PipelineStep):
    """A call as a step of datatrove."""

    name = "call"
    type = "annotation"

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self.call = call

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """`data` and the number of the rank mean nothing here."""
        self.call()
        yield from ()


def submit(phases: Sequence[SlurmPhase], folder: Path, config: SlurmConfig) -> list[str]:
    """Queue the phases, each after the one before; returns the jobs' ids.

    Raises MossAudioError where there is no `sbatch`, or it refuses a job.
    """
    before: _Jobs | None = None
    ids: list[str] = []
    for phase in phases:
        call = phase.work
        if not callable(call):
            claims = Claims(folder / "claims" / phase.name)
            claims.begin()
            call = partial(_take_shards, call, list(phase.shards), claims)
        fields = vars(config) | {
            "tasks": min(config.tasks, max(1, len(phase.shards))),
            "gpus_per_task": config.gpus_per_task if phase.name == "steps" else 0,
            "env_command": config.env_command or None,
            "sbatch_args": dict(config.sbatch_args),
        }
        jobs = _Jobs(
            [_Call(call)],
            **fields,
            job_name=f"moss-audio-{phase.name}",
            logging_dir=str(folder / "logs" / f"slurm-{phase.name}"),
            skip_completed=False,
            depends=before,
        )
        try:
            with _quiet():
                jobs.run()
        except FileNotFoundError as error:
            raise MossAudioError(
                f"{error.filename}: not found; run this where Slurm's commands are"
            ) from error
        except subprocess.CalledProcessError as error:
            said = " ".join(f"{error.stdout or ''} {error.stderr or ''}".split())
            raise MossAudioError(
                f"sbatch refused the job {phase.name} ({said or error}); check run.slurm"
            ) from error
        ids.append(str(jobs.job_id))
        before = jobs
    return ids


@contextmanager
def _quiet() -> Iterator[None]:
    """The terminal is for our own lines; the claims say what went wrong."""
    from loguru import logger

    logger.disable("datatrove")
    try:
        yield
    finally:
        logger.enable("datatrove")

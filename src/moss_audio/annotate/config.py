"""How a folder of recordings is to be annotated: one section a part, from YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from moss_audio import settings
from moss_audio.annotate import build
from moss_audio.errors import MissingDependencyError, MossAudioError
from moss_audio.settings import Between


@dataclass(frozen=True)
class IngestConfig:
    """What is taken in, and how it is divided. The division holds for recordings that are new:
    what an earlier run assigned stays where it is."""

    min_s: Annotated[float, Between(0)] = 0.5  # shorter recordings are set aside
    shard_files: Annotated[int, Between(1)] = 8  # recordings done or redone as one
    shard_mib: Annotated[float, Between(0)] = 32.0  # of files that close a shard


@dataclass(frozen=True)
class SlurmConfig:
    """What datatrove's Slurm executor needs to know of the cluster."""

    partition: str
    time: str = "24:00:00"
    tasks: int = 16  # jobs; each takes shards until none is left
    cpus_per_task: int = 1
    mem_per_cpu_gb: int = 4
    gpus_per_task: int = 0
    qos: str = ""
    env_command: str = ""  # run first in each job, e.g. "source env/bin/activate"
    sbatch_args: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RayPool:
    """Actors of their own for one step; steps without one share the pool of all workers."""

    actors: Annotated[int, Between(1)] = 1
    cpus: Annotated[float, Between(0)] = 1.0
    gpus: Annotated[float, Between(0)] = 0.0


@dataclass(frozen=True)
class RunConfig:
    """Where the work is done. Of these fields only `block_s` and `batch` touch the results."""

    workers: Annotated[int, Between(1)] = 1
    executor: Literal["local", "slurm", "ray"] = "local"
    block_s: Annotated[float, Between(1)] = 600.0  # longer recordings are cut in pieces
    batch: Annotated[int, Between(1)] = 8  # segments that a step gets at a time
    ray_address: str | None = None  # None: a Ray of this machine, started for the run
    ray_pools: Mapping[str, RayPool] = field(default_factory=dict)  # step -> its own actors
    slurm: SlurmConfig | None = None

    def __post_init__(self) -> None:
        if self.executor == "slurm" and self.slurm is None:
            raise MossAudioError("executor slurm needs the section run.slurm")


@dataclass(frozen=True)
class AnnotateConfig:
    """Everything. `parts` holds each part's own dataclass by the name of its section."""

    ingest: IngestConfig = field(default_factory=IngestConfig)
    run: RunConfig = field(default_factory=RunConfig)
    parts: Mapping[str, Any] = field(default_factory=dict)


def load_config(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    parts: Sequence[build.PipelinePart] | None = None,
) -> AnnotateConfig:
    """The configuration of a YAML file, or the defaults, with dotted fields put over it.

    Raises MossAudioError: one line with every unknown, missing and malformed field.
    """
    parts = build.PARTS if parts is None else parts
    try:
        values = {} if path is None else settings.read_yaml(path)
    except ModuleNotFoundError as error:
        raise MissingDependencyError("pyyaml", "annotate", "a configuration file") from error
    values = settings.override(values, overrides or {})
    kinds = {part.section: part.load()[1] for part in parts}
    tables = {"ingest": IngestConfig, "run": RunConfig, **kinds}
    problems = [f"unknown section {name}" for name in values if name not in tables]
    built = {
        name: settings.build(kind, values.get(name), name, problems)
        for name, kind in tables.items()
    }
    ingest, run = built.pop("ingest"), built.pop("run")
    if not problems:
        strange = sorted(set(run.ray_pools) - {"segment", *kinds})
        problems += [f"run.ray_pools.{name}: no such step" for name in strange]
    if problems:
        raise MossAudioError(f"{path or 'configuration'}: " + "; ".join(problems))
    return AnnotateConfig(ingest, run, built)


def as_text(config: AnnotateConfig) -> str:
    """Every field with its value, as YAML: what this run was made with."""
    import yaml

    tables = {"ingest": config.ingest, "run": config.run, **config.parts}
    return yaml.safe_dump(settings.plain(tables), sort_keys=False)

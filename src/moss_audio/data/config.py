"""The description of a training mixture, read from YAML; all that is wrong is told at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from moss_audio import settings
from moss_audio.data.augment import AugmentConfig
from moss_audio.errors import MossAudioError

Kind = Literal["scenes", "jsonl", "csv", "hf", "kaldi", "shar"]
_CHOICES = {
    "layout": ("packed", "padded"),
    "over_long": ("drop", "truncate_audio", "error"),
    "features": ("compute", "cache"),
    "bad_lines": ("error", "skip"),
}
_SPLIT = ("scenes", "hf")  # the kinds that know splits
_COLUMNS = {"audio", "text", "question", "messages", "duration", "id"}


@dataclass(frozen=True)
class SourceConfig:
    """One data set. Within its group it is drawn in proportion to `weight`."""

    kind: str
    path: str
    split: str | None = None  # scenes (needed) and hf (where the folder has several)
    name: str | None = None  # in reports and ids; the end of the path if absent
    group: str = "all"
    weight: float | None = None  # None: the square root of the number of examples
    # task -> share; for scenes also kind of scene -> {task: share}
    tasks: Mapping[str, Any] | None = None
    prompt: str | None = None  # what to ask where the manifest asks nothing; None: the task's words
    columns: Mapping[str, str] | None = None  # csv, hf: audio, text, question... -> column name
    document_chars: int = 4000  # plain documents are learnt in pieces of at most this length


@dataclass(frozen=True)
class DataConfig:
    """Everything that decides which batches come in which order. Exactly one of `batch_audio_s`
    and `batch_tokens` bounds a batch; text counts as audio of as many tokens (12.5 a second)."""

    sources: tuple[SourceConfig, ...]
    groups: Mapping[str, float] = field(default_factory=dict)  # group -> share; {}: one group
    # False: an epoch is every example once; shares hold until the first source has run out.
    # True: no end, a source that ran out starts again in a new order, so shares hold for ever.
    endless: bool = False
    batch_audio_s: float | None = None
    batch_tokens: int | None = None
    layout: str = "packed"
    buckets: int = 30  # at most, of about equal hours; 1: no bucketing
    buffer: int = 20_000  # examples among which a bucket finds its batch
    shuffle: bool = True
    workers: int = 0
    prefetch: int = 4  # batches a worker makes ahead
    seed: int = 0
    augment: AugmentConfig | None = None
    max_tokens: int | None = None  # of one example
    over_long: str = "drop"
    bad_lines: str = "error"  # of manifests
    features: str = "compute"
    cache_dir: str | None = None  # of features, and of probed durations
    pin_memory: bool = False

    def __post_init__(self) -> None:
        wrong = _problems(self)
        if wrong:
            raise MossAudioError("data configuration: " + "; ".join(wrong))


def read_data_config(path: Path | str) -> DataConfig:
    """Read and check a YAML file. Raises MossAudioError naming everything that is wrong in it."""
    return settings.load_config(Path(path), DataConfig)


def _problems(config: DataConfig) -> list[str]:
    wrong: list[str] = []

    def check(fine: bool, message: str) -> None:
        if not fine:
            wrong.append(message)

    check(bool(config.sources), "'sources' is empty: name at least one")
    for name, known in _CHOICES.items():
        value = getattr(config, name)
        check(value in known, f"{name!r} is {value!r}: choose one of {', '.join(known)}")
    bounds = [b for b in (config.batch_audio_s, config.batch_tokens) if b is not None]
    check(len(bounds) == 1, "give one of 'batch_audio_s' and 'batch_tokens'")
    check(all(_positive(b) for b in bounds), "the size of a batch must be a positive number")
    for name, least in {"buckets": 1, "buffer": 1, "workers": 0, "prefetch": 1, "seed": 0}.items():
        value = getattr(config, name)
        check(_whole(value, least), f"{name!r} is {value!r}: give a whole number from {least}")
    most = config.max_tokens
    check(most is None or _whole(most, 1), f"'max_tokens' is {most!r}: give a whole number or null")
    if config.features == "cache":
        check(config.cache_dir is not None, "'features: cache' needs a 'cache_dir'")
        check(
            config.augment is None,
            "'features: cache' and 'augment' exclude each other: no augmented clip comes twice",
        )
    for index, source in enumerate(config.sources):
        wrong += [f"sources[{index}]: {problem}" for problem in _source_problems(source)]
    names = [source_name(s) for s in config.sources]
    twice = sorted({n for n in names if names.count(n) > 1})
    check(not twice, f"sources of the same name: {', '.join(twice)}; give each a 'name'")
    if config.groups:
        used = {s.group for s in config.sources}
        check(all(_positive(v) for v in config.groups.values()), "shares of 'groups' must be > 0")
        for group in sorted(used - set(config.groups)):
            wrong.append(f"group {group!r} of a source is not in 'groups'")
        for group in sorted(set(config.groups) - used):
            wrong.append(f"group {group!r} has no source")
    return wrong


def _source_problems(source: SourceConfig) -> list[str]:
    wrong = []
    kinds = get_args(Kind)
    if source.kind not in kinds:
        wrong.append(f"kind is {source.kind!r}: choose one of {', '.join(kinds)}")
    if source.weight is not None and not _positive(source.weight):
        wrong.append(f"weight is {source.weight!r}: give a positive number")
    if source.kind == "scenes" and source.split is None:
        wrong.append("scenes need a 'split', or test scenes would be trained on")
    if source.split is not None and source.kind not in _SPLIT:
        wrong.append(f"'split' means nothing for kind {source.kind!r}: give the path of the part")
    if source.columns is not None:
        if source.kind not in ("csv", "hf"):
            wrong.append(f"'columns' means nothing for kind {source.kind!r}")
        unknown = sorted(set(source.columns) - _COLUMNS)
        if unknown:
            wrong.append(f"unknown entries {unknown} in 'columns': use {sorted(_COLUMNS)}")
    if not _whole(source.document_chars, 1):
        wrong.append("'document_chars' must be a whole number from 1")
    return wrong + _task_problems(source)


def _task_problems(source: SourceConfig) -> list[str]:
    from moss_audio.tasks import TASK_NAMES

    if source.tasks is None:
        return []
    tables: Any = source.tasks
    if not isinstance(tables, Mapping) or not tables:
        return ["'tasks' must map tasks to shares"]
    if source.kind == "jsonl":
        return ["'tasks' means nothing for kind 'jsonl': its conversations are complete"]
    nested = [t for t in tables.values() if isinstance(t, Mapping)]
    if nested and source.kind != "scenes":
        return ["only scenes know tasks by kind of scene"]
    wrong = []
    for table in nested or [tables]:
        for task, share in table.items():
            if task not in TASK_NAMES:
                wrong.append(f"unknown task {task!r}: use {', '.join(TASK_NAMES)}")
            if not _number(share) or share < 0:
                wrong.append(f"the share of {task!r} must be a number from 0")
        if not wrong and sum(table.values()) <= 0:
            wrong.append("'tasks' has no positive share")
    return wrong


def source_name(source: SourceConfig) -> str:
    """The name given, or what the end of the path and the split say."""
    if source.name is not None:
        return source.name
    name = Path(source.path).stem or source.kind
    return f"{name}-{source.split}" if source.split else name


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least

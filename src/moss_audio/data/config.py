"""The description of a training mixture, read from YAML; all that is wrong is told at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from moss_audio import settings
from moss_audio.data.augment import AugmentConfig
from moss_audio.settings import AtLeastOne, Between, OneOf

_MADE = ("scenes", "drills", "thoughts")  # of composed scenes
_SPLIT = (*_MADE, "hf")  # the kinds that know splits
_COLUMNS = ("audio", "text", "question", "messages", "duration", "id")
_POSITIVE = Between(1e-6, 1e9)

Layout = Literal["packed", "padded"]
OverLong = Literal["drop", "truncate_audio", "error"]


@dataclass(frozen=True)
class SourceConfig:
    """One data set. Within its group it is drawn in proportion to `weight`."""

    kind: Literal["scenes", "drills", "thoughts", "jsonl", "csv", "hf", "kaldi", "shar"]
    path: str
    # scenes, drills and thoughts (needed) and hf (where the folder has several)
    split: str | None = None
    name: str | None = None  # in reports and ids; the end of the path if absent
    group: str = "all"
    # None: the square root of the number of examples
    weight: Annotated[float, _POSITIVE] | None = None
    # task -> share; for scenes also kind of scene -> {task: share}
    tasks: Mapping[str, Any] | None = None
    prompt: str | None = None  # what to ask where the manifest asks nothing; None: the task's words
    # csv, hf: audio, text, question... -> column name
    columns: Mapping[Annotated[str, OneOf(_COLUMNS)], str] | None = None
    # plain documents are learnt in pieces of at most this length
    document_chars: AtLeastOne = 4000
    examples: AtLeastOne | None = None  # how many thoughts there are; None: 10,000
    join_s: tuple[float, float] | None = None  # scenes are joined to clips of so many seconds
    # scenes are heard as parts of longer recordings: markers and times go on from a drawn second
    begin_s: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        settings.check(self, _source_problems(self))


@dataclass(frozen=True)
class DataConfig:
    """Everything that decides which batches come in which order. Exactly one of `batch_audio_s`
    and `batch_tokens` bounds a batch; text counts as audio of as many tokens (12.5 a second)."""

    sources: tuple[SourceConfig, ...]
    groups: Mapping[str, float] = field(default_factory=dict)  # group -> share; {}: one group
    # False: an epoch is every example once; shares hold until the first source has run out.
    # True: no end, a source that ran out starts again in a new order, so shares hold throughout.
    endless: bool = False
    batch_audio_s: Annotated[float, _POSITIVE] | None = None
    batch_tokens: AtLeastOne | None = None
    layout: Layout = "packed"
    buckets: AtLeastOne = 30  # at most, of about equal hours; 1: no bucketing
    buffer: AtLeastOne = 20_000  # examples among which a bucket finds its batch
    shuffle: bool = True
    workers: Annotated[int, Between(0)] = 0
    prefetch: AtLeastOne = 4  # batches a worker makes ahead
    seed: Annotated[int, Between(0)] = 0
    augment: AugmentConfig | None = None
    max_tokens: AtLeastOne | None = None  # of one example
    over_long: OverLong = "drop"
    bad_lines: Literal["error", "skip"] = "error"  # of manifests
    features: Literal["compute", "cache"] = "compute"
    cache_dir: str | None = None  # of features, and of probed durations
    pin_memory: bool = False

    def __post_init__(self) -> None:
        settings.check(self, _problems(self))


def read_data_config(path: Path | str) -> DataConfig:
    """Read and check a YAML file. Raises MossAudioError naming everything that is wrong in it."""
    return settings.load_config(Path(path), DataConfig)


def _problems(config: DataConfig) -> list[str]:
    """What does not go together, though each field is well formed."""
    wrong: list[str] = []
    if not config.sources:
        wrong.append("'sources' is empty: name at least one")
    if (config.batch_audio_s is None) == (config.batch_tokens is None):
        wrong.append("give one of 'batch_audio_s' and 'batch_tokens'")
    if config.features == "cache" and config.cache_dir is None:
        wrong.append("'features: cache' needs a 'cache_dir'")
    if config.features == "cache" and config.augment is not None:
        wrong.append(
            "'features: cache' and 'augment' exclude each other: no augmented clip comes twice"
        )
    names = [source_name(s) for s in config.sources]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        wrong.append(f"sources of the same name: {', '.join(twice)}; give each a 'name'")
    if config.groups:
        used = {s.group for s in config.sources}
        if not all(0 < share < math.inf for share in config.groups.values()):
            wrong.append("shares of 'groups' must be > 0")
        for group in sorted(used - {*config.groups}):
            wrong.append(f"group {group!r} of a source is not in 'groups'")
        for group in sorted({*config.groups} - used):
            wrong.append(f"group {group!r} has no source")
    return wrong


def _source_problems(source: SourceConfig) -> list[str]:
    wrong = []
    if source.kind in _MADE and source.split is None:
        wrong.append(f"{source.kind} need a 'split', or test scenes would be trained on")
    if source.split is not None and source.kind not in _SPLIT:
        wrong.append(f"'split' means nothing for kind {source.kind!r}: give the path of the part")
    if source.columns is not None and source.kind not in ("csv", "hf"):
        wrong.append(f"'columns' means nothing for kind {source.kind!r}")
    if source.examples is not None and source.kind != "thoughts":
        wrong.append(f"'examples' means nothing for kind {source.kind!r}: its list says how many")
    wrong += _span_problems(source, "join_s", "joined", "above 0")
    wrong += _span_problems(source, "begin_s", "moved", "0")
    return wrong + _task_problems(source)


def _span_problems(source: SourceConfig, name: str, what: str, lowest: str) -> list[str]:
    """Of a field of two numbers of seconds, for scenes alone."""
    span: tuple[float, float] | None = getattr(source, name)
    if span is None:
        return []
    if source.kind != "scenes":
        return [f"{name!r} means nothing for kind {source.kind!r}: only scenes are {what}"]
    begins = span[0] > 0 if lowest == "above 0" else span[0] >= 0
    if not begins or not span[0] <= span[1] < math.inf:
        return [f"{name!r} {list(span)} must rise, from {lowest}"]
    return []


def _task_problems(source: SourceConfig) -> list[str]:
    if source.tasks is None:
        return []
    if not source.tasks:
        return ["'tasks' must map tasks to shares"]
    if source.kind == "jsonl":
        return ["'tasks' means nothing for kind 'jsonl': its conversations are complete"]
    nested = [t for t in source.tasks.values() if isinstance(t, Mapping)]
    if nested and source.kind != "scenes":
        return ["only scenes know tasks by kind of scene"]
    wrong: list[str] = []
    known = _tasks_of(source.kind)
    for table in nested or [source.tasks]:
        for task, share in table.items():
            if task not in known:
                wrong.append(f"unknown task {task!r}: use {', '.join(known)}")
            if type(share) not in (int, float) or not 0 <= share < math.inf:
                wrong.append(f"the share of {task!r} must be a number from 0")
        if not wrong and sum(table.values()) <= 0:
            wrong.append("'tasks' has no positive share")
    return wrong


def _tasks_of(kind: str) -> tuple[str, ...]:
    """The names of the tasks that a kind of source may be drawn for."""
    from moss_audio.data.reasoning import CLIP_TASKS, TEXT_TASKS
    from moss_audio.tasks import TASK_NAMES

    if kind == "thoughts":
        return TEXT_TASKS
    return (*TASK_NAMES, *CLIP_TASKS) if kind == "scenes" else TASK_NAMES


def source_name(source: SourceConfig) -> str:
    """The name given, or what the end of the path and the split say."""
    if source.name is not None:
        return source.name
    name = Path(source.path).stem or source.kind
    return f"{name}-{source.split}" if source.split else name

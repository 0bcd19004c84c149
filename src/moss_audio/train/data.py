"""From a stage's `data:` to the loaders of its processes, whole or in phases (a curriculum)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from moss_audio.data.batch import Batch
from moss_audio.data.config import DataConfig, SourceConfig, source_name
from moss_audio.data.conversation import scene_tasks
from moss_audio.data.loader import make_loader
from moss_audio.data.sources import open_source
from moss_audio.data.sources.drills import DrillSource
from moss_audio.errors import MossAudioError
from moss_audio.model.modeling import MossAudioModel
from moss_audio.prompt import PromptSpec
from moss_audio.result import Event, Word
from moss_audio.scenes.reader import Scene, iter_scenes
from moss_audio.train.stage import BatchSource, LoaderOf


@dataclass(frozen=True)
class Phase:
    """The tasks that are trained from `start` on, a share of the steps. A group's name stands for
    all of its tasks."""

    start: float
    tasks: tuple[str, ...]


def loading(
    config: DataConfig, model: MossAudioModel, tokenizer: Any, spec: PromptSpec
) -> LoaderOf:
    """The loaders of a mixture, with the features that `model` takes."""
    n_mels = model.config.audio_config.num_mel_bins

    def make(state: Any, rank: int, world_size: int) -> BatchSource:
        return make_loader(
            config, tokenizer, spec, n_mels, rank=rank, world_size=world_size, state=state
        )

    return make


@dataclass(frozen=True)
class KnownClip:
    """What is said in a clip when, and what sounds in it."""

    words: tuple[Word, ...]
    events: tuple[Event, ...] = ()


def known_clips(config: DataConfig) -> list[Scene | KnownClip]:
    """All clips among the sources of which it is known what sounds when: composed scenes, and
    lines that have word times. Reader drills give each of their words, first and not first."""
    found: list[Scene | KnownClip] = list(known_scenes(config))
    for one in config.sources:
        if one.kind == "jsonl":
            source = open_source(one, config)
            for index in range(len(source)):
                found += [KnownClip(words) for words in source.raw(index).words if words]
        elif one.kind == "drills":
            drills = DrillSource(one, source_name(one))
            for text in sorted(drills.vocabulary()):
                word = Word(text, 0.0, 1.0)
                found.append(KnownClip((word, word)))
    return found


def known_scenes(config: DataConfig) -> list[Scene]:
    """The composed scenes among the sources: there it is known what sounds when."""
    return [
        scene
        for source in config.sources
        if source.kind == "scenes"
        for scene in iter_scenes(source.path, source.split)
    ]


def only(config: DataConfig, names: Sequence[str], whole: Sequence[str] = ()) -> DataConfig:
    """The part of a mixture that belongs to tasks or groups of these names.

    `whole`: kinds of sources that are kept as they are.

    A source of complete conversations or documents, or without a table of tasks, is selected by its
    group alone. The remaining groups keep their proportions.

    Raises:
        MossAudioError: if nothing remains.
    """
    parts = (s if s.kind in whole else _part(s, set(names)) for s in config.sources)
    sources = tuple(kept for kept in parts if kept is not None)
    if not sources:
        raise MossAudioError(f"no source has any of the tasks or groups {', '.join(names)}")
    used = {s.group for s in sources}
    groups = {name: share for name, share in config.groups.items() if name in used}
    return replace(config, sources=sources, groups=groups)


def _part(source: SourceConfig, names: set[str]) -> SourceConfig | None:
    if source.group in names:
        return source
    tasks: Mapping[str, Any] | None = source.tasks
    if tasks is None:
        if source.kind != "scenes":
            return None
        tasks = scene_tasks()
    kept: dict[str, Any] = {}
    for name, share in tasks.items():
        if isinstance(share, Mapping):
            inner = {task: s for task, s in share.items() if task in names}
            if sum(inner.values()) > 0:
                kept[name] = inner
        elif name in names:
            kept[name] = share
    return replace(source, tasks=kept) if kept else None


def check_phases(phases: Sequence[Phase], config: DataConfig) -> None:
    """Raise one line if phases are out of order, or one of them has no data."""
    starts = [p.start for p in phases]
    if starts and (starts[0] != 0 or starts != sorted(set(starts)) or starts[-1] >= 1):
        raise MossAudioError(
            f"curriculum: phases start at {starts}; they must rise from 0 and stay below 1"
        )
    for phase in phases:
        only(config, phase.tasks)


class PhasedLoader:
    """A mixture whose tasks change at fixed steps; each phase reads its data from the start.

    Args:
        phases: checked by `check_phases`.
        steps, accumulate: of the run; a step takes `accumulate` batches.
        make: of a mixture, a loader from a state.
    """

    def __init__(
        self,
        config: DataConfig,
        phases: Sequence[Phase],
        steps: int,
        accumulate: int,
        make: Callable[[DataConfig, Any], BatchSource],
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.config, self.phases, self.make = config, phases, make
        self.borders = [math.ceil(p.start * steps) * accumulate for p in phases]
        self.taken = 0 if state is None else int(state["batches"])
        # of a state its own phase: with other steps, borders are elsewhere
        before = self._phase_of(max(0, self.taken - 1))
        self.phase = before if state is None else int(state.get("phase", before))
        if self.phase >= len(phases):
            raise MossAudioError(
                f"curriculum: the run stopped in phase {self.phase + 1}, and there are "
                f"{len(phases)}: undo that, or start in another output_dir"
            )
        self.loader = self._loader(None if state is None else state["loader"])

    def _phase_of(self, number: int) -> int:
        return max(i for i, border in enumerate(self.borders) if border <= number)

    def _loader(self, state: Any) -> BatchSource:
        part = only(self.config, self.phases[self.phase].tasks)
        return self.make(replace(part, seed=part.seed + self.phase), state)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            phase = self._phase_of(self.taken)
            if phase != self.phase:
                self.phase = phase
                self.loader = self._loader(None)
            given = False
            for batch in self.loader:
                given = True
                self.taken += 1
                yield batch
                if self._phase_of(self.taken) != self.phase:
                    break
            if not given:
                return

    def state_dict(self) -> dict[str, Any]:
        """Batches so far, the current phase, and its own state."""
        return {
            "batches": self.taken, "phase": self.phase, "loader": self.loader.state_dict(),
        }  # fmt: skip

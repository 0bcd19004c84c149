"""What a worker does with a shard: take it in, then run it through the steps.

A `Work` is plain data and travels to other processes; models are loaded there, once, when the
first shard needs them.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from moss_audio import settings
from moss_audio.annotate import flac
from moss_audio.annotate.build import Pipeline, Step
from moss_audio.annotate.config import IngestConfig
from moss_audio.annotate.cost import CostMeter
from moss_audio.annotate.cutting import cut
from moss_audio.annotate.ingest import ingest_fingerprint, read_recording
from moss_audio.annotate.inputs import InputFile
from moss_audio.annotate.plan import entries_of
from moss_audio.annotate.records import Aside, AudioSegment, Recording
from moss_audio.annotate.stage import StageItem, StepFault, check_step, join
from moss_audio.annotate.store import FULL, AnnotationStore, StoreError, line_of
from moss_audio.errors import MissingDependencyError, MossAudioError
from moss_audio.recordings import load_audio, stream_audio

FAILED = "step failed"  # the reason under which a segment is set aside
_CUT_VERSION = 1  # of what `SegmentStep` itself does


class Work(Protocol):
    """A kind of work on shards, in any order and in any process."""

    def do(self, shard: int) -> None:
        """Do what is not done yet. Raises MossAudioError where no shard can succeed."""


class Ingest:
    """Decodes each entry of a shard: one row for each, a recording or why there is none."""

    name = "ingest"

    def __init__(self, store: AnnotationStore, config: IngestConfig) -> None:
        self.store, self.config = store, config
        self._fingerprint = ingest_fingerprint(config)

    def path(self, shard: int, entries: Sequence[InputFile]) -> Path:
        """Where a shard's rows are or will be."""
        return self.store.step(self.name, shard, self._key(entries))

    def _key(self, entries: Sequence[InputFile]) -> str:
        return settings.digest([self._fingerprint, [asdict(entry) for entry in entries]])

    def do(self, shard: int) -> None:
        entries = entries_of(self.store, shard)
        path = self.path(shard, entries)
        if path.exists():
            return
        meter = CostMeter()
        found = [read_recording(entry, self.config) for entry in entries]
        heard = sum(one.duration_s for one in found if isinstance(one, Recording))
        self.store.put_lines(path, map(_line, found))
        _note(self.store, self.name, shard, self._key(entries), meter.row(heard, found))


class Steps:
    """Cuts the recordings of a shard and runs the segments through all steps.

    Args:
        only: names of the steps that this worker is for; None: all. The others' results have to
            be there when theirs are needed.
    """

    def __init__(
        self,
        store: AnnotationStore,
        pipeline: Pipeline,
        block_s: float,
        batch: int,
        only: frozenset[str] | None = None,
    ) -> None:
        self.store, self.pipeline, self.only = store, pipeline, only
        self.block_s, self.batch = block_s, batch
        self._ready: set[str] = set()

    def limited(self, only: frozenset[str]) -> Steps:
        """The same for some of the steps."""
        return Steps(self.store, self.pipeline, self.block_s, self.batch, only)

    def keys(self, shard: int) -> dict[str, str]:
        """Step -> the key of its results for a shard, in order."""
        recordings = [r["recording"] for r in self.store.rows(self.store.recordings(shard))]
        cutter = self.pipeline.cutter
        first = ["segment", _CUT_VERSION, cutter.fingerprint, self.block_s, recordings]
        keys = {"segment": settings.digest(first)}
        for step in self.pipeline.steps:
            before = [keys[name] for name in step.after]
            after = [step.name, step.stage.fingerprint, self.batch, before]
            keys[step.name] = settings.digest(after)
        return keys

    def missing(self, shard: int) -> list[str]:
        """The steps of a shard that are still to be done, in order."""
        return [
            name
            for name, key in self.keys(shard).items()
            if not self.store.step(name, shard, key).exists()
        ]

    def do(self, shard: int) -> None:
        keys = self.keys(shard)
        for name in self.missing(shard):
            if self.only is None or name in self.only:
                meter = CostMeter()
                if name == "segment":
                    done, heard = self._segment(shard, meter)
                else:
                    (step,) = (step for step in self.pipeline.steps if step.name == name)
                    done, heard = self._step(step, shard, keys, meter)
                self.store.put_lines(self.store.step(name, shard, keys[name]), map(_line, done))
                _note(self.store, name, shard, keys[name], meter.row(heard, done))

    # -------------------------------------------------------------------------------- cutting

    def _segment(self, shard: int, meter: CostMeter) -> tuple[list[str | Aside], float]:
        cutter = self.pipeline.cutter
        done: list[str | Aside] = []
        heard = 0.0
        for row in self.store.rows(self.store.recordings(shard)):
            recording, entry = Recording(**row["recording"]), InputFile(**row["entry"])
            self._set_up("segment", cutter, meter)
            try:
                done += [line_of(one.to_dict()) for one in self._cut(recording, entry, shard)]
            except Exception as error:  # a recording is taken whole or not at all
                _raise_fatal(error)
                meter.trace = meter.trace or traceback.format_exc()
                reason = _reason(error)
                done.append(Aside(entry.path, FAILED, reason, entry.member, step="segment"))
            heard += recording.duration_s
        # One sync for all is cheap; a sync for each file would take as long as the whole step.
        self.store.sync(self.store.audio(shard))
        return done, heard

    def _cut(self, recording: Recording, entry: InputFile, shard: int) -> Iterator[AudioSegment]:
        source = entry.open()
        try:
            blocks = stream_audio(source, block_s=self.block_s)
            for segment, samples in cut(self.pipeline.cutter, recording, blocks):
                path = self.store.audio(shard) / f"{segment.id}.flac"
                self.store.put_lines(path, [flac.encode(samples)], sync=False)
                yield replace(segment, audio=path.relative_to(self.store.root).as_posix())
        finally:
            if not isinstance(source, str):
                source.close()

    # --------------------------------------------------------------------------- other steps

    def _step(
        self, step: Step, shard: int, keys: dict[str, str], meter: CostMeter
    ) -> tuple[list[str | Aside], float]:
        segments = self._before(step, shard, keys)
        done: list[str | Aside] = []
        if segments:
            self._set_up(step.name, step.stage, meter)
        for start in range(0, len(segments), self.batch):
            done += self._batch(step, segments[start : start + self.batch], meter)
        heard = sum(segment.duration_s for segment in segments)
        return done, heard

    def _before(self, step: Step, shard: int, keys: dict[str, str]) -> list[AudioSegment]:
        """The segments with the results of all steps that this one needs, without those that one
        of them set aside."""
        found = [self._read(name, shard, keys) for name in step.after]
        base = found[0] if len(found) == 1 else self._read(self._common(step), shard, keys)
        return [
            join(segment, [branch[id] for branch in found])
            for id, segment in base.items()
            if all(id in branch for branch in found)
        ]

    def _common(self, step: Step) -> str:
        """The one step that all the branches before `step` come from."""
        before = {one.name: one.after for one in self.pipeline.steps}
        roots = {before[name] for name in step.after}
        if len(roots) != 1 or len(next(iter(roots))) != 1:
            raise StepFault(f"the steps before {step.name} do not come from one step")
        return next(iter(roots))[0]

    def _read(self, name: str, shard: int, keys: dict[str, str]) -> dict[str, AudioSegment]:
        rows = self.store.rows(self.store.step(name, shard, keys[name]))
        return {row["id"]: AudioSegment.from_dict(row) for row in rows if "aside" not in row}

    def _batch(
        self, step: Step, segments: Sequence[AudioSegment], meter: CostMeter
    ) -> list[str | Aside]:
        items = [StageItem(segment, self._samples(segment)) for segment in segments]
        try:
            done = step.stage.process_batch(items)
            check_step(step.name, segments, done)
            return [line_of(segment.to_dict()) for segment in done]
        except Exception as error:
            _raise_fatal(error)
            if len(segments) > 1:  # each by itself shows which, and lets the others through
                return [line for one in segments for line in self._batch(step, [one], meter)]
            meter.trace = meter.trace or traceback.format_exc()
            (one,), reason = segments, _reason(error)
            file, member = one.recording.path, one.recording.member
            return [Aside(file, FAILED, reason, member, step.name, one.id, one.audio)]

    def _samples(self, segment: AudioSegment) -> Callable[[], np.ndarray]:
        path = self.store.root / segment.audio
        return lambda: load_audio(path).samples

    def _set_up(self, name: str, what: Any, meter: CostMeter) -> None:
        if name not in self._ready:
            with meter.setup():
                what.setup()
            self._ready.add(name)


def _raise_fatal(error: Exception) -> None:
    """Raise again what would hit every other segment as well."""
    if isinstance(error, OSError) and error.errno in FULL:
        raise StoreError("the disk is full: free some space; the same command resumes") from error
    if isinstance(error, MissingDependencyError | MemoryError | StoreError | StepFault):
        raise error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, MossAudioError) else f"{type(error).__name__}: {text}"


def _note(store: AnnotationStore, step: str, shard: int, key: str, row: dict[str, Any]) -> None:
    text = json.dumps({**row, "shard": shard, "pid": os.getpid()})
    store.put_lines(store.stats(step, shard, key), [text + "\n"], sync=False)


def _line(one: Recording | str | Aside) -> str:
    if isinstance(one, str):
        return one
    return line_of(vars(one) if isinstance(one, Recording) else {"aside": asdict(one)})

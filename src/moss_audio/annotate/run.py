"""The whole of the data engine on one page: inputs -> plan -> ingest -> steps -> outputs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from moss_audio.annotate.build import Pipeline, PipelinePart, build_pipeline
from moss_audio.annotate.claims import Claims
from moss_audio.annotate.config import AnnotateConfig, RunConfig, as_text
from moss_audio.annotate.finish import Finish, Summary
from moss_audio.annotate.inputs import list_inputs
from moss_audio.annotate.plan import Shard, make_plan
from moss_audio.annotate.progress import LiveView
from moss_audio.annotate.records import Aside
from moss_audio.annotate.store import AnnotationStore
from moss_audio.annotate.work import Ingest, Steps, Work
from moss_audio.errors import MossAudioError, require

# Of the extra, whatever the settings say; a step would miss them only once all is read.
_ALWAYS_NEEDED = ("librosa", "pyloudnorm", "scipy")


def annotate(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    config: AnnotateConfig,
    *,
    parts: Sequence[PipelinePart] | None = None,
    view: LiveView | None = None,
    retry: bool = False,
) -> Summary:
    """Turn recordings into segments with annotations and conversations to train on.

    What an earlier call with the same `out` has done, and would be done in the same way now, is
    not done again, however that call ended.

    Args:
        inputs: see `annotate.inputs.list_inputs`.
        out: the folder; `annotate.store` says what lies where.
        config: everything else; `config.run` decides where the work is done.
        parts: the steps; those of `annotate.build` by default.
        view: is told of progress.
        retry: do again what was set aside because a step failed or a file could not be read.

    Raises:
        MissingDependencyError: before anything is read, without the extra `annotate`.
        MossAudioError: nothing to read, or no shard can succeed (a model is missing, the disk is
            full); what is done stays, the same call resumes.
        KeyboardInterrupt: with a line that says so.
    """
    if parts is None:
        require(*_ALWAYS_NEEDED, extra="annotate", purpose="annotation")
    store = AnnotationStore(Path(out))
    pipeline = build_pipeline(config.parts, parts)
    if config.run.executor == "slurm":
        raise MossAudioError("run.executor: slurm queues jobs and returns: call submit")
    store.make()
    with store.lock():
        try:
            names = [os.fspath(one) for one in inputs]
            with _place(config.run):
                return _AnnotationRun(store, config, pipeline, view).all(names, retry)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted; the same command resumes") from None


def submit(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    config: AnnotateConfig,
    *,
    parts: Sequence[PipelinePart] | None = None,
    retry: bool = False,
) -> list[str]:
    """`annotate` as jobs of a Slurm cluster, which `config.run.slurm` describes; returns their
    ids as soon as they are queued. Submitted again, it resumes from what is done.

    Raises MossAudioError: nothing to read, or no Slurm here.
    """
    if config.run.slurm is None:
        raise MossAudioError("the configuration has no section run.slurm; name a partition there")
    from moss_audio.annotate import executors_slurm as slurm

    store = AnnotationStore(Path(out))
    pipeline = build_pipeline(config.parts, parts)
    store.make()
    with store.lock():
        run = _AnnotationRun(store, config, pipeline)
        finish = run.begin([os.fspath(one) for one in inputs], retry)
        numbers = [shard.number for shard in finish.shards]
        store.mark.unlink(missing_ok=True)
        sort = partial(sort_out_shards, store, run.ingest, finish.shards)
        phases = (
            slurm.SlurmPhase("ingest", run.ingest, numbers),
            slurm.SlurmPhase("sort", sort),
            slurm.SlurmPhase("steps", run.steps, numbers),
            slurm.SlurmPhase("finish", partial(finish_and_report, finish)),
        )
        return slurm.submit(phases, store.work, config.run.slurm)


def _place(config: RunConfig) -> AbstractContextManager[None]:
    if config.executor != "ray":
        return nullcontext()
    from moss_audio.annotate.executors_ray import connected

    return connected(config)


class _AnnotationRun:
    def __init__(
        self,
        store: AnnotationStore,
        config: AnnotateConfig,
        pipeline: Pipeline,
        view: LiveView | None = None,
    ) -> None:
        self.store, self.config, self.view = store, config, view
        self.ingest = Ingest(store, config.ingest)
        self.steps = Steps(store, pipeline, config.run.block_s, config.run.batch)

    def all(self, inputs: Sequence[str], retry: bool) -> Summary:
        finish = self.begin(inputs, retry)
        active = finish.shards
        todo = [s.number for s in active if not self.ingest.path(s.number, s.entries).exists()]
        self._work("ingest", self.ingest, todo, {"ingest": len(todo)})
        sort_out_shards(self.store, self.ingest, active)
        missing = {s.number: self.steps.missing(s.number) for s in active}
        self._explain(missing)
        names = self.steps.pipeline.names
        counts = {name: sum(name in steps for steps in missing.values()) for name in names}
        self._work("steps", self.steps, [n for n, steps in missing.items() if steps], counts)
        return finish.run()

    def _explain(self, missing: Mapping[int, Sequence[str]]) -> None:
        """Say which steps of an earlier run are done again, and why."""
        again = []
        for name in self.steps.pipeline.names:
            made = {path.name.split("-")[0] for path in (self.store.work / name).glob("*.jsonl")}
            if any(name in steps and f"{n:05d}" in made for n, steps in missing.items()):
                again.append(name)
        if again and self.view is not None:
            self.view.note(
                f"made again, since settings, versions or recordings changed: {', '.join(again)}"
            )

    def begin(self, inputs: Sequence[str], retry: bool) -> Finish:
        """Everything before the work: what there is, and where it belongs."""
        listing = list_inputs(inputs, self.store.root)
        if not listing.entries:
            first = listing.asides[0] if listing.asides else None
            why = f" ({first.path}: {first.detail})" if first else ""
            raise MossAudioError(f"no recordings to annotate{why}; name files or folders of them")
        self.store.put(self.store.root / "config.yaml", as_text(self.config))
        shards = make_plan(self.store, listing.entries, self.config.ingest)
        finish = Finish(self.store, self.ingest, self.steps, shards, listing.asides)
        if retry:
            self.store.mark.unlink(missing_ok=True)
            self._forget(finish.shards)
        return finish

    def _work(self, name: str, work: Work, shards: list[int], counts: Mapping[str, int]) -> None:
        if not shards:
            return
        self.store.mark.unlink(missing_ok=True)  # the outputs are not of this any more
        claims = Claims(self.store.work / "claims" / name)
        with self.view.phase(self.store, counts) if self.view else nullcontext(), claims.held():
            if self.config.run.executor == "ray":
                from moss_audio.annotate.executors_ray import run_ray

                run_ray(work, shards, claims, self.config.run)
            else:
                from moss_audio.annotate.executors import run_local

                run_local(work, shards, claims, self.config.run.workers)

    def _forget(self, shards: Sequence[Shard]) -> None:
        """Remove the results in which something failed, and what was made from them."""
        for shard in shards:
            path = self.ingest.path(shard.number, shard.entries)
            if path.exists() and _has_aside(self.store, path):
                path.unlink()
            if not self.store.recordings(shard.number).exists():
                continue
            spoilt: set[str] = set()
            after = {step.name: step.after for step in self.steps.pipeline.steps}
            for name, key in self.steps.keys(shard.number).items():
                path = self.store.step(name, shard.number, key)
                if path.exists() and (
                    spoilt & set(after.get(name, ())) or _has_aside(self.store, path)
                ):
                    spoilt.add(name)
                    path.unlink()


def sort_out_shards(store: AnnotationStore, ingest: Ingest, shards: Sequence[Shard]) -> None:
    """Write down which recordings of each shard are used, those whose sound came before excepted,
    and what is set aside."""
    first: dict[str, str] = {}  # id -> where its sound was first met
    for shard in shards:
        used: list[dict[str, Any]] = []
        asides: list[Aside] = []
        rows = store.rows(ingest.path(shard.number, shard.entries))
        for row, entry, active in zip(rows, shard.entries, shard.active, strict=True):
            if active and "aside" in row:
                asides.append(Aside(**row["aside"]))
            elif active and row["id"] in first:
                detail = f"the same sound as {first[row['id']]}"
                asides.append(Aside(entry.path, "duplicate", detail, entry.member))
            elif active:
                first[row["id"]] = entry.name
                used.append({"recording": row, "entry": asdict(entry)})
        store.keep_rows(store.recordings(shard.number), used)
        store.keep_rows(store.sorted_out(shard.number), map(asdict, asides))


def finish_and_report(finish: Finish) -> None:
    """The last job of a cluster."""
    from moss_audio.annotate.report import write_report  # loads what only drawing needs

    finish.run()
    write_report(finish.store.root)


def _has_aside(store: AnnotationStore, path: Path) -> bool:
    return any("aside" in row for row in store.rows(path))

"""Runs work on shards: in processes of this machine, or as jobs of a Slurm cluster (datatrove)."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

from moss_audio.annotate.claims import Claims
from moss_audio.annotate.work import Work
from moss_audio.errors import MissingDependencyError, MossAudioError

try:
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.base import PipelineStep
except ModuleNotFoundError as error:
    raise MissingDependencyError("datatrove", "annotate", "annotation") from error


class ShardStep(PipelineStep):
    """One kind of work as a step of datatrove. Every rank takes shards until none is left, so
    that a rank with long ones does not keep the others waiting, and models load once a rank."""

    name = "shards"
    type = "annotation"

    def __init__(self, work: Work, shards: Sequence[int], claims: Claims) -> None:
        super().__init__()
        self.work, self.shards, self.claims = work, list(shards), claims

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """`data` and the number of the rank mean nothing here."""
        self.claims.work(self.work.do, self.shards)
        yield from ()


class LocalExecutor(LocalPipelineExecutor):
    """datatrove's executor for one machine, with processes that can be trusted to end.

    Its own pool waits for ever once the system has killed a worker (out of memory), and leaves
    workers and a manager behind when it is killed itself. Here every rank is a process of its own
    that ends with its parent, and one that dies ends the run. A single rank needs no process.
    """

    def run(self) -> None:
        """Run all ranks. Raises MossAudioError if a worker dies."""
        if self.workers == 1:
            with quiet():
                self._run_for_rank(0, 1)
            return
        context = get_context("spawn")
        # The children wait for the end of this pipe, which comes when this process ends.
        theirs, ours = context.Pipe(duplex=False)
        running: dict[Any, Any] = {}
        try:
            for rank in range(self.tasks):
                process = context.Process(target=_run_rank, args=(self, rank, theirs))
                with _without_interrupts():
                    process.start()
                running[process.sentinel] = process
            theirs.close()
            while running:
                for sentinel in connection.wait(list(running)):
                    process = running.pop(sentinel)
                    process.join()
                    if process.exitcode:
                        self._report(process)
        finally:
            ours.close()
            _end(list(running.values()))

    def _report(self, process: Any) -> None:
        (step,) = self.pipeline
        taken = step.claims.taken_by(process.pid)
        where = f" while at shard {taken[-1]:05d}" if taken else ""
        code = process.exitcode
        reason = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        more = "; out of memory? use fewer --workers" if code == -signal.SIGKILL else ""
        raise MossAudioError(f"a worker ended {reason}{where}{more}; the same command goes on")


def run_local(work: Work, shards: Sequence[int], claims: Claims, logs: Path, workers: int) -> None:
    """Do `work` on all shards with up to `workers` processes.

    Raises MossAudioError where a worker had to give up, or died; KeyboardInterrupt.
    """
    if not shards:
        return
    workers = min(workers, len(shards))
    claims.begin()
    executor = LocalExecutor(
        [ShardStep(work, shards, claims)],
        tasks=workers,
        workers=workers,
        logging_dir=str(logs),
        skip_completed=False,
    )
    executor.run()
    claims.check()
    claims.end()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that is started meanwhile holds Ctrl-C back until it has said that it ignores it;
    this one gets it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_rank(executor: LocalExecutor, rank: int, parent: Any) -> None:
    # Ctrl-C reaches all processes of a terminal; only the parent decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with quiet():
        executor._run_for_rank(rank, 1)


def _end_with(parent: Any) -> None:
    try:
        parent.recv()
    except (EOFError, OSError):
        os._exit(1)


@contextmanager
def quiet() -> Iterator[None]:
    """The terminal is for our own lines; what went wrong is told by the claims."""
    from loguru import logger

    logger.disable("datatrove")
    try:
        yield
    finally:
        logger.enable("datatrove")


def _end(processes: Sequence[Any]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(5.0)
        if process.is_alive():
            process.kill()
            process.join()

"""Runs work on shards in processes of this machine."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess

from moss_audio.annotate.claims import Claims
from moss_audio.annotate.work import Work
from moss_audio.errors import MossAudioError

_TERMINATED = 128 + signal.SIGTERM  # exit status of a worker that was told to stop


def run_local(work: Work, shards: Sequence[int], claims: Claims, workers: int) -> None:
    """Do `work` on all shards with up to `workers` processes; a single one needs none.

    Why a worker gave up is in `claims`. Raises MossAudioError if one died;
    KeyboardInterrupt.
    """
    if min(workers, len(shards)) == 1:
        claims.work(work.do, shards)
    else:
        _in_processes(work, shards, claims, min(workers, len(shards)))


def _in_processes(work: Work, shards: Sequence[int], claims: Claims, workers: int) -> None:
    """Each process takes shards until none is left, so that one with long shards does not keep the
    others waiting, and models load once a process."""
    others = set(active_children())
    started: set[BaseProcess] = set()
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker)
    try:
        with _without_interrupts():
            jobs = [pool.submit(_take_shards, work, shards, claims) for _ in range(workers)]
            started = set(active_children()) - others
        for job in as_completed(jobs):
            job.result()
        pool.shutdown()
    except BrokenProcessPool as error:
        _end(started)
        pool.shutdown()  # its thread waits for them, too: who asks meanwhile may see no exit code
        raise MossAudioError(_cause_of_death(started, claims)) from error
    except BaseException:
        _end(started)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _take_shards(work: Work, shards: Sequence[int], claims: Claims) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    try:
        claims.work(work.do, shards)
    except SystemExit:  # told to stop: half-written files are removed by now
        os._exit(_TERMINATED)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _begin_worker() -> None:
    # Ctrl-C reaches every process of the terminal; only the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # this runs in a worker
    parent.join()
    os._exit(1)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started meanwhile block Ctrl-C until they ignore it; this process gets it
    afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cause_of_death(started: set[BaseProcess], claims: Claims) -> str:
    """One line on the worker that broke the pool; the others were told to stop."""
    for process in started:
        code = process.exitcode
        if code is None or code in (0, _TERMINATED, -signal.SIGTERM):
            continue
        taken = claims.taken_by(process.pid or 0)
        where = f" while at shard {taken[-1]:05d}" if taken else ""
        reason = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        more = "; out of memory? use fewer --workers" if code == -signal.SIGKILL else ""
        return f"a worker ended {reason}{where}{more}; the same command resumes"
    return "a worker ended; the same command resumes"


def _end(processes: set[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(5.0)
        if process.is_alive():
            process.kill()
            process.join()

"""Run many shards in processes of their own, a few at a time, and stop them all when told to."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

from moss_audio.errors import MossAudioError

_POLL_S = 0.5
_UNFINISHED = re.compile(r"\.shard-\d{5}\.tmp-(\d{1,9})")


def run_each(
    work: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    *,
    workers: int,
    done: Callable[[int], None],
) -> None:
    """Call `work(*arguments[i])` for each i, each in a new process; `done(count)` after each.

    New processes, spawned: the speech libraries keep state from sentence to sentence that neither
    survives a fork nor can be reset, and what a shard holds must not depend on another. On the
    first failure, and on Ctrl-C, the others are ended. Raises MossAudioError with the message of
    the one that failed; `work` and its arguments must be picklable.
    """
    context = get_context("spawn")
    waiting = list(reversed(arguments))
    running: dict[Any, tuple[Any, Any]] = {}  # sentinel -> process, its end of a pipe
    count = 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        while waiting or running:
            while waiting and len(running) < max(1, workers):
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_call, args=(work, waiting.pop(), theirs))
                process.start()
                theirs.close()
                running[process.sentinel] = (process, ours)
            for sentinel in connection.wait(list(running), timeout=_POLL_S):
                process, ours = running.pop(sentinel)
                process.join()
                message = _message(ours)
                if message is not None or process.exitcode != 0:
                    raise MossAudioError(message or _how_it_ended(process.exitcode))
                count += 1
                done(count)
    finally:
        _end([process for process, _ in running.values()])


def _call(work: Callable[..., Any], arguments: tuple[Any, ...], pipe: Any) -> None:
    # Ctrl-C reaches all processes of a terminal; only the parent decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Stopped politely, so that the children of a voice and of festival end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        work(*arguments)
    except MossAudioError as error:
        pipe.send(str(error))


def _message(pipe: Any) -> str | None:
    try:
        return str(pipe.recv()) if pipe.poll() else None
    except EOFError:
        return None
    finally:
        pipe.close()


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        reason = signal.Signals(-code).name
        more = "; out of memory? use fewer --workers" if reason == "SIGKILL" else ""
        return f"a worker was ended by {reason}{more}; the same command resumes"
    return f"a worker failed with status {code}; its traceback is above"


def _end(processes: list[Any]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + 5.0
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def orphaned(parent: int) -> bool:
    """Whether the process that started this one, `parent`, is gone."""
    return os.getppid() != parent


def sweep(folder: Path) -> None:
    """Remove the unfinished shards of processes that no longer run: `.shard-NNNNN.tmp-PID`."""
    for path in folder.iterdir():
        found = _UNFINISHED.fullmatch(path.name)
        if found and not _alive(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

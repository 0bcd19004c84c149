"""Runs the tiny steps again and again, ends each run with SIGKILL after a time, and then lets one
come to its end.

    python killed.py IN OUT SEED KILLS WORKERS

Every run is a process of its own, forked from this one so that 20 of them need not import
everything 20 times. Prints how many folders
they worked in, and how many files of results the killed ones left.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from moss_audio.annotate.config import load_config
from moss_audio.annotate.run import annotate
from tests.annotate import tiny


def _run(recordings: str, out: str, workers: int) -> None:
    changes = {"ingest.shard_files": 2, "run.workers": workers}
    annotate([recordings], out, load_config(None, changes, tiny.PARTS), parts=tiny.PARTS)


def _forked(recordings: str, out: str, workers: int, after_s: float | None) -> int:
    """The status that the run ended with."""
    child = os.fork()
    if child == 0:
        _run(recordings, out, workers)
        os._exit(0)
    if after_s is not None:
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def main() -> None:
    """See above."""
    recordings, out, seed, kills, workers = sys.argv[1:]
    _run(recordings, f"{out}-warm", int(workers))  # so that no later run has to import anything
    began = time.perf_counter()
    if _forked(recordings, f"{out}-measured", int(workers), None):
        sys.exit("a run by itself fails")
    whole_s = time.perf_counter() - began
    rng = random.Random(int(seed))
    killed = steps = folder = here = 0
    while killed < int(kills):
        # Runs go on from each other, so that the moments are spread over all of the work; after
        # the end, or the fifth kill, another folder begins from nothing.
        place = f"{out}-{folder}"
        status = _forked(recordings, place, int(workers), rng.uniform(0.0, whole_s * 0.6))
        steps += len(list(Path(place).rglob("*-*.jsonl")))
        killed, here = killed + os.WIFSIGNALED(status), here + 1
        if not os.WIFSIGNALED(status) or here == 5:
            folder, here = folder + 1, 0
    for number in range(folder + 1):
        if _forked(recordings, f"{out}-{number}", int(workers), None):
            sys.exit("the last run fails")
    print(folder + 1, steps)


if __name__ == "__main__":
    main()

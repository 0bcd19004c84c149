"""What a step costs on a shard: measured here, written beside the results, never part of them."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moss_audio.annotate.records import Aside


class CostMeter:
    """Measures from when it is made. `trace` is the first unexpected failure's, to find its
    cause."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._setup_s = 0.0
        self.trace = ""

    @contextmanager
    def setup(self) -> Iterator[None]:
        """Loading models, which is measured separately."""
        began, cpu = time.perf_counter(), time.process_time()
        yield
        took_s = time.perf_counter() - began
        self._setup_s += took_s
        self._wall += took_s
        self._cpu += time.process_time() - cpu

    def row(self, audio_s: float, done: Sequence[object]) -> dict[str, Any]:
        """Until now: `audio_s` heard (of recordings in ingest and segment, of segments in the
        others), how many of `done`, times, this process's memory at its peak, reasons of what is
        aside."""
        return {
            "audio_s": round(audio_s, 3),
            "items": len(done),
            "wall_s": round(time.perf_counter() - self._wall, 4),
            "cpu_s": round(time.process_time() - self._cpu, 4),
            "setup_s": round(self._setup_s, 4),
            "peak_mib": round(peak_mib(), 1),
            "asides": [one.reason for one in done if isinstance(one, Aside)],
            "trace": self.trace,
        }


def peak_mib() -> float:
    """The most memory this process has held. Linux's getrusage would also count its parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024

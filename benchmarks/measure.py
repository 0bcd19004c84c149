"""What the benchmarks share: fair timing, a result's row, and what it was measured on."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.perf_counter,
    "cpu": time.process_time,  # of all threads of this process: less disturbed by other programs
}


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: what is compared with which peer.
        ours, peer: medians with their unit, as shown.
        ratio: how many times better ours is (or, where `lower` is true, how many times larger).
        aim: the ratio that is hoped for; None where the row is there for completeness.
        lower: the ratio should be at most `aim` instead of at least.
        note: what a reader must know to judge it.
    """

    what: str
    ours: str
    peer: str
    ratio: float
    aim: float | None = None
    lower: bool = False
    note: str = ""

    @property
    def aim_text(self) -> str:
        if self.aim is None:
            return ""
        return f"{'≤' if self.lower else '≥'} {self.aim:g}x"

    @property
    def reached(self) -> bool | None:
        if self.aim is None:
            return None
        return self.ratio <= self.aim if self.lower else self.ratio >= self.aim


@dataclass(frozen=True)
class Timing:
    """Medians of two functions that took turns, in seconds, and of the ratio of each pair."""

    ours_s: float
    peer_s: float
    ratio: float


def alternate(
    ours: Callable[[], Any], peer: Callable[[], Any], *, rounds: int, warm_up: int, clock: str
) -> Timing:
    """Time two functions in turns, so that a machine that slows down slows both down."""
    now = CLOCKS[clock]

    def timed(function: Callable[[], Any]) -> float:
        began = now()
        function()
        return now() - began

    for _ in range(warm_up):
        ours()
        peer()
    pairs = [(timed(ours), timed(peer)) for _ in range(rounds)]
    return Timing(
        statistics.median(mine for mine, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
        statistics.median(theirs / mine for mine, theirs in pairs),
    )


def milliseconds(seconds: float) -> str:
    """`3.42 ms`, `1.25 s`."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"


def cpu_name() -> str:
    """The processor as the system calls it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine(dtype: Any) -> str:
    """One line: processor, threads, number type, versions."""
    import torch
    import transformers

    return (
        f"{cpu_name()}, {torch.get_num_threads()} threads, {str(dtype).removeprefix('torch.')}, "
        f"torch {torch.__version__}, transformers {transformers.__version__}, "
        f"Python {platform.python_version()}"
    )

"""How many threads compute: as many as this process may really use, and none of them spins."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from moss_audio.errors import MossAudioError

VARIABLE = "MOSS_AUDIO_THREADS"


def choose_threads(threads: int | None = None) -> int:
    """The given number; else that of the variable MOSS_AUDIO_THREADS, or of OMP_NUM_THREADS; else
    one for each core that this process may run on, but no more than its container's share of time.

    Raises:
        MossAudioError: for anything but a whole number, 1 or more.
    """
    if threads is not None:
        if type(threads) is not int or threads < 1:
            raise MossAudioError(f"threads={threads!r}: give a whole number, 1 or more")
        return threads
    if given := os.environ.get(VARIABLE, "").strip():
        if not given.isdecimal() or int(given) < 1:
            raise MossAudioError(f"{VARIABLE}={given}: give a whole number, 1 or more")
        return int(given)
    # OpenMP's own may be a list, one for each level of nesting
    usual = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if usual.isdecimal() and int(usual) >= 1:
        return int(usual)
    quotas = _quotas(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return max(1, min([_cores(), *(math.ceil(quota) for quota in quotas)]))


def use_threads_of_torch(threads: int | None = None) -> None:
    """Let torch compute with `choose_threads(threads)`.

    Threads that wait actively for the next piece of work slow everything else on the machine down,
    and each other: OpenMP is told not to, which it hears only if torch was not imported before.
    """
    chosen = choose_threads(threads)
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ.setdefault("KMP_BLOCKTIME", "0")
    import torch

    torch.set_num_threads(chosen)


def _cores() -> int:
    """Processors that this process may run on; of two on one core one, where there are many: the
    arithmetic units are the core's."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    siblings = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    try:
        cores = {Path(siblings.format(number)).read_text() for number in allowed}
    except OSError:
        return len(allowed)
    return min(len(allowed), max(2, len(cores)))


def _quotas(memberships: Path, mounted: Path) -> Iterator[float]:
    """The processors that each control group above this process allows it, of either version."""
    try:
        lines = memberships.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            base = mounted
        elif "cpu" in names.split(","):
            base = next((p for p in (mounted / names, mounted / "cpu") if p.is_dir()), mounted)
        else:
            continue
        folder = base / path.lstrip("/")
        for group in (folder, *folder.parents):
            if base != group and base not in group.parents:
                break
            yield from _quota(group)


def _quota(group: Path) -> Iterator[float]:
    """Microseconds of processor time in a period, over the period; nothing where all is free."""
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
        if quota != "max" and float(quota) > 0 and float(period) > 0:
            yield float(quota) / float(period)
    except (OSError, ValueError):
        return

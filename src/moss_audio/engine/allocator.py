"""What the C library does with memory that is free again: it keeps it, unless told otherwise."""

from __future__ import annotations

import contextlib
import ctypes
import os

# malloc.h of glibc
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
_MAPPED_BYTES = 256 * 1024


def give_back() -> None:
    """Memory that is free in this process goes back to the system (glibc; nothing elsewhere)."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def keep_little() -> None:
    """For a process that runs for weeks with many threads; to be called before they are made.

    glibc gives each thread an arena of its own, and after one large block was freed it takes
    larger ones from arenas too, where small neighbours that live on keep them from going back.
    Here all threads share one arena, and blocks of 256 KiB and more are always mapped by
    themselves. `MALLOC_ARENA_MAX` and `MALLOC_MMAP_THRESHOLD_` in the environment take
    precedence. Elsewhere than with glibc this does nothing.
    """
    for name, parameter, value in (
        ("MALLOC_ARENA_MAX", _ARENA_MAX, 1),
        ("MALLOC_MMAP_THRESHOLD_", _MMAP_THRESHOLD, _MAPPED_BYTES),
    ):
        if name not in os.environ:
            with contextlib.suppress(OSError, AttributeError, TypeError):
                ctypes.CDLL(None).mallopt(parameter, value)

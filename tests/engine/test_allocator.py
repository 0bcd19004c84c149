"""What glibc keeps of memory that was given back."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

CHILD = """
import ctypes, sys, threading
from moss_audio.engine.allocator import keep_little
if sys.argv[1] == "little":
    keep_little()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.fopen.restype = ctypes.c_void_p
barrier = threading.Barrier(6)
def allocate():
    barrier.wait()
    libc.malloc(1000)
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(6)]
[one.start() for one in threads]
[one.join() for one in threads]
libc.malloc_info(0, ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w")))
libc.fflush(None)
"""


def arenas(tmp_path, how: str, **environment: str) -> int:
    """Of a process in which several threads allocate at once."""
    out = tmp_path / "malloc.xml"
    subprocess.run(
        [sys.executable, "-c", CHILD, how, str(out)], check=True, env={**os.environ, **environment}
    )
    return out.read_text().count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_all_threads_share_one_arena(tmp_path):
    assert arenas(tmp_path, "little") == 1
    assert arenas(tmp_path, "as it comes") > 1
    assert arenas(tmp_path, "little", MALLOC_ARENA_MAX="4") > 1

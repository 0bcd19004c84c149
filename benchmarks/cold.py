"""The command from a cold shell: its processor time and memory, and ten minutes of speech.

    python benchmarks/cold.py           the light engine against torch; beside a busy process
    python benchmarks/cold.py --long    ... and 10 minutes of speech beside faster-whisper

Processor time counts all threads of the process and of what it starts. The busy process turns in a
loop on the same cores; what it takes from a program that waits by sleeping is nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measure import Row, cpu_name
from run import print_rows
from sounds import SPOKEN, speech

from moss_audio.units import SAMPLE_RATE

_LONG_S = 600
_WHISPER = """
import sys
from moss_audio.annotate.tools.speech.asr_whisper import WhisperConfig, load_whisper
model = load_whisper(WhisperConfig())
said, _ = model.transcribe(sys.argv[1], language="en", beam_size=1, temperature=0)
print(" ".join(one.text.strip() for one in said))
"""


@dataclass(frozen=True)
class _Run:
    """What one process took."""

    cpu_s: float
    wall_s: float
    peak_mib: float
    text: str


def _run(*command: str) -> _Run:
    """A command in a process of its own. (`wait4` gives its use alone, not that of all before.)"""
    with tempfile.TemporaryFile() as out:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - began
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        out.seek(0)
        text = out.read().decode()
    return _Run(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss / 1024, text)


def _transcribe(path: Path, engine: str) -> _Run:
    return _run(sys.executable, "-m", "moss_audio", "transcribe", str(path), "--engine", engine)


@contextmanager
def _busy() -> Iterator[None]:
    """Another process that computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _median(runs: list[_Run], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs)


def cold(rounds: int) -> list[Row]:
    """The spoken example: the light engine and torch in turns, then beside a busy process."""
    for engine in ("onnx", "torch"):
        _transcribe(SPOKEN, engine)  # the files come from memory, the code is compiled
    pairs = [(_transcribe(SPOKEN, "onnx"), _transcribe(SPOKEN, "torch")) for _ in range(rounds)]
    ours, peer = [mine for mine, _ in pairs], [theirs for _, theirs in pairs]
    with _busy():
        beside = [_transcribe(SPOKEN, "onnx") for _ in range(rounds)]
    same = "the same text" if ours[0].text == peer[0].text else "OTHER TEXT"
    ours_s, peer_s, beside_s = (_median(runs, "cpu_s") for runs in (ours, peer, beside))
    ours_mib, peer_mib = _median(ours, "peak_mib"), _median(peer, "peak_mib")
    return [
        Row("transcribe 7 s, cold: processor time, onnx / torch", f"{ours_s:.2f} s",
            f"{peer_s:.2f} s", peer_s / ours_s, aim=4, note=same),
        Row("the same: peak memory", f"{ours_mib:.0f} MiB", f"{peer_mib:.0f} MiB",
            peer_mib / ours_mib, aim=3),
        Row("the same: beside a busy process / alone", f"{beside_s:.2f} s", f"{ours_s:.2f} s",
            beside_s / ours_s, aim=1.3, lower=True),
    ]  # fmt: skip


def long() -> list[Row]:
    """Ten minutes of speech: this package, and faster-whisper tiny.en in int8, greedy."""
    with tempfile.TemporaryDirectory(prefix="moss-audio-bench-") as folder:
        path = Path(folder) / "long.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes((np.clip(speech(_LONG_S), -1, 1) * 32767).astype("<i2").tobytes())
        ours, peer = _transcribe(path, "onnx"), _run(sys.executable, "-c", _WHISPER, str(path))
    note = f"wall {ours.wall_s:.0f} s and {peer.wall_s:.0f} s; "
    note += f"{len(ours.text.split())} and {len(peer.text.split())} words"
    return [
        Row(f"{_LONG_S // 60} min of speech: processor time, nano / tiny.en int8",
            f"{ours.cpu_s:.1f} s, {ours.cpu_s / _LONG_S:.3f} x real time",
            f"{peer.cpu_s:.1f} s, {peer.cpu_s / _LONG_S:.3f} x real time",
            peer.cpu_s / ours.cpu_s, note=note),
    ]  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true", help="also 10 minutes of speech")
    given = parser.parse_args()
    rows = cold(given.rounds) + (long() if given.long else [])
    cores = len(os.sched_getaffinity(0))
    print_rows(rows, f"{cpu_name()}, {cores} cores; medians of {given.rounds}")


if __name__ == "__main__":
    main()

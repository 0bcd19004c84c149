"""The data engine: audio hours an hour a core for each step, 2 workers against 1, and memory.

    python benchmarks/annotate.py RECORDINGS                      the real steps, defaults
    python benchmarks/annotate.py RECORDINGS --config data.yaml
    python benchmarks/annotate.py RECORDINGS --steps tests.annotate.tiny:PARTS    the engine alone

Each figure comes from a run into an empty folder in a process of its own. A step's time is that of
the process (not of other programs) while it was at work, without loading models, which is shown
beside it. For memory the recordings are given once and ten times, each time a little softer, so
that no two are the same; the peak is that of the process that held most.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_AIM_WORKERS, _AIM_MEMORY = 1.7, 1.2


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="+", help="files or folders")
    parser.add_argument("--config", help="YAML; all defaults without one")
    parser.add_argument("--steps", help="module:PARTS of other steps than the engine's own")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each kind; best is taken")
    parser.add_argument("--times", type=int, default=10, help="how much more for the memory")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="moss-audio-bench-") as folder:
        one = [_run(given, given.recordings, 1, folder) for _ in range(given.rounds)]
        two = [_run(given, given.recordings, 2, folder) for _ in range(given.rounds)]
        best, pair = (min(runs, key=lambda run: run["wall_s"]) for runs in (one, two))
        print(f"{best['hours']:.3f} h in {best['segments']} segments\n")
        print("step        h audio / h core   cpu s   wall s   loading s   peak MiB")
        for name, step in best["steps"].items():
            rate = step["audio_s"] / step["cpu_s"] if step["cpu_s"] else float("inf")
            print(
                f"{name:<12}{rate:>14.0f}{step['cpu_s']:>10.2f}{step['wall_s']:>9.2f}"
                f"{step['setup_s']:>12.2f}{step['peak_mib']:>11.0f}"
            )
        ratio = best["wall_s"] / pair["wall_s"]
        print(
            f"\n1 worker {best['wall_s']:.1f} s, 2 workers {pair['wall_s']:.1f} s: {ratio:.2f}x "
            f"(aim {_AIM_WORKERS}x); from starting to the summary, loading included"
        )
        if not given.no_memory:
            _memory(given, folder, best["peak_mib"])
    return 0


def _memory(given: argparse.Namespace, folder: str, once: float) -> None:
    inputs = Path(folder) / "more"
    _multiply(given.recordings, inputs, given.times)
    more = _run(given, [str(inputs)], 1, folder)
    ratio = more["peak_mib"] / once
    print(
        f"peak memory {once:.0f} MiB, with {given.times} times the input ({more['hours']:.2f} h) "
        f"{more['peak_mib']:.0f} MiB: {ratio:.2f}x (aim at most {_AIM_MEMORY}x)"
    )


def _multiply(recordings: Sequence[str], out: Path, times: int) -> None:
    """Every recording `times` times, each 0.1 dB softer than the last, as FLAC."""
    from moss_audio.annotate import flac
    from moss_audio.annotate.inputs import list_inputs
    from moss_audio.recordings import load_audio

    out.mkdir()
    for number, entry in enumerate(list_inputs(recordings).entries):
        samples = load_audio(entry.open()).samples
        for copy in range(times):
            data = flac.encode(samples * 10 ** (-0.1 * copy / 20))
            (out / f"{copy:02d}-{number:05d}.flac").write_bytes(data)


def _run(
    given: argparse.Namespace, inputs: Sequence[str], workers: int, folder: str
) -> dict[str, Any]:
    out = tempfile.mkdtemp(dir=folder)
    options = {
        "inputs": list(inputs), "out": out, "workers": workers,
        "config": given.config, "steps": given.steps,
    }  # fmt: skip
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(options)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    figures = json.loads(done.stdout.splitlines()[-1])
    figures["wall_s"] = time.perf_counter() - began
    figures["steps"] = _steps(Path(out))
    peaks = [step["peak_mib"] for step in figures["steps"].values()]
    figures["peak_mib"] = max(figures["peak_mib"], *peaks)
    return figures


def _steps(out: Path) -> dict[str, dict[str, float]]:
    """Sums over the shards, in the order in which the steps began."""
    stats = out / "work" / "stats"
    found: dict[str, dict[str, float]] = {}
    first = {p: min(f.stat().st_mtime_ns for f in p.iterdir()) for p in stats.iterdir()}
    for path in sorted(first, key=lambda p: first[p]):
        rows = [json.loads(file.read_text()) for file in path.iterdir()]
        found[path.name] = {
            **{k: sum(r[k] for r in rows) for k in ("audio_s", "cpu_s", "wall_s", "setup_s")},
            "peak_mib": max(row["peak_mib"] for row in rows),
        }
    return found


def _child(options: dict[str, Any]) -> None:
    from moss_audio.annotate.config import load_config
    from moss_audio.annotate.cost import peak_mib
    from moss_audio.annotate.run import annotate

    parts = None
    if options["steps"]:
        sys.path.insert(0, "")
        module, _, name = options["steps"].partition(":")
        parts = getattr(importlib.import_module(module), name)
    path = Path(options["config"]) if options["config"] else None
    config = load_config(path, {"run.workers": options["workers"]}, parts)
    summary = annotate(options["inputs"], options["out"], config, parts=parts)
    hours = summary.segments_s / 3600
    print(json.dumps({"peak_mib": peak_mib(), "hours": hours, "segments": summary.segments}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(json.loads(sys.argv[2]))
    else:
        sys.exit(main())

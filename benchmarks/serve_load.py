"""What a server on this machine can do at once: live streams, clips, and a long file beside speech.

    python benchmarks/serve_load.py --out load.json           all of it, some minutes
    python benchmarks/serve_load.py --only clips beside       some of it

Compared are levels of load with each other, one after the other on the same server. Close other
programs first; `load_average` says whether there were some.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
from served import Served
from sounds import SPOKEN, speech

from moss_audio.endpoint.http import Connection, multipart
from moss_audio.files import write_atomic
from moss_audio.recordings import load_audio
from moss_audio.recordings.wav import wav_bytes
from moss_audio.serve.bench.clips import ClipPool
from moss_audio.serve.bench.figures import percentiles
from moss_audio.serve.bench.live import LiveStream
from moss_audio.serve.bench.measured import Measured
from moss_audio.serve.bench.plan import BenchPlan
from moss_audio.serve.bench.rest import in_thread
from moss_audio.serve.bench.run import Bench
from moss_audio.units import SAMPLE_RATE

NAMES = ("streams", "full", "clips", "beside")
FILE_S = 600
_TURNS = ((0.5, 3.4), (3.4, 7.3), (1.0, 4.2))  # seconds of the spoken example
_EVERY_S = 0.5
_MANY = "64"


def sources() -> list[Any]:
    """What is said in a turn."""
    return [load_audio(SPOKEN, start=start, end=end) for start, end in _TURNS]


def plan(url: str, seed: int, **how: Any) -> BenchPlan:
    """The same for all."""
    return BenchPlan(url, sample_rate=SAMPLE_RATE, seed=seed, **how)


async def measured(bench: Bench) -> list[dict[str, Any]]:
    """Its levels."""
    await bench.run()
    levels: list[dict[str, Any]] = bench.report()["levels"]
    return levels


def streams(server: Served, counts: tuple[int, ...], seconds: float, seed: int) -> dict[str, Any]:
    """The time to the final transcript by the number of streams."""
    levels = []
    for count in counts:
        busy, began = server.cpu_s, time.monotonic()
        bench = Bench(plan(server.url, seed, streams=(count,), duration_s=seconds), sources())
        (level,) = asyncio.run(measured(bench))
        level["server_cpu"] = round((server.cpu_s - busy) / (time.monotonic() - began), 3)
        levels.append(level)
        print(f"{count} streams: final {level['time_to_final_s']}", file=sys.stderr)
    one = levels[0]["time_to_final_s"]["p95"]
    within = [
        level["size"] for level in levels
        if level["time_to_final_s"]["p95"] <= 2 * one and not level["errors"] + level["refused"]
    ]  # fmt: skip
    return {"levels": levels, "within_twice": max(within, default=0)}


async def _attempts(url: str, until: float) -> list[Measured]:
    """Somebody who tries to get in all the time."""
    found: list[Measured] = []
    pool = ClipPool(sources(), SAMPLE_RATE, 0)
    while (now := time.monotonic()) < until:
        one = LiveStream(plan(url, 0, streams=(1,)), "", pool, random.Random(0), found)
        await one.run(now, now)
        await asyncio.sleep(_EVERY_S)
    return found


def full(server: Served, seconds: float, seed: int) -> dict[str, Any]:
    """As many streams as are let in, and with others that try to get in."""
    count = int(server.said(r"live sessions at once: (\d+)"))
    how = plan(server.url, seed, streams=(count,), duration_s=seconds)
    (alone,) = asyncio.run(measured(Bench(how, sources())))

    async def both() -> tuple[list[dict[str, Any]], list[Measured]]:
        bench = Bench(how, sources())
        running = asyncio.ensure_future(measured(bench))
        while not bench.levels:
            await asyncio.sleep(0.05)
        await asyncio.sleep(8)  # all are in
        return_at = time.monotonic() + seconds - 8
        refused = await _attempts(server.url, return_at)
        return await running, refused

    (beside,), tried = asyncio.run(both())
    refused_s = [one.final - one.due for one in tried if one.outcome == "refused" and one.final]
    ratios = {
        name: round(beside["time_to_final_s"][name] / alone["time_to_final_s"][name], 3)
        for name in ("p50", "p95")
    }
    return {"sessions": count, "alone": alone, "beside": beside, "tried": len(tried),
            "refused": percentiles(refused_s), "ratio": ratios}  # fmt: skip


def clips(server: Served, seconds: float, seed: int) -> dict[str, Any]:
    """Eight requests at once against one by one: in wall time, and the processor's."""
    rows: dict[int, list[tuple[float, float]]] = {1: [], 8: []}
    for turn in range(2):
        for count in rows:
            how = plan(server.url, seed + turn, concurrency=(count,), duration_s=seconds)
            busy = server.cpu_s
            (level,) = asyncio.run(measured(Bench(how, [SPOKEN])))
            took = (server.cpu_s - busy) / (level["answered"] + 1)  # and the one that warms up
            rows[count].append((level["requests_per_s"], took))
            print(f"{count} clips at once: {rows[count][-1]}", file=sys.stderr)
    best = {count: max(rate for rate, _ in found) for count, found in rows.items()}
    least = {count: min(cpu for _, cpu in found) for count, found in rows.items()}
    return {
        "requests_per_s": rows,
        "ratio_wall": round(best[8] / best[1], 3),
        "ratio_cpu": round(least[1] / least[8], 3),
    }


def beside(server: Served, seconds: float, seed: int) -> dict[str, Any]:
    """A live stream alone, and beside a file of ten minutes."""
    http = Connection(server.url, "", 1800.0, 0)
    levels: dict[str, list[dict[str, Any]]] = {"alone": [], "beside": []}

    async def with_file(turn: int) -> dict[str, Any]:
        sound = wav_bytes(speech(FILE_S, seed=seed + turn))
        body, kind = multipart({"model": "nano"}, "long.wav", sound, "audio/wav")
        began = time.monotonic()
        job = asyncio.ensure_future(
            in_thread(lambda: http.json("/audio/transcriptions", body, kind))
        )
        await asyncio.sleep(2.0)  # it is being worked on
        how = plan(server.url, seed + turn, streams=(1,), duration_s=seconds)
        (level,) = await measured(Bench(how, sources()))
        level["file_done"] = job.done()
        await job
        level["file_s"] = round(time.monotonic() - began, 1)
        return level

    for turn in range(2):
        how = plan(server.url, seed + turn, streams=(1,), duration_s=seconds)
        levels["alone"] += asyncio.run(measured(Bench(how, sources())))
        levels["beside"].append(asyncio.run(with_file(turn)))
        print({name: one[-1]["time_to_final_s"] for name, one in levels.items()}, file=sys.stderr)
    ratios = {
        name: round(
            sum(one["time_to_final_s"][name] for one in levels["beside"])
            / sum(one["time_to_final_s"][name] for one in levels["alone"]), 3,
        )
        for name in ("p50", "p95")
    }  # fmt: skip
    return {"levels": levels, "ratio": ratios}


def main() -> int:
    """Run, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 6, 8, 10, 12])
    parser.add_argument("--seconds", type=float, default=30.0, help="of a level")
    parser.add_argument("--threads", type=int, default=1, help="of the server's model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    threads = ("--threads", str(given.threads))
    report: dict[str, Any] = {
        "processor": measure.cpu_name(),
        "cores": os.cpu_count(),
        "threads": given.threads,
        "load_average": {"before": os.getloadavg()},
    }
    with tempfile.TemporaryDirectory(prefix="moss-audio-load-") as folder:
        for name in given.only:
            options = threads if name == "full" else (*threads, "--max-live-sessions", _MANY)
            server = Served(Path(folder) / name, *options)
            try:
                if name == "streams":
                    counts = tuple(given.streams)
                    report[name] = streams(server, counts, given.seconds, given.seed)
                elif name == "full":
                    report[name] = full(server, given.seconds, given.seed)
                elif name == "clips":
                    report[name] = clips(server, given.seconds / 2, given.seed)
                else:
                    report[name] = beside(server, given.seconds, given.seed)
            finally:
                server.end()
    report["load_average"]["after"] = os.getloadavg()
    text = json.dumps(report, indent=1)
    print(text)
    if given.out:
        write_atomic(given.out, text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

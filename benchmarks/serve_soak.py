"""A server under mixed load for as long as it is told to: is anything wrong, lost or kept?

    python benchmarks/serve_soak.py --minutes 60 --out soak.json

Live streams at the pace of speech and faster, transcriptions, events and conversations over HTTP,
as a whole and as they are written; clients that hang up at random moments, and sockets that are
cut. Every answer is compared with that of the same checkpoint in this process: answers over HTTP
and exact turns have to be the same, other turns in 99.5 % of their words. The server's memory
is watched; in the end nothing may be left in it. The exit code is 1 where any of that does not
hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from served import Served

import moss_audio
from moss_audio.endpoint.http import Connection
from moss_audio.engine import GenerationOptions, Request
from moss_audio.files import write_atomic
from moss_audio.metrics.asr import text_errors
from moss_audio.recordings import load_audio
from moss_audio.serve.bench.client import LiveClient
from moss_audio.serve.bench.clips import BenchClip, ClipPool
from moss_audio.serve.bench.live import LiveStream
from moss_audio.serve.bench.measured import Measured
from moss_audio.serve.bench.plan import BenchPlan
from moss_audio.serve.bench.rest import ANSWER_TOKENS, QUESTION, RestClient, in_thread
from moss_audio.units import SAMPLE_RATE
from moss_audio.writers import rounded

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PARTS = (
    ("speech", 0.5, 3.4), ("speech", 3.4, 7.3), ("speech", 0.0, 7.3), ("speech", 1.0, 2.4),
    ("events", 0.0, 4.5), ("events", 4.0, 10.0), ("music", 0.0, 5.0), ("speech", 0.3, 6.0),
)  # fmt: skip
VARIANTS = 3
CYCLES = 500
SAMPLED_S = 5.0
GROWTH_MIB = 20.0
SAME_WORDS = 0.995  # of turns that need not be exact: a guess may turn a near tie
EMPTY = ("num_requests_running", "num_requests_waiting", "websocket_connections_active",
         "kv_cache_usage_perc")  # fmt: skip


class Soak:
    """The load, and what came of it."""

    def __init__(self, url: str, seed: int, until: float) -> None:
        sources = [load_audio(EXAMPLES / f"{name}.wav", start=a, end=b) for name, a, b in PARTS]
        self.pool = ClipPool(sources, SAMPLE_RATE, seed, VARIANTS)
        self.url, self.until, self.rng = url, until, random.Random(seed)
        self.right: dict[tuple[str, int], str] = {}
        self.seen: Counter[str] = Counter()  # kinds of load that went well, were cut, or did not
        self.wrong: list[dict[str, str]] = []
        self.near: list[dict[str, str]] = []  # turns that need not be exact, and are not
        self.words = self.other_words = 0  # of such turns

    def learn(self) -> None:
        """The answers of the checkpoint in this process."""
        model = moss_audio.load("nano")
        options = GenerationOptions(max_new_tokens=ANSWER_TOKENS)
        for clip in self.pool.all():
            sound = load_audio(clip.wav())
            self.right["transcribe", clip.number] = model.transcribe(sound).text
            events = json.loads(json.dumps(rounded(model.events(sound))))
            self.right["events", clip.number] = json.dumps(events, sort_keys=True)
            asked = Request.question(QUESTION, sound.samples, options=options)
            self.right["chat", clip.number] = model.engine.generate([asked])[0].text
        model.engine.forget()

    def check(
        self, kind: str, task: str, clip: BenchClip, said: str, *, exact: bool = True
    ) -> None:
        right = self.right[task, clip.number]
        self.seen[f"{kind} answered"] += 1
        if not exact:
            counts = text_errors(right, said)
            self.words += counts.references
            self.other_words += counts.errors
        if said.strip() != right.strip():
            found = {"kind": kind, "clip": str(clip.number), "said": said, "right": right}
            (self.wrong if exact else self.near).append(found)

    def failed(self, kind: str, one: Measured) -> None:
        self.seen[f"{kind} {one.outcome}: {one.problem[:120]}"] += 1

    async def paced(self) -> None:
        """A live stream for some turns, which may be left in the middle."""
        plan = BenchPlan(self.url, streams=(1,), sample_rate=SAMPLE_RATE)
        found: list[Measured] = []
        stream = LiveStream(plan, "", self.pool, random.Random(self.rng.random()), found)
        now = time.monotonic()
        work = stream.run(now, min(self.until, now + self.rng.uniform(5, 30)))
        try:
            await asyncio.wait_for(work, self.rng.uniform(0.2, 60))
        except TimeoutError:
            self.seen["paced left"] += 1
        for one in found:
            if one.outcome == "ok" and one.clip is not None:
                self.check("paced", "transcribe", one.clip, one.text, exact=False)
            elif one.outcome != "open":
                self.failed("paced", one)

    async def unpaced(self) -> None:
        """A turn as fast as it can be sent, in pieces of any size."""
        clip, leaves, exact = self.pool.draw(), self.rng.random() < 0.3, self.rng.random() < 0.5
        kind = "unpaced, exact" if exact else "unpaced"
        async with LiveClient.open(self.url, SAMPLE_RATE, exact=exact) as client:
            data = clip.pcm.tobytes()
            while data:
                size = self.rng.randint(1, 60_000)
                piece, data = data[:size], data[size:]
                await client.append(piece)
                if leaves and self.rng.random() < 0.2:
                    break
            await client.commit()
            if leaves:
                await asyncio.sleep(self.rng.uniform(0, 0.5))
                client.cut()
                self.seen["unpaced cut"] += 1
                return
            async with asyncio.timeout(120):
                async for event in client:
                    if event["type"].endswith("transcription.completed"):
                        said = event["transcript"]
                        self.check(kind, "transcribe", clip, said, exact=exact)
                        return
                    if event["type"].endswith(("failed", "error")):
                        self.seen[f"unpaced error: {event['error']}"] += 1
                        return

    async def request(self) -> None:
        """A request, which may be left in the middle."""
        task = self.rng.choice(("transcribe", "transcribe", "chat", "events"))
        leaves = self.rng.random() < 0.3
        patience = self.rng.uniform(0.01, 1.5) if leaves else 120.0
        client = RestClient(Connection(self.url, "", patience, 0), "nano", task)  # type: ignore[arg-type]
        if self.rng.random() < 0.4:
            client.streaming = False
        kind = f"{task} {'streamed' if client.streaming else 'whole'}"
        clip, now = self.pool.draw(), time.monotonic()
        one = Measured(clip, clip.seconds, now, now)
        await in_thread(lambda: client.ask(clip, one))
        if one.outcome == "ok":
            self.check(kind, task, clip, one.text)
        elif leaves and "no answer" in one.problem:
            self.seen[f"{kind} left"] += 1
        else:
            self.failed(kind, one)

    async def cut(self) -> None:
        """A socket that is cut at any moment."""
        async with LiveClient.open(self.url, SAMPLE_RATE, waits=False) as client:
            stage = self.rng.randrange(3)
            if stage > 0:
                await client.append(self.pool.draw().pcm.tobytes())
            if stage > 1:
                await client.commit()
            await asyncio.sleep(self.rng.choice((0.0, 0.0, 0.05, 0.3)))
            client.cut()
        self.seen["socket cut"] += 1

    async def keep_on(self, what: Callable[[], Coroutine[Any, Any, None]], pause_s: float) -> None:
        """The same again and again."""
        while time.monotonic() < self.until:
            try:
                await what()
            except (OSError, TimeoutError) as error:
                self.seen[f"{what.__name__} failed: {type(error).__name__}"] += 1
            except Exception as error:
                self.seen[f"{what.__name__} failed: {error!r:.120}"] += 1
            await asyncio.sleep(self.rng.expovariate(1 / pause_s))


async def _watch(server: Served, samples: list[float]) -> None:
    """Sample its memory, for ever."""
    while True:
        samples.append(server.mib)
        await asyncio.sleep(SAMPLED_S)


async def load(soak: Soak, server: Served, cycles: int) -> dict[str, Any]:
    """All of it; memory in MiB."""
    mixed: list[float] = []
    watching = asyncio.ensure_future(_watch(server, mixed))
    began = time.monotonic()
    try:
        await asyncio.gather(
            soak.keep_on(soak.paced, 0.5), soak.keep_on(soak.paced, 0.5),
            soak.keep_on(soak.unpaced, 1.0), soak.keep_on(soak.request, 0.5),
            soak.keep_on(soak.request, 0.5), soak.keep_on(soak.cut, 4.0),
        )  # fmt: skip
        watching.cancel()
        await asyncio.sleep(SAMPLED_S)
        before = server.mib
        for _ in range(cycles):
            await soak.cut()
        await _until_idle(server)
        after = server.mib
    finally:
        watching.cancel()
    warm = max(1, len(mixed) // 6)  # until every clip was heard and what may be kept is there
    part = warm  # it swings by 20 MiB within a minute: a short stretch says little
    start, end = statistics.median(mixed[warm : warm + part]), statistics.median(mixed[-part:])
    return {
        "minutes": round((time.monotonic() - began) / 60, 1),
        "first_mib": round(mixed[0], 1),
        "start_mib": round(start, 1),
        "end_mib": round(end, 1),
        "growth_mib": round(end - start, 1),
        "highest_mib": round(max(mixed), 1),
        "cycles": cycles,
        "cycles_growth_mib": round(after - before, 1),
        "rss_mib": [round(mib) for mib in mixed[:: max(1, len(mixed) // 60)]],
    }


async def _until_idle(server: Served) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        now = server.metrics()
        if not any(now.get(name, 0.0) for name in EMPTY):
            return
        await asyncio.sleep(0.5)


def main() -> int:
    """Run, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cycles", type=int, default=CYCLES, help="sockets cut at the end")
    parser.add_argument("--threads", type=int, default=1, help="of the server's model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="moss-audio-soak-") as folder:
        options = ("--threads", str(given.threads), "--max-live-sessions", "16")
        server = Served(Path(folder) / "log", *options)
        try:
            soak = Soak(server.url, given.seed, float("inf"))
            soak.learn()
            soak.until = time.monotonic() + 60 * given.minutes
            report = asyncio.run(load(soak, server, given.cycles))
            left = {name: server.metrics().get(name) for name in EMPTY}
            code, log = server.end()
        finally:
            server.process.kill()
    report |= {
        "seen": dict(sorted(soak.seen.items())),
        "wrong": {"count": len(soak.wrong), "some": soak.wrong[:50]},
        "near": {
            "turns": len(soak.near),
            "words": soak.words,
            "other_words": soak.other_words,
            "some": soak.near[:50],
        },
        "left": left,
        "exit_code": code,
        "tracebacks": log.count("Traceback"),
        "errors_5xx": len(re.findall(r" 50[0124-9] ", log)),
    }
    text = json.dumps(report, indent=1, ensure_ascii=False)
    print(text)
    if given.out:
        write_atomic(given.out, text + "\n")
    holds = (
        not soak.wrong
        and soak.other_words <= (1 - SAME_WORDS) * soak.words
        and not any(left.values())
        and not (code or report["tracebacks"] or report["errors_5xx"])
        and max(report["growth_mib"], report["cycles_growth_mib"]) <= GROWTH_MIB
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())

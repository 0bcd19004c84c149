"""One level of load after another."""

from __future__ import annotations

import asyncio
import platform
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from moss_audio import __version__
from moss_audio.endpoint.http import Connection, HttpError
from moss_audio.errors import MossAudioError
from moss_audio.recordings import AudioInput
from moss_audio.serve.bench.clips import ClipPool
from moss_audio.serve.bench.figures import Level
from moss_audio.serve.bench.live import LiveStream
from moss_audio.serve.bench.measured import Measured
from moss_audio.serve.bench.plan import BenchPlan
from moss_audio.serve.bench.rest import LackingError, RestClient, arrive, in_thread, keep_busy

_CHECKED_VARIANTS = 8  # of each recording, whose answers by themselves are asked for before
_WARM_TURNS = 1
_LISTED = 20


class Bench:
    """A measurement, which can be asked for its report at any time.

    Args:
        plan: what is to be measured.
        sources: recordings to send.
        tell: takes a line about what is being done.

    Raises:
        AudioError: if a recording cannot be read.
    """

    def __init__(
        self, plan: BenchPlan, sources: Sequence[AudioInput],
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:  # fmt: skip
        variants = _CHECKED_VARIANTS if plan.check else None
        self._pool = ClipPool(sources, plan.sample_rate, plan.seed, variants)
        self.plan, self._tell = plan, tell
        self.levels: list[Level] = []
        self.skipped: list[str] = []
        self._http = Connection(plan.url.rstrip("/"), plan.key, plan.timeout_s, 0)
        self._model = plan.model
        self._right: dict[tuple[str, int], str] = {}  # answers by themselves, by task and clip

    async def run(self) -> None:
        """All levels.

        Raises:
            MossAudioError: if the server cannot be reached, or offers nothing of what is asked for.
        """
        self._model = await in_thread(self._find_model)
        plan = self.plan
        client = RestClient(self._http, self._model, plan.task)
        loads: list[tuple[str, float]] = [("concurrency", size) for size in plan.concurrency]
        loads += [("rate", size) for size in plan.rates]
        if loads and not await self._probe(client):
            loads = []
        if plan.check:
            await self._ask_alone(client, bool(loads))
        streams = plan.streams if plan.streams and await self._warm_live() else ()
        if not loads and not streams:
            raise MossAudioError("; ".join([f"{plan.url} has nothing to measure", *self.skipped]))
        for size in streams:
            beside = loads[0] if plan.together and loads else None
            await self._level(client, ("streams", size), beside)
        for load in [] if plan.together and streams else loads:
            await self._level(client, load)

    def _find_model(self) -> str:
        if self.plan.model:
            return self.plan.model
        try:
            return str(self._http.json("/models")["data"][0]["id"])
        except HttpError as error:
            raise MossAudioError(
                f"{self.plan.url}: {error}; is this the address of a running server with OpenAI's "
                "interface, and --api-key right?"
            ) from error
        except (TypeError, LookupError):
            raise MossAudioError(f"{self.plan.url} lists no models: give --model") from None

    async def _probe(self, client: RestClient) -> bool:
        """Warm up, and whether there is something to measure."""
        self._tell(f"warming up: {client.task}")
        clip = self._pool.draw()
        try:
            missing = await in_thread(lambda: client.probe(clip))
        except LackingError as error:
            missing = str(error)
        except HttpError as error:
            raise MossAudioError(f"{self.plan.url}: {client.task} failed ({error})") from error
        else:
            self.skipped += filter(None, [missing])
            return True
        self.skipped.append(missing)
        return False

    async def _warm_live(self) -> bool:
        self._tell("warming up: live streams")
        found: list[Measured] = []
        stream = self._stream(random.Random(self.plan.seed), found)
        now = time.monotonic()
        try:
            await stream.run(now, now + self._pool.mean_s * _WARM_TURNS)
        except LackingError as error:
            self.skipped.append(str(error))
            return False
        if not any(one.outcome == "ok" for one in found):
            problems = {one.problem for one in found} or {"no turn was found in the sound"}
            self.skipped.append(f"live streams: {'; '.join(sorted(problems))}")
            return False
        return True

    async def _ask_alone(self, client: RestClient, requests: bool) -> None:
        """What each clip gets when nothing else goes on."""
        clients = [client] if requests else []
        if self.plan.streams and not (requests and client.task == "transcribe"):
            clients.append(RestClient(self._http, self._model, "transcribe"))
        clips = self._pool.all()
        for one in clients:
            self._tell(f"asking for {len(clips)} answers to compare with: {one.task}")
            for clip in clips:
                try:
                    right = await in_thread(lambda one=one, clip=clip: one.whole(clip))  # type: ignore[misc]
                except HttpError as error:
                    raise MossAudioError(
                        f"check needs {one.task} over HTTP to compare with: {error}"
                    ) from error
                self._right[one.task, clip.number] = right

    async def _level(
        self, client: RestClient, load: tuple[str, float], beside: tuple[str, float] | None = None
    ) -> None:
        kind, size = load
        level = Level(kind, size)  # type: ignore[arg-type]
        self._tell(f"{kind} {size:g}: {self.plan.duration_s:g} s")
        self.levels.append(level)
        level.began = time.monotonic()
        try:
            if beside is not None:
                level.beside = Level(*beside)  # type: ignore[arg-type]
                level.beside.began = level.began
                await asyncio.gather(self._load(client, level), self._load(client, level.beside))
            else:
                await self._load(client, level)
        finally:
            for one in filter(None, (level, level.beside)):
                one.ended = time.monotonic()

    async def _load(self, client: RestClient, level: Level) -> None:
        plan, found = self.plan, level.found
        until = level.began + plan.duration_s
        rng = random.Random(f"{plan.seed} {level.kind} {level.size}")
        if level.kind == "concurrency":
            await keep_busy(client, self._pool, int(level.size), until, found)
        elif level.kind == "rate":
            moments = [level.began]
            while moments[-1] < until:
                moments.append(moments[-1] + rng.expovariate(level.size))
            await arrive(client, self._pool, moments[1:-1], found)
        else:
            # all have begun before the first turn ends
            starts = [
                level.began + self._pool.mean_s * (place + rng.random()) / level.size
                for place in range(int(level.size))
            ]
            until += max(starts) - level.began
            streams = [self._stream(random.Random(rng.random()), found) for _ in starts]
            await asyncio.gather(
                *(stream.run(at, until) for stream, at in zip(streams, starts, strict=True))
            )
        level.ended = time.monotonic()

    def _stream(self, rng: random.Random, found: list[Measured]) -> LiveStream:
        return LiveStream(self.plan, self._model, self._pool, rng, found)

    def wrong(self) -> list[Mapping[str, str]]:
        """Answers that are not those that the same sound got by itself, with `check`."""
        found = []
        for level in self.levels:
            task = "transcribe" if level.kind == "streams" else self.plan.task
            found += self._wrong(level.found, task)
            if level.beside is not None:
                found += self._wrong(level.beside.found, self.plan.task)
        return found

    def _wrong(self, answers: Sequence[Measured], task: str) -> list[Mapping[str, str]]:
        found: list[Mapping[str, str]] = []
        for one in answers:
            if not self.plan.check or one.outcome != "ok" or one.clip is None:
                continue
            right = self._right[task, one.clip.number].strip()
            if one.text.strip() != right:
                found.append({"task": task, "said": one.text, "right": right})
        return found

    def report(self, *, interrupted: bool = False) -> dict[str, Any]:
        """All that is known so far. The key is not in it."""
        now = time.monotonic()
        for level in self.levels:
            level.ended = level.ended or now
        plan = {name: value for name, value in asdict(self.plan).items() if name != "key"}
        wrong = self.wrong()
        return {
            "version": __version__,
            "machine": f"{platform.machine()} {platform.system()}",
            "plan": plan | {"model": self._model},
            "interrupted": interrupted,
            "skipped": self.skipped,
            "levels": [level.figures() for level in self.levels],
            "wrong": {"count": len(wrong), "some": wrong[:_LISTED]} if self.plan.check else None,
        }

"""A live stream: sound at the pace of speech over OpenAI's realtime interface."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from moss_audio.serve.bench.client import HYPOTHESES, TRANSCRIPTION, LiveClient
from moss_audio.serve.bench.clips import ClipPool
from moss_audio.serve.bench.measured import Measured
from moss_audio.serve.bench.plan import BenchPlan
from moss_audio.serve.bench.rest import LackingError

_PAUSES_S = (1.0, 2.0)  # between two turns
_SILENCE_MS = 500  # that ends a turn where the server finds it


class _Turn:
    """One that is told of: what was shown of it, and when."""

    def __init__(self, found: Measured) -> None:
        self.found = found
        self.text = ""  # of the deltas
        self.history: list[tuple[float, list[str]]] = []

    def belongs_to(self, found: Measured) -> None:
        """It is this turn of the client's."""
        self.found = found
        for now, _ in self.history:
            found.said(now)

    def show(self, now: float, text: str) -> None:
        if text:
            self.found.said(now)
            self.history.append((now, text.split()))

    def lags(self, words: list[Any]) -> list[float]:
        """From the end of each word to when it was shown in its place."""
        lags = []
        for place, word in enumerate(words):
            for now, shown in self.history:
                if shown[place : place + 1] == [word["word"]]:
                    lags.append(now - (self.found.began + word["end"]))
                    break
        return lags


class LiveStream:
    """One client that says one clip after another until it is told to stop.

    Args:
        plan: server, rate, who ends turns.
        model: as the server calls it.
        pool: what it says.
        rng: of its pauses.
        found: takes what is measured, as it begins.
    """

    def __init__(
        self, plan: BenchPlan, model: str, pool: ClipPool, rng: random.Random,
        found: list[Measured],
    ) -> None:  # fmt: skip
        self._plan, self._model, self._pool, self._rng = plan, model, pool, rng
        self._found = found
        self._sent: list[Measured] = []  # the turns that there are
        self._turns: dict[str, _Turn] = {}
        self._n_committed = 0
        self._start = 0.0
        self._caught_up = False  # the server has heard all that was said
        self._over = asyncio.Event()

    async def run(self, start: float, until: float) -> None:
        """Begin at a moment; no turn begins after `until`, and what has begun is waited for.

        Raises:
            LackingError: if this is not OpenAI's realtime interface.
        """
        await asyncio.sleep(max(0.0, start - time.monotonic()))
        self._start = start
        asked = Measured(began=start, due=start)
        plan, detection = self._plan, None
        if plan.turns == "server_vad":
            detection = {"type": "server_vad", "silence_duration_ms": _SILENCE_MS}
        try:
            async with LiveClient.open(
                plan.url, plan.sample_rate, model=self._model, turns=detection, key=plan.key,
                include=[HYPOTHESES], timeout_s=plan.timeout_s,
            ) as client:  # fmt: skip
                await self._talk(client, until)
        except InvalidStatus as error:
            status = error.response.status_code
            if status in (404, 405, 501):
                raise LackingError(f"live streams: not there (status {status})") from error
            self._fail(asked, f"refused with status {status}", status)
        except (OSError, InvalidHandshake) as error:
            self._fail(asked, f"cannot be reached ({error})")
        except ConnectionClosed as error:
            self._break_off(f"the server closed the connection ({error})")

    def _fail(self, asked: Measured, problem: str, status: int | None = None) -> None:
        asked.failed(time.monotonic(), problem, status=status)
        self._found.append(asked)

    def _break_off(self, problem: str) -> None:
        for one in self._sent:
            if one.outcome == "open":
                one.failed(time.monotonic(), problem)

    async def _talk(self, client: LiveClient, until: float) -> None:
        reading = asyncio.ensure_future(self._read(client))
        speaking = asyncio.ensure_future(self._speak(client, until))
        try:
            await asyncio.wait({reading, speaking}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
            await speaking
            await client.mark()
            try:
                await asyncio.wait_for(self._over.wait(), self._plan.timeout_s)
            except TimeoutError:
                self._break_off(f"no transcript within {self._plan.timeout_s:g} s")
        finally:
            for task in (reading, speaking):
                task.cancel()
            await asyncio.gather(reading, speaking, return_exceptions=True)

    async def _speak(self, client: LiveClient, until: float) -> None:
        at = time.monotonic()
        self._start = at  # of the session's sound: what the server's times count from
        while at < until:
            clip = self._pool.draw()
            one = Measured(clip, clip.seconds, at, at + clip.seconds)
            commits = self._plan.turns == "commit"
            if commits:
                self._add(one)
            pause_s = self._rng.uniform(*_PAUSES_S)
            one.late_s = await client.say(clip.pcm, at)
            at = one.due
            if commits:
                await client.commit()
            else:
                silence = np.zeros(round(pause_s * clip.rate), "<i2")
                one.late_s = max(one.late_s, await client.say(silence, at))
            at += pause_s

    async def _read(self, client: LiveClient) -> None:
        async for event in client:
            self._hear(event, time.monotonic())
            self._look()

    def _look(self) -> None:
        """Whether there is nothing left to wait for."""
        if self._caught_up and all(one.outcome != "open" for one in self._sent):
            self._over.set()

    def _hear(self, event: Mapping[str, Any], now: float) -> None:
        kind = str(event.get("type"))
        item = str(event.get("item_id"))
        if kind == "input_audio_buffer.committed" and self._plan.turns == "commit":
            if self._n_committed < len(self._sent):
                self._turn(item).belongs_to(self._sent[self._n_committed])
                self._n_committed += 1
        elif kind == "input_audio_buffer.speech_started":
            began = self._start + event["audio_start_ms"] / 1000
            turn = self._turn(item)
            turn.found.began = began
            self._add(turn.found)
        elif kind == "input_audio_buffer.speech_stopped":
            found = self._turn(item).found
            found.due = self._start + (event["audio_end_ms"] - _SILENCE_MS) / 1000
            found.audio_s = found.due - found.began
        elif kind == TRANSCRIPTION + "delta":
            turn = self._turn(item)
            turn.text += event["delta"]
            turn.show(now, turn.text)
        elif kind == TRANSCRIPTION + "hypothesis":
            self._turn(item).show(now, event["text"])
        elif kind == TRANSCRIPTION + "completed":
            turn = self._turns.pop(item, _Turn(Measured()))
            turn.show(now, event["transcript"])
            turn.found.done(now, event["transcript"])
            turn.found.lags = turn.lags(event.get("words") or [])
        elif kind == TRANSCRIPTION + "failed":
            turn = self._turns.pop(item, _Turn(Measured()))
            turn.found.failed(now, str(event.get("error")))
        elif kind == "session.updated":
            self._caught_up = True
        elif kind == "error":
            self._fail(Measured(began=now, due=now), str(event.get("error")))

    def _add(self, one: Measured) -> None:
        self._sent.append(one)
        self._found.append(one)

    def _turn(self, item: str) -> _Turn:
        """What is told of an item, which may be before its commit."""
        return self._turns.setdefault(item, _Turn(Measured(due=float("inf"))))

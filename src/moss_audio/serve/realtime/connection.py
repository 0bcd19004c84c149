"""One WebSocket: a reader, a writer, and one turn after another at the model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from moss_audio.serve.errors import as_api_error
from moss_audio.serve.realtime.answers import Answers
from moss_audio.serve.realtime.config import Kind
from moss_audio.serve.realtime.events import ITEM, Event
from moss_audio.serve.realtime.finals import Finals
from moss_audio.serve.realtime.hearing import TurnHearing
from moss_audio.serve.realtime.hypotheses import Hypotheses
from moss_audio.serve.realtime.replies import Reply, StoppedReply
from moss_audio.serve.realtime.session import (
    CommittedTurn,
    Outcome,
    RealtimeSession,
)
from moss_audio.serve.service import Service
from moss_audio.units import SAMPLE_RATE

_LARGE = 64 * 1024  # characters of a message that a thread reads, so that the event loop does not
_RETRIEVED = f"{ITEM}.retrieved"
_WAITING = 256  # events that wait to be sent
_LOOK_S = 0.1
GOING_AWAY, FAILED = 1001, 1011


async def realtime(socket: WebSocket) -> None:
    """A session, from its beginning to its end. Raises ApiError where it cannot begin."""
    service: Service = socket.app.state.service
    asked = socket.query_params
    kind: Kind = "transcription" if asked.get("intent") == "transcription" else "realtime"
    setup = socket.state.session or {}
    model = asked.get("model") or setup.get("model") or ""
    session = RealtimeSession(
        service.name, model, service.config.limits, kind, setup, service.make_detector
    )
    with service.live_session(socket.state.key):
        await socket.accept("realtime" if "realtime" in socket.scope["subprotocols"] else None)
        await _Connection(socket, service, session).run()


class _Connection:
    def __init__(self, socket: WebSocket, service: Service, session: RealtimeSession) -> None:
        self._socket = socket
        self._service = service
        self._session = session
        self._limits = service.config.limits
        self._began = time.monotonic()
        self._out: asyncio.Queue[Event] = asyncio.Queue(_WAITING)
        self._turns: asyncio.Queue[CommittedTurn] = asyncio.Queue()
        self._behind_s = 0.0  # of sound that is committed and not transcribed
        self._caught_up = asyncio.Event()
        self._hearing = TurnHearing(session, service, socket.state.key)
        self._hypotheses = Hypotheses(
            session, service, socket.state.key, self._hearing, self._out.put
        )
        self._finals = Finals(
            session, service, socket.state.key, self._hearing, self._hypotheses, self._out.put
        )
        self._answers = Answers(session, service, socket.state.key, self._hearing, self._take)

    async def run(self) -> None:
        """Until one side closes."""
        await self._out.put(self._session.created())
        parts: tuple[Coroutine[Any, Any, None], ...] = (
            self._read(), self._write(), self._transcribe(), self._watch(), self._hypotheses.run(),
        )  # fmt: skip
        tasks = [asyncio.ensure_future(part) for part in parts]
        code, reason = GOING_AWAY, "the session is over: connect again"
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for failure in filter(None, (task.exception() for task in done)):
                if not isinstance(failure, WebSocketDisconnect):
                    code, reason = FAILED, str(as_api_error(failure))  # type: ignore[arg-type]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._answers.close()
            await self._finals.close()
            self._hearing.close()
            if self._socket.client_state is WebSocketState.CONNECTED:
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                    await self._socket.close(code, reason)

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if len(text or "") < _LARGE and f"{ITEM}.retrieve" not in (text or ""):
                found = self._session.receive(text)
            else:
                found = await asyncio.to_thread(self._session.receive, text)
            await self._take(found)
            if len(text or "") < _LARGE:
                self._hearing.follow()
            else:
                await asyncio.to_thread(self._hearing.follow)
            await self._finals.look()
            while self._behind_s > self._limits.behind_s:
                self._caught_up.clear()
                await self._caught_up.wait()

    async def _take(self, found: Sequence[Outcome]) -> None:
        for one in found:
            if isinstance(one, CommittedTurn):
                self._hypotheses.cancel()
                self._finals.commit(one)
                self._hearing.commit(one)
                if one.transcribe:
                    self._behind_s += len(one.samples) / SAMPLE_RATE
                    self._turns.put_nowait(one)
            elif isinstance(one, Reply):
                self._answers.start(one)
            elif isinstance(one, StoppedReply):
                await self._answers.stop(one.reply, one.reason)
            else:
                if one["type"] == _RETRIEVED:
                    await self._out.join()  # it may be large: one at a time
                await self._out.put(one)

    async def _write(self) -> None:
        while True:
            one = await self._out.get()
            text = json.dumps(one, ensure_ascii=False, separators=(",", ":"))
            await self._socket.send_text(text.encode("utf-8", "replace").decode())
            self._out.task_done()

    async def _watch(self) -> None:
        """Ends when the session has to."""
        until: float | None = None
        while time.monotonic() - self._began < self._limits.session_s:
            await asyncio.sleep(_LOOK_S)
            if self._service.draining:
                until = until or time.monotonic() + self._limits.drain_s - 2 * _LOOK_S
                idle = not self._behind_s and self._answers.idle
                if (idle and not self._session.speaking) or time.monotonic() >= until:
                    break
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._out.join(), _LOOK_S)

    async def _transcribe(self) -> None:
        while True:
            turn = await self._turns.get()
            try:
                await self._finals.answer(turn)
            except Exception as error:
                told = as_api_error(error).body()["error"]
                await self._finals.tell("failed", turn, error=told)
            self._hearing.transcribed(turn.item_id)
            self._behind_s -= len(turn.samples) / SAMPLE_RATE
            if self._turns.empty():
                self._behind_s = 0.0  # without what adding and taking away leaves
            self._caught_up.set()

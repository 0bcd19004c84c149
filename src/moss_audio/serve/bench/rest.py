"""Requests over HTTP: transcriptions and conversations as they are written, and events."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar

from moss_audio.endpoint.http import Connection, HttpError, message_of, multipart
from moss_audio.serve.bench.clips import BenchClip, ClipPool
from moss_audio.serve.bench.measured import Measured
from moss_audio.serve.bench.plan import Task

T = TypeVar("T")

QUESTION = "What is said in this recording, and what else is heard?"
ANSWER_TOKENS = 128
# Nothing of what a server lacks is a fault of its speed.
_LACKING = (400, 404, 405, 415, 422, 501)


class LackingError(Exception):
    """What is asked for is not there at this server."""


class RestClient:
    """Asks one server for one task. Threads may share it.

    Args:
        http: the way to it, without retries: a refusal is what is measured.
        model: as it calls it.
        task: what is asked for.
    """

    def __init__(self, http: Connection, model: str, task: Task) -> None:
        self._http, self._model, self.task = http, model, task
        self.streaming = task != "events"

    def probe(self, clip: BenchClip) -> str:
        """Ask once, and find out whether the server can; what is missing, if something is.

        Raises:
            LackingError: if it cannot at all.
            HttpError: if it cannot be reached, or fails.
        """
        try:
            self._ask(clip, lambda: None)
        except HttpError as error:
            foreign = error.status is None and not (error.timed_out or error.transient)
            if error.status not in _LACKING and not foreign:
                raise
            if self.streaming:
                self.streaming = False
                self.probe(clip)
                return f"{self.task}: not streamed ({error}), so no time to the first token"
            raise LackingError(f"{self.task}: not there ({error})") from error
        return ""

    def ask(self, clip: BenchClip, found: Measured) -> None:
        """Send a request and note in `found` what becomes of it."""
        found.late_s = max(0.0, time.monotonic() - found.due)
        try:
            text = self._ask(clip, lambda: found.said(time.monotonic()))
        except HttpError as error:
            found.failed(time.monotonic(), str(error), status=error.status)
        else:
            found.done(time.monotonic(), text)

    def whole(self, clip: BenchClip) -> str:
        """The answer in one piece. Raises HttpError."""
        return self._ask(clip, lambda: None, streaming=False)

    def _ask(
        self, clip: BenchClip, said: Callable[[], None], *, streaming: bool | None = None
    ) -> str:
        streaming = self.streaming if streaming is None else streaming
        try:
            return self._answer(clip, said, streaming)
        except (LookupError, TypeError, AttributeError) as error:
            raise HttpError("the answer is not that of OpenAI's interface") from error

    def _answer(self, clip: BenchClip, said: Callable[[], None], streaming: bool) -> str:
        if self.task == "chat":
            return self._chat(clip, said, streaming)
        fields = {"model": self._model, "temperature": "0"}
        if self.task == "events":
            body, kind = multipart(fields, "clip.wav", clip.wav(), "audio/wav")
            answer = self._http.json("/audio/events", body, kind)
            answer.pop("usage", None)
            return json.dumps(answer, sort_keys=True)
        fields |= {"response_format": "json"} | ({"stream": "true"} if streaming else {})
        body, kind = multipart(fields, "clip.wav", clip.wav(), "audio/wav")
        if not streaming:
            return str(self._http.json("/audio/transcriptions", body, kind)["text"])
        return self._written("/audio/transcriptions", body, kind, said)

    def _chat(self, clip: BenchClip, said: Callable[[], None], streaming: bool) -> str:
        data = base64.b64encode(clip.wav()).decode()
        content = [
            {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
            {"type": "text", "text": QUESTION},
        ]
        asked = {
            "model": self._model, "messages": [{"role": "user", "content": content}],
            "temperature": 0, "max_tokens": ANSWER_TOKENS, "stream": streaming,
        }  # fmt: skip
        body = json.dumps(asked).encode()
        if streaming:
            return self._written("/chat/completions", body, "application/json", said)
        answer = self._http.json("/chat/completions", body)
        return str(answer["choices"][0]["message"]["content"] or "")

    def _written(self, path: str, body: bytes, kind: str, said: Callable[[], None]) -> str:
        parts: list[str] = []
        with closing(self._http.events(path, body, kind)) as events:
            for event in events:
                if "error" in event:
                    raise HttpError(message_of(event))
                if event.get("type") == "transcript.text.done":
                    return str(event["text"])
                if piece := _piece(event):
                    said()
                    parts.append(piece)
        return "".join(parts)


def _piece(event: Mapping[str, Any]) -> str:
    """The text in an event: OpenAI's of a transcript, or a chunk of a conversation, which vLLM
    sends of transcripts too."""
    if event.get("type") == "transcript.text.delta":
        return str(event["delta"])
    choices: Sequence[Mapping[str, Any]] = event.get("choices") or ({},)
    return str(choices[0].get("delta", {}).get("content") or "")


async def in_thread(function: Callable[[], T]) -> T:
    """What a function gives that waits for a server. The thread is not waited for where this is
    cancelled, nor at the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(call: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            call(value)

    def run() -> None:
        try:
            call, value = future.set_result, function()
        except Exception as error:
            call, value = future.set_exception, error  # type: ignore[assignment]
        try:
            loop.call_soon_threadsafe(tell, call, value)
        except RuntimeError:
            pass  # the loop is closed: nobody waits

    threading.Thread(target=run, daemon=True).start()
    return await future


async def keep_busy(
    client: RestClient, pool: ClipPool, count: int, until: float, found: list[Measured]
) -> None:
    """`count` requests under way at any time until then: a further one as soon as one is done."""

    async def worker() -> None:
        while (now := time.monotonic()) < until:
            await _request(client, pool, now, found)

    await asyncio.gather(*(worker() for _ in range(count)))


async def arrive(
    client: RestClient, pool: ClipPool, moments: list[float], found: list[Measured]
) -> None:
    """A request at each of the moments, whether those before are answered or not."""

    async def at(moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - time.monotonic()))
        await _request(client, pool, moment, found)

    await asyncio.gather(*map(at, moments))


async def _request(client: RestClient, pool: ClipPool, due: float, found: list[Measured]) -> None:
    clip = pool.draw()
    one = Measured(clip, clip.seconds, due, due)
    found.append(one)
    await in_thread(lambda: client.ask(clip, one))

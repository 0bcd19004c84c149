"""What may be being said: transcripts of a turn that is still open, for those who ask for them, and
to find its end by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import CancelledError
from typing import Any

from moss_audio.listen import AnswerStream
from moss_audio.result import Transcript
from moss_audio.serve.errors import as_api_error
from moss_audio.serve.realtime.events import Event, event
from moss_audio.serve.realtime.session import RealtimeSession
from moss_audio.serve.realtime.words import agreed
from moss_audio.serve.service import Service
from moss_audio.serve.work import Job, MeteredEngine
from moss_audio.units import SAMPLE_RATE

_FIRST_S = 1.0  # of sound, until there is something to transcribe
_NEW_S = 0.64
_LOOK_S = 0.1


class Hypotheses:
    """Transcribes the open turn of a session again and again, when the model has nothing else to
    do, and for half of the time at most.

    Args:
        send: takes the events.
    """

    def __init__(
        self, session: RealtimeSession, service: Service, key: str,
        send: Callable[[Event], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._session, self._service, self._key, self._send = session, service, key, send
        self._item_id = ""
        self._text = ""
        self._job: Job | None = None

    def draft(self, item_id: str) -> str:
        """The last hypothesis about a turn: its final transcript most likely begins like that."""
        return self._text if item_id == self._item_id else ""

    def cancel(self) -> None:
        """The turn is committed: a hypothesis about it is of no use any more."""
        if self._job is not None:
            self._job.cancel()

    async def run(self) -> None:
        """For ever."""
        heard_s, pause_s = 0.0, _LOOK_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = _LOOK_S
            turn = self._session.open_turn() if self._service.admission.idle else None
            if turn is None:
                continue
            if turn.item_id != self._item_id:
                self._item_id, self._text, heard_s = turn.item_id, "", 0.0
            now_s = len(turn.samples) / SAMPLE_RATE
            if now_s < max(_FIRST_S, heard_s + _NEW_S):
                continue
            heard_s, began = now_s, time.monotonic()
            text = await self._transcribed(turn.samples)
            pause_s = max(_LOOK_S, time.monotonic() - began)
            wanted = text is not None and self._session.understood(turn.item_id, text)
            if text and turn.item_id == self._session.item_id:
                stable, self._text = agreed(self._text, text), text
                self._service.metrics.partial(time.monotonic() - began)
                if not wanted:
                    continue
                await self._send(event(
                    "conversation.item.input_audio_transcription.hypothesis",
                    item_id=turn.item_id, content_index=0, text=text, stable_chars=stable,
                ))  # fmt: skip

    async def _transcribed(self, samples: Any) -> str | None:
        def work(engine: MeteredEngine) -> Generator[Transcript, None, None]:
            answer = AnswerStream(
                engine, self._service.model.query("transcribe", (samples, SAMPLE_RATE))
            )
            for _ in answer:
                engine.go_on()
            yield answer.result

        seconds = len(samples) / SAMPLE_RATE
        try:
            self._job = await self._service.start_live(
                self._key, seconds, work, priority=-2, draft=self._text
            )
            (found,) = [item async for item in self._job.items()]
        except CancelledError:
            return None
        except Exception as error:
            as_api_error(error)  # which logs it; the turn itself will tell
            return None
        finally:
            self._job = None
        return str(found.text)

"""What may be being said: transcripts of a turn that is still open. What two of them agree on is
told as deltas; all of it to those who ask for it, and to find the turn's end by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

from moss_audio.engine.base import ClipLike
from moss_audio.listen import AnswerStream, Query
from moss_audio.live import LiveRecording
from moss_audio.result import Transcript
from moss_audio.serve.errors import as_api_error
from moss_audio.serve.realtime.answers import timed
from moss_audio.serve.realtime.events import Event, transcription
from moss_audio.serve.realtime.hearing import TurnHearing
from moss_audio.serve.realtime.session import RealtimeSession
from moss_audio.serve.realtime.words import agreed
from moss_audio.serve.service import Service
from moss_audio.serve.work import Job, MeteredEngine, Work
from moss_audio.units import SAMPLE_RATE

_FIRST_S = 1.0  # of sound, until there is something to transcribe
_NEW_S = 0.64
_LOOK_S = 0.1
_UNSURE_S = 0.5  # of a word that ends so near to the end of the sound, more may be to come
_UNSURE_WORDS = 2  # the same, where words have no times
_LIKELY = 0.75  # of a word that is told; of those below, a third is other in the end


class Hypotheses:
    """Transcribes the open turn of a session again and again, when the model has nothing else to
    do, and for half of the time at most.

    Args:
        send: takes the events.
    """

    def __init__(
        self, session: RealtimeSession, service: Service, key: str, hearing: TurnHearing,
        send: Callable[[Event], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._session, self._service, self._key, self._send = session, service, key, send
        self._hearing = hearing
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
            found = self._sound() if self._service.admission.unhurried else None
            if found is None:
                continue
            item_id, sound, now_s = found
            if item_id != self._item_id:
                self._item_id, self._text, heard_s = item_id, "", 0.0
            if now_s < max(_FIRST_S, heard_s + _NEW_S):
                continue
            heard_s, began = now_s, time.monotonic()
            transcript = await self._transcribed(sound)
            pause_s = max(_LOOK_S, time.monotonic() - began)
            if transcript is not None:
                await self._tell(item_id, transcript, began)

    def _sound(self) -> tuple[str, Any, float] | None:
        """The item, sound and seconds of the open turn; None where nobody speaks, or nobody wants
        to know."""
        session, recording = self._session, self._hearing.open
        item_id = session.item_id
        wanted = session.transcribes or session.guesses
        if recording is not None and wanted and session.speaking:
            return item_id, recording, recording.seconds
        turn = session.open_turn()
        if turn is None:
            return None
        return item_id, (turn.samples, SAMPLE_RATE), len(turn.samples) / SAMPLE_RATE

    async def _tell(self, item_id: str, transcript: Transcript, began: float) -> None:
        text = transcript.text
        wanted = self._session.understood(item_id, text)
        if not text or item_id != self._session.item_id:
            return
        stable, self._text = agreed(self._text, text), text
        self._service.metrics.partial(time.monotonic() - began)
        told = text[: min(stable, certain(transcript))] if self._session.transcribes else ""
        if delta := self._hearing.spoken(item_id).more(told.rstrip()):
            await self._send(transcription("delta", item_id, delta=delta))
        if wanted:
            known = {"text": text, "stable_chars": stable}
            await self._send(transcription("hypothesis", item_id, **known))

    async def _transcribed(self, sound: Any) -> Transcript | None:
        try:
            # (a recording that grows remembers by itself)
            draft = "" if isinstance(sound, LiveRecording) else self._text
            async with self._service.partial(
                self._key, lambda: self._work(sound), draft=draft
            ) as self._job:
                if self._job is None:
                    return None
                (found,) = [item async for item in self._job.items()]
        except CancelledError:
            return None
        except Exception as error:
            as_api_error(error)  # which logs it; the turn itself will tell
            return None
        finally:
            self._job = None
        return found  # type: ignore[no-any-return]

    def _work(self, sound: Any) -> Work:
        def work(engine: MeteredEngine) -> Generator[Transcript, None, None]:
            answer = AnswerStream(engine, self._query(sound))
            for _ in answer:
                engine.go_on()
            yield answer.result

        return work

    def _query(self, sound: Any) -> Query:
        """Words get their times only where some of them may be told: that costs as much again."""
        if not isinstance(sound, LiveRecording):
            return self._service.model.query("transcribe", sound)
        how = timed(self._service)
        if self._session.transcribes:
            how["logprobs"] = 0
        query = self._service.model.query("transcribe", sound, **how)
        align, before = query.refine, self._text
        told = len(self._hearing.spoken(self._item_id).told)

        def refine(transcript: Transcript, clip: ClipLike) -> Transcript:
            new = sound.rolled or agreed(before, transcript.text) > told
            return align(transcript, clip) if new and align is not None else transcript

        return query if align is None else replace(query, refine=refine)


def certain(transcript: Transcript) -> int:
    """Characters of the words at the beginning that have ended, and are likely to stay."""
    text = transcript.text
    words = text.split()
    n = len(words) - _UNSURE_WORDS
    if transcript.words:
        until = transcript.duration - _UNSURE_S
        n = 0
        for one in transcript.words:
            if one.end > until or (one.probability is not None and one.probability < _LIKELY):
                break
            n += 1
    end = 0
    for word in words[: max(0, n)]:
        end = text.index(word, end) + len(word)
    return end

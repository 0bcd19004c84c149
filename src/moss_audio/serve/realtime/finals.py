"""Transcripts of turns that have ended, and of those that seem to.

After a short silence a turn is transcribed as if it had ended. If it then does, that is its
transcript, which is there at once; if somebody goes on speaking, it is forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from moss_audio.listen import AnswerStream
from moss_audio.result import Transcript
from moss_audio.serve.errors import as_api_error
from moss_audio.serve.formats import token_usage, transcript_logprobs
from moss_audio.serve.realtime.answers import timed
from moss_audio.serve.realtime.events import BUFFER, Event, event, transcription
from moss_audio.serve.realtime.hearing import TurnHearing
from moss_audio.serve.realtime.hypotheses import Hypotheses
from moss_audio.serve.realtime.session import CommittedTurn, Pause, RealtimeSession
from moss_audio.serve.realtime.words import SpokenWords, WholeWords
from moss_audio.serve.reasoning import ReasoningSplitter
from moss_audio.serve.service import Service
from moss_audio.serve.work import MeteredEngine, Usage, Work
from moss_audio.units import SAMPLE_RATE
from moss_audio.writers import rounded


@dataclass(frozen=True, eq=False)
class _Found:
    """A transcript, and what it took."""

    transcript: Transcript
    usage: Usage


class _EagerTurn:
    """A turn that seems to have ended with a pause, on its way to a transcript.

    Attributes:
        begun: whether the model is at it.
        told: whether the client knows.
    """

    def __init__(self, pause: Pause) -> None:
        self.pause = pause
        self.begun = self.told = False
        self.task: asyncio.Task[_Found | None] | None = None

    def drop(self) -> None:
        """Nobody needs it any more."""
        if self.task is not None:
            self.task.cancel()


class Finals:
    """Transcribes the turns of a session.

    Args:
        send: takes the events.
    """

    def __init__(
        self, session: RealtimeSession, service: Service, key: str, hearing: TurnHearing,
        hypotheses: Hypotheses, send: Callable[[Event], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._session, self._service, self._key, self._send = session, service, key, send
        self._hearing, self._hypotheses = hearing, hypotheses
        self._eager: _EagerTurn | None = None
        self._ended: dict[str, _EagerTurn] = {}

    async def look(self) -> None:
        """More was heard: perhaps a pause, or speech behind one."""
        eager, pause = self._eager, self._session.pause
        if eager is not None and eager.pause != pause:
            self._eager = None
            eager.drop()
            if eager.told and eager.pause.item_id == self._session.item_id:
                await self._send(event(f"{BUFFER}.turn_resumed", item_id=eager.pause.item_id))
        wanted = self._session.transcribes and not self._hearing.exact
        here = self._hearing.open is not None and self._service.admission.unhurried
        if self._eager is None and pause is not None and wanted and here:
            self._hypotheses.cancel()
            self._eager = _EagerTurn(pause)
            self._eager.task = asyncio.create_task(self._try(self._eager))

    def commit(self, turn: CommittedTurn) -> None:
        """A turn has ended."""
        eager, self._eager = self._eager, None
        if eager is None:
            return
        if eager.begun and eager.pause == Pause(turn.item_id, turn.quiet_from):
            self._ended[turn.item_id] = eager
        else:
            eager.drop()

    async def close(self) -> None:
        """End what is under way; nobody waits."""
        eager = [*self._ended.values(), *([self._eager] if self._eager else [])]
        tasks = [one.task for one in eager if one.task is not None]
        for one in eager:
            one.drop()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def answer(self, turn: CommittedTurn) -> None:
        """Transcribe a turn. Raises what keeps the model from it."""
        committed = time.monotonic()
        spoken = self._hearing.spoken(turn.item_id)
        eager, found = self._ended.pop(turn.item_id, None), None
        if eager is not None and eager.task is not None:
            found = await eager.task
        said = ""
        if found is None:
            found, said = await self._transcribed(turn, spoken)
        text = found.transcript.text
        self._session.transcribed(turn.item_id, text)
        if text:
            await self._delta(turn, spoken.more(said or text))
        if n_words := spoken.contradicted(text):
            self._service.metrics.contradicted(n_words)
        self._service.metrics.final(time.monotonic() - committed)
        timed_words = [
            {"word": word["text"], "start": word["start"], "end": word["end"]}
            for word in rounded(found.transcript)["words"]
        ]
        more = {}
        if turn.logprobs:
            more["logprobs"] = transcript_logprobs(found.usage, self._service.engine.tokenizer)
        await self.tell(
            "completed", turn, transcript=text, usage=token_usage(found.usage), words=timed_words,
            **more,
        )  # fmt: skip

    async def tell(self, kind: str, turn: CommittedTurn, **fields: Any) -> None:
        """Send an event about the transcript of a turn."""
        await self._send(transcription(kind, turn.item_id, **fields))

    async def _try(self, eager: _EagerTurn) -> _Found | None:
        """The transcript of a turn that may have ended; None where there is none."""
        sound, item_id = self._hearing.open, eager.pause.item_id
        logprobs = self._session.logprobs

        def work() -> Work:
            return self._work(sound, logprobs)

        try:
            async with self._service.partial(self._key, work, final=True) as job:
                if job is None:
                    return None
                eager.begun = True
                async with contextlib.aclosing(job.items()) as items:
                    found = [one async for one in items]
        except CancelledError:  # the final of another turn came first
            return None
        except Exception as error:
            as_api_error(error)  # which logs it; the turn itself will tell
            return None
        transcript = found[-1]
        if self._eager is eager:
            eager.told = True
            await self._send(event(f"{BUFFER}.turn_eager", item_id=item_id,
                                   transcript=transcript.text))  # fmt: skip
        return _Found(transcript, job.engine.usage)

    async def _transcribed(self, turn: CommittedTurn, spoken: SpokenWords) -> tuple[_Found, str]:
        """A transcript, and all of its words that the model has written; they are told as they
        come."""
        words, said = WholeWords(), ""
        recording = self._hearing.recording(turn.item_id)
        sound = recording or (turn.samples, SAMPLE_RATE)
        job = await self._service.start_live(
            self._key, len(turn.samples) / SAMPLE_RATE, self._work(sound, turn.logprobs),
            # (a recording that grows remembers by itself)
            draft="" if recording else self._hypotheses.draft(turn.item_id),
        )  # fmt: skip
        async with contextlib.aclosing(job.items()) as items:
            async for piece in items:
                if isinstance(piece, Transcript):
                    return _Found(piece, job.engine.usage), said + words.finish()
                said += words.push(piece)
                await self._delta(turn, spoken.more(said))
        raise CancelledError

    def _work(self, sound: Any, logprobs: bool) -> Work:
        def work(engine: MeteredEngine) -> Generator[str | Transcript, None, None]:
            splitter = ReasoningSplitter()
            how = timed(self._service) | {"logprobs": 0 if logprobs else None}
            answer = AnswerStream(engine, self._service.model.query("transcribe", sound, **how))
            for piece in answer:
                yield splitter.push(piece)[1]
            yield splitter.finish()[1]
            yield answer.result

        return work

    async def _delta(self, turn: CommittedTurn, text: str) -> None:
        if text:
            await self.tell("delta", turn, delta=text)

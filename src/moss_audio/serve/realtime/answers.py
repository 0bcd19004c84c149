"""Responses at the model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from moss_audio.engine.prompts import EncodedClip
from moss_audio.errors import AudioError, PromptError
from moss_audio.listen import AnswerStream, Query
from moss_audio.live import LiveRecording
from moss_audio.serve.chat import ChatRequest, conversation_request, finish_reason
from moss_audio.serve.errors import as_api_error
from moss_audio.serve.formats import response_usage
from moss_audio.serve.realtime.hearing import TurnHearing
from moss_audio.serve.realtime.items import ItemPart
from moss_audio.serve.realtime.plans import ReplyPlan
from moss_audio.serve.realtime.replies import Reply
from moss_audio.serve.realtime.session import Outcome, RealtimeSession
from moss_audio.serve.reasoning import ReasoningSplitter
from moss_audio.serve.service import Service
from moss_audio.serve.work import Job, MeteredEngine
from moss_audio.units import SAMPLE_RATE
from moss_audio.writers import get_writer, rounded

_CUT = "length"

Sound = Callable[[ItemPart, str | None], Any]


@dataclass(frozen=True, eq=False)
class _Written:
    """A whole answer: whether it was cut, and of a task its result."""

    cut: bool
    result: dict[str, Any] | None = None


class Answers:
    """Runs the responses of a session.

    Args:
        take: what follows from them.
    """

    def __init__(
        self, session: RealtimeSession, service: Service, key: str, hearing: TurnHearing,
        take: Callable[[Sequence[Outcome]], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._session, self._service, self._key, self._take = session, service, key, take
        self._hearing = hearing
        self._tasks: dict[Reply, asyncio.Task[None]] = {}
        self._jobs: dict[Reply, Job] = {}
        self._sending = asyncio.Lock()  # so that the events of a response stay in order

    @property
    def idle(self) -> bool:
        """Whether none is in progress."""
        return not self._tasks

    def start(self, reply: Reply) -> None:
        """Begin with a response."""
        task = asyncio.create_task(self._run(reply))
        self._tasks[reply] = task
        task.add_done_callback(lambda _: self._tasks.pop(reply, None))

    async def stop(self, reply: Reply, reason: str) -> None:
        """End a response now; the model is free at its next step."""
        job, usage = self._jobs.get(reply), None
        if job is not None:
            job.cancel()
            usage = response_usage(job.engine.used_so_far(reply.text))
        elif reply in self._tasks:  # it waits for its turn
            self._tasks[reply].cancel()
        async with self._sending:
            await self._take(reply.end("cancelled", usage, reason=reason))

    async def close(self) -> None:
        """End all of them; nobody waits."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._take = _told_to_nobody  # a connection that holds itself would keep its sound

    async def _run(self, reply: Reply) -> None:
        try:
            last = await self._answered(reply)
        except Exception as error:
            if reply.over:  # it was stopped
                return
            told = as_api_error(error).body()["error"]
            failed = {name: told[name] for name in ("type", "code", "message")}
            last = reply.end("failed", error=failed)
        finally:
            self._jobs.pop(reply, None)
        following = self._session.ended(reply)  # whoever reads the last may ask for more at once
        async with self._sending:
            await self._take(last)
        await self._take(following)

    async def _answered(self, reply: Reply) -> Sequence[Outcome]:
        """Tell what is written; gives the last events."""
        service, plan = self._service, reply.plan
        audio_s = sum(part.seconds for part in plan.clips)
        # what is asked beside the conversation is a request as any other, and may be refused
        live = not plan.beside
        job = await service.start_live(
            self._key,
            audio_s,
            _work(service, plan, self._sound),
            live=live,
        )
        self._jobs[reply] = job
        async with contextlib.aclosing(job.items()) as items:
            async for one in items:
                if isinstance(one, _Written):
                    return _last(reply, one, job)
                if one:
                    async with self._sending:
                        await self._take(reply.push(one))
        raise AssertionError("an answer without an end")

    def _sound(self, part: ItemPart, task: str | None) -> Any:
        """A clip as a query takes it: the turn itself where the model still has it before it."""
        hearing = self._hearing
        found = hearing.recording if task in (None, "ask") else hearing.in_windows
        return found(part.turn_id) or (part.clip, SAMPLE_RATE)


def _last(reply: Reply, written: _Written, job: Job) -> Sequence[Outcome]:
    usage = response_usage(job.engine.usage)
    if written.cut:
        return reply.end("incomplete", usage, reason="max_output_tokens", result=written.result)
    return reply.end("completed", usage, result=written.result)


def timed(service: Service) -> dict[str, Any]:
    """How a transcript gets the times of its words: by alignment, which leaves the words as they
    are; not at all where the checkpoint cannot."""
    can = service.model.checkpoint.times != "written"
    return {"timestamps": "word", "times": "alignment"} if can else {}


async def _told_to_nobody(found: Sequence[Outcome]) -> None:
    """What follows from a response of a connection that is over."""


def _work(
    service: Service, plan: ReplyPlan, sound: Sound
) -> Callable[[MeteredEngine], Generator[Any]]:
    limit = service.config.limits.answer_tokens
    given = plan.max_output_tokens
    options = ChatRequest(
        (), max_tokens=limit if given == "inf" else given, reasoning_effort=plan.effort  # type: ignore[arg-type]
    ).options(limit)  # fmt: skip
    if plan.task is None:
        return lambda engine: _conversed(engine, plan, sound, options)
    how: dict[str, Any] = {"thinking": options.thinking, "thinking_budget": options.thinking_budget}
    if given != "inf":
        how["max_new_tokens"] = options.max_new_tokens
    if plan.task == "ask":
        how["question"] = plan.question
    elif plan.task == "transcribe":
        how |= timed(service)
    query = service.model.query(plan.task, *(sound(part, plan.task) for part in plan.clips), **how)
    return lambda engine: _asked(engine, plan.task, query)


def _conversed(
    engine: MeteredEngine, plan: ReplyPlan, sound: Sound, options: Any
) -> Generator[Any]:
    splitter = ReasoningSplitter()
    with contextlib.ExitStack() as held:
        pieces = engine.stream(_request(engine, plan, held, sound, options))
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                yield splitter.finish()[1]
                yield _Written(finish_reason(end.value) == _CUT)
                return
            yield splitter.push(piece)[1]


def _request(
    engine: MeteredEngine, plan: ReplyPlan, held: contextlib.ExitStack, sound: Sound, options: Any
) -> Any:
    """The conversation; where not all of it fits, without the oldest items that must go for it."""
    clips = {part: sound(part, None) for part in plan.clips}
    for part, clip in clips.items():
        if isinstance(clip, LiveRecording):
            whole = part.clip if clip.rolled else held.enter_context(clip.whole())
            clips[part] = whole if isinstance(whole, EncodedClip) else (whole, SAMPLE_RATE)

    def made(n_dropped: int) -> Any:
        messages, parts = plan.without_oldest(n_dropped).messages()
        return conversation_request(engine, messages, [clips[part] for part in parts], options)

    try:
        return made(0)
    except (PromptError, AudioError):
        most = plan.n_droppable
        if not most:
            raise
    fewest, found = 1, made(most)
    while fewest < most:
        middle = (fewest + most) // 2
        try:
            found, most = made(middle), middle
        except (PromptError, AudioError):
            fewest = middle + 1
    return found


def _asked(engine: MeteredEngine, task: str | None, query: Query) -> Generator[Any]:
    splitter = ReasoningSplitter()
    answer = AnswerStream(engine, query)
    # events are told as their writer does, not as the model writes them
    as_written = task in ("transcribe", "ask")
    for piece in answer:
        found = splitter.push(piece)[1]
        if as_written:
            yield found
    if as_written:
        yield splitter.finish()[1]
    else:
        yield get_writer("txt").render(answer.result).strip()
    cut = any(reason != "stop" for reason in engine.usage.reasons)
    yield _Written(cut, rounded(answer.result))

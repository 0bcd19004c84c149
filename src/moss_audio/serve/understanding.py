"""`/v1/audio/events`, `/captions` and `/questions`: what this model hears beside words. The forms
are those of transcriptions, the answers are our results as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from moss_audio.listen import listen
from moss_audio.result import Result
from moss_audio.serve.errors import Json
from moss_audio.serve.formats import PLAIN, plain, token_usage, whole
from moss_audio.serve.forms import read_form
from moss_audio.serve.service import Service
from moss_audio.serve.uploads import Upload, check_seconds, measure
from moss_audio.serve.work import MeteredEngine, Usage
from moss_audio.settings import Between
from moss_audio.writers import rounded


@dataclass(frozen=True)
class EventsForm:
    """The fields beside `file`."""

    model: str = ""
    response_format: Literal["json", "text", "srt", "vtt"] = "json"
    temperature: Annotated[float, Between(0, 2)] = 0.0


@dataclass(frozen=True)
class CaptionsForm:
    """The fields beside `file`."""

    model: str = ""
    response_format: Literal["json", "text"] = "json"
    temperature: Annotated[float, Between(0, 2)] = 0.0


@dataclass(frozen=True)
class QuestionsForm:
    """The fields beside `file`; `question` can be repeated."""

    question: tuple[str, ...]
    model: str = ""
    temperature: Annotated[float, Between(0, 2)] = 0.0


async def events(request: Request) -> Response:
    """The sound events of a recording."""
    async with read_form(request, EventsForm) as (form, file):
        return await _one(request, "events", form, file)


async def captions(request: Request) -> Response:
    """A description of a recording."""
    async with read_form(request, CaptionsForm) as (form, file):
        return await _one(request, "caption", form, file)


async def questions(request: Request) -> Response:
    """Answers to questions about a recording, which is encoded once for all of them."""
    async with read_form(request, QuestionsForm) as (form, file):
        options = {"question": list(form.question), "temperature": form.temperature}
        results, usage = await _results(request, "ask", form.model, file, options)
        answers = [
            {"question": question, **rounded(result)}
            for question, result in zip(form.question, results, strict=True)
        ]
        return Json({"answers": answers, "usage": token_usage(usage)})


async def _one(
    request: Request, task: str, form: EventsForm | CaptionsForm, file: Upload
) -> Response:
    options = {"temperature": form.temperature}
    (result,), usage = await _results(request, task, form.model, file, options)
    if form.response_format in PLAIN:
        return plain(result, form.response_format)
    return whole(result, usage)


async def _results(
    request: Request, task: str, model: str, file: Upload, options: dict[str, Any]
) -> tuple[Sequence[Result], Usage]:
    service: Service = request.app.state.service
    service.name(model)
    limits = service.config.limits
    audio_s = await measure([file], limits)
    heard_s = 0.0

    def count(done_s: float, _: float | None) -> None:
        nonlocal heard_s
        heard_s = done_s

    def work(engine: MeteredEngine) -> Sequence[Result]:
        with file:
            end = limits.audio_s + 1.0  # whatever its header says
            query = service.model.query(task, file, end=end, **options)  # type: ignore[arg-type]
            (heard,) = listen(engine, [query], on_error="raise", progress=count)
        if heard.error is not None:
            raise heard.error
        check_seconds(round(heard_s, 3), limits)  # (it is a sum)
        return heard.results

    return await service.complete(request, audio_s, work)

"""`/v1/audio/transcriptions` and `/v1/audio/translations`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from moss_audio.listen import AnswerStream, Query, listen
from moss_audio.result import Transcript
from moss_audio.serve import sse
from moss_audio.serve.errors import ApiError, Json
from moss_audio.serve.formats import (
    PLAIN,
    plain,
    token_usage,
    transcript_logprobs,
    verbose,
)
from moss_audio.serve.forms import read_form
from moss_audio.serve.reasoning import ReasoningSplitter
from moss_audio.serve.service import Service
from moss_audio.serve.uploads import Upload, check_seconds, measure
from moss_audio.serve.work import MeteredEngine, Usage
from moss_audio.settings import Between
from moss_audio.text import join_words
from moss_audio.writers import rounded

Granularity = Literal["word", "segment"]


@dataclass(frozen=True)
class TranscriptionForm:
    """The fields beside `file`. `language`, `languages`, `prompt` and `keywords` are taken, but no
    checkpoint listens to them: the answer's `warnings` say so."""

    model: str = ""
    language: str = ""
    languages: tuple[str, ...] = ()
    prompt: str = ""
    keywords: tuple[str, ...] = ()
    response_format: Literal["json", "text", "srt", "vtt", "verbose_json", "diarized_json"] = "json"
    temperature: Annotated[float, Between(0, 2)] = 0.0
    timestamp_granularities: tuple[Granularity, ...] = ()
    include: tuple[str, ...] = ()
    stream: bool = False

    @property
    def granularities(self) -> tuple[str, ...]:
        """Of `verbose_json`, which has segments where nothing is said."""
        return self.timestamp_granularities or ("segment",)

    @property
    def timestamps(self) -> str | None:
        """The level of times that the answer needs."""
        if self.response_format in ("srt", "vtt"):
            return "sentence"
        if self.response_format != "verbose_json":
            return None
        return "word" if "word" in self.granularities else "sentence"

    @property
    def ignored(self) -> list[str]:
        """Warnings about fields that change nothing."""
        names = ("language", "languages", "prompt", "keywords")
        return [f"{name} is ignored by this model" for name in names if getattr(self, name)]

    def check(self) -> None:
        """Raises ApiError for what is not possible."""
        for param, wrong, message in (
            (
                "response_format",
                self.response_format == "diarized_json",
                "this model does not tell speakers apart; use verbose_json",
            ),
            (
                "stream",
                self.stream and self.response_format not in ("json", "text", "verbose_json"),
                "only response_format json, text or verbose_json can be streamed",
            ),
            (
                "include",
                "logprobs" in self.include and self.response_format != "json",
                "logprobs go with response_format json",
            ),
        ):
            if wrong:
                raise ApiError(400, f"{param}: {message}", code="unsupported_value", param=param)


async def transcriptions(request: Request) -> Response:
    """The words of a recording."""
    service: Service = request.app.state.service
    async with read_form(request, TranscriptionForm) as (form, file):
        service.name(form.model)
        form.check()
        limits = service.config.limits
        audio_s = await measure([file], limits)
        if form.stream:
            streamed = _streamed_parts if form.response_format == "verbose_json" else _streamed
            return await streamed(request, service, form, file, audio_s)

        def work(engine: MeteredEngine) -> Transcript:
            with file:
                (heard,) = listen(engine, [_query(service, form, file)], on_error="raise")
            check_seconds(heard.result.duration, limits)
            found: Transcript = heard.result
            return found

        transcript, usage = await service.complete(request, audio_s, work)
        if form.response_format in PLAIN:
            return plain(transcript, form.response_format)
        if form.response_format == "verbose_json":
            body = verbose(
                transcript,
                form.granularities,
                form.language,
                form.temperature,
                service.engine.tokenizer,
            )
        else:
            body = {"text": transcript.text, "usage": token_usage(usage)}
        return Json(body | _logprobs(service, form, usage) | _warned(form, transcript))


def _logprobs(service: Service, form: TranscriptionForm, usage: Usage) -> dict[str, Any]:
    if "logprobs" not in form.include:
        return {}
    return {"logprobs": transcript_logprobs(usage, service.engine.tokenizer)}


def _query(service: Service, form: TranscriptionForm, file: Upload) -> Query:
    told = form.response_format == "verbose_json" or "logprobs" in form.include
    return service.model.query(
        "transcribe",
        file,  # type: ignore[arg-type]  # a file object
        timestamps=form.timestamps,
        temperature=form.temperature,
        logprobs=0 if told else None,
        end=service.config.limits.audio_s + 1.0,  # whatever its header says
    )


def _warned(form: TranscriptionForm, transcript: Transcript) -> dict[str, Any]:
    warnings = [*form.ignored, *transcript.warnings]
    return {"warnings": warnings} if warnings else {}


async def _streamed(
    request: Request, service: Service, form: TranscriptionForm, file: Upload, audio_s: float
) -> Response:
    found: list[Transcript] = []

    def work(engine: MeteredEngine) -> Generator[str, None, None]:
        with file:
            answer = AnswerStream(engine, _query(service, form, file))
            splitter = ReasoningSplitter()
            for piece in answer:
                yield splitter.push(piece)[1]
        yield splitter.finish()[1]
        check_seconds(answer.result.duration, service.config.limits)
        found.append(answer.result)

    job = await service.start(request, audio_s, work)

    def deltas(text: str) -> list[dict[str, Any]]:
        return [{"type": "transcript.text.delta", "delta": text}] if text else []

    def done() -> Iterator[dict[str, Any]]:
        (transcript,) = found
        yield (
            {
                "type": "transcript.text.done",
                "text": transcript.text,
                "usage": token_usage(job.engine.usage),
            }
            | _logprobs(service, form, job.engine.usage)
            | _warned(form, transcript)
        )

    return await sse.stream(request, job, deltas, done)


async def _streamed_parts(
    request: Request, service: Service, form: TranscriptionForm, file: Upload, audio_s: float
) -> Response:
    """A long recording's windows as they are known, then all of it as a result with times."""
    found: list[Transcript] = []
    before: list[str] = []
    in_parts = False

    def work(engine: MeteredEngine) -> Generator[Transcript, None, None]:
        with file:
            query = _query(service, form, file)
            for heard in listen(engine, [query], parts=True, on_error="raise"):
                if heard.done:
                    check_seconds(heard.result.duration, service.config.limits)
                    found.append(heard.result)
                else:
                    yield heard.result

    job = await service.start(request, audio_s, work)

    def part(transcript: Transcript) -> Iterator[dict[str, Any]]:
        nonlocal in_parts
        in_parts = True
        data = rounded(transcript)
        if data["text"]:
            delta = data["text"]
            if before:
                delta = join_words([before[-1], delta])[len(before[-1]) :]
            before.append(data["text"])
            yield {"type": "transcript.text.delta", "delta": delta}
        for index, segment in enumerate(data["segments"]):
            number = f"{round(1000 * transcript.duration)}.{index}"
            yield {"type": "transcript.text.segment", "id": f"seg_{number}", **segment}
        # ours: so far it is heard
        yield {"type": "transcript.progress", "seconds": data["duration"], "of": audio_s}

    def done() -> Iterator[dict[str, Any]]:
        (transcript,) = found
        if not in_parts:  # it has but one window
            yield from part(transcript)
        usage = token_usage(job.engine.usage)
        told = {"text": transcript.text, "usage": usage, "result": rounded(transcript)}
        yield {"type": "transcript.text.done", **told} | _warned(form, transcript)

    return await sse.stream(request, job, part, done)


async def translations(request: Request) -> Response:
    """No checkpoint of this family translates speech."""
    raise ApiError(
        400, "this model writes down speech in its own language and does not translate it: use "
        "/v1/audio/transcriptions", code="unsupported_operation",
    )  # fmt: skip

"""`/v1/chat/completions`: conversations about clips, whole or in pieces."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from moss_audio.engine.base import Generation, GenerationOptions, Messages
from moss_audio.engine.base import Request as EngineRequest
from moss_audio.engine.prompts import EncodedClip
from moss_audio.errors import AudioError, PromptError
from moss_audio.listen import Query, prompt_clips
from moss_audio.prompt import check_end, parse_messages
from moss_audio.recordings.names import is_data_uri
from moss_audio.serve import sse
from moss_audio.serve.errors import ApiError, Json
from moss_audio.serve.formats import chat_usage, completion_head, token_logprobs
from moss_audio.serve.forms import read_json
from moss_audio.serve.reasoning import ReasoningSplitter
from moss_audio.serve.service import Service, unless_gone
from moss_audio.serve.uploads import RemoteClip, Upload, from_base64, from_data_uri, measure
from moss_audio.serve.work import MeteredEngine
from moss_audio.settings import Between
from moss_audio.text import THINK_CLOSE, split_thinking

# Tokens of thinking for each effort, where no budget is given.
EFFORTS = {"minimal": 128, "low": 512, "medium": 2048, "high": 4096, "xhigh": 8192}
_OF_PROMPT = ("prompt_tokens", "audio_tokens")  # which all answers share
_END = "<|im_end|>"
ANSWER_TOKENS = 1024  # where nobody says how long an answer may be
_SEEDS = 2**62  # OpenAI's may be below 0


@dataclass(frozen=True)
class ChatRequest:
    """The body of a request. `thinking_budget` is ours, `top_k` (-1 is all, as 0),
    `chat_template_kwargs` (only `enable_thinking`), `return_token_ids` (those of answers),
    `return_tokens_as_token_ids`, and `continue_final_message` with `add_generation_prompt` (only
    the opposite of it) are vLLM's, the rest is OpenAI's."""

    messages: tuple[Mapping[str, Any], ...]
    model: str = ""
    max_tokens: Annotated[int, Between(1)] | None = None
    max_completion_tokens: Annotated[int, Between(1)] | None = None
    temperature: Annotated[float, Between(0, 2)] = 0.0
    top_p: Annotated[float, Between(0, 1)] = 1.0
    top_k: Annotated[int, Between(-1)] = 0
    n: Annotated[int, Between(1)] = 1
    seed: int = 0
    stop: str | tuple[str, ...] = ()
    stream: bool = False
    stream_options: Mapping[str, Any] | None = None
    modalities: tuple[Literal["text"], ...] = ("text",)
    response_format: Mapping[str, Any] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    thinking_budget: Annotated[int, Between(0)] | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Between(0, 20)] = 0
    return_token_ids: bool = False
    return_tokens_as_token_ids: bool = False
    continue_final_message: bool = False
    add_generation_prompt: bool | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0

    def check(self, choices: int) -> None:
        """Raises ApiError for what is not possible."""
        form = (self.response_format or {}).get("type", "text")
        continues, opens = self.continue_final_message, self.add_generation_prompt
        for param, wrong, advice in (
            ("tools", bool(self.tools), "this model calls no tools"),
            ("response_format", form != "text", "only text is written"),
            ("frequency_penalty", self.frequency_penalty != 0, "there is none; leave it out"),
            ("presence_penalty", self.presence_penalty != 0, "there is none; leave it out"),
            (
                "add_generation_prompt",
                continues and opens is True,
                "cannot be true together with `continue_final_message`: set one of them",
            ),
            (
                "add_generation_prompt",
                not continues and opens is False,
                "without it there is no answer; set `continue_final_message` to continue one",
            ),
            ("n", self.n > choices, f"at most {choices} answers are given at once"),
        ):
            if wrong:
                raise ApiError(400, f"{param}: {advice}", code="unsupported_value", param=param)

    def options(self, most_tokens: int) -> GenerationOptions:
        """How to decode. Raises MossAudioError for a value that makes no sense."""
        effort, budget = self.reasoning_effort, self.thinking_budget
        thinking = (self.chat_template_kwargs or {}).get("enable_thinking")
        thinking = thinking if effort is None else effort != "none"
        if budget is None and effort is not None and thinking:
            budget = EFFORTS[effort]
        given = self.max_completion_tokens or self.max_tokens
        tokens = ANSWER_TOKENS + (budget or 0) if given is None else given
        return GenerationOptions(
            max_new_tokens=min(tokens, most_tokens),
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=max(0, self.top_k),
            seed=self.seed % _SEEDS,
            stop=(self.stop,) if isinstance(self.stop, str) else self.stop,
            thinking=self._thinks(thinking, budget),
            thinking_budget=budget if thinking is not False else None,
            num_return_sequences=self.n,
            stop_repetition=True,
            logprobs=self.top_logprobs if self.logprobs else None,
        )

    def _thinks(self, asked: bool | None, budget: int | None) -> bool | None:
        if self.continue_final_message:  # it has begun to, or not
            return None
        return True if asked is None and budget else asked


async def completions(request: Request) -> Response:
    """The answer to a conversation."""
    service: Service = request.app.state.service
    limits = service.config.limits
    asked = await read_json(request, ChatRequest)
    model = service.name(asked.model)
    asked.check(limits.choices)
    options = asked.options(limits.answer_tokens)
    messages, named = await asyncio.to_thread(_messages, asked, limits.clips)
    clips = await unless_gone(request, service.fetcher.uploads(named))
    with _in_messages():
        return await _answered(request, service, asked, model, options, messages, clips)


@contextlib.contextmanager
def _in_messages() -> Iterator[None]:
    """A clip that cannot be read is one of the messages: there is no `file`."""
    try:
        yield
    except AudioError as error:
        raise ApiError(422, str(error), code="invalid_audio", param="messages") from None


async def _answered(
    request: Request, service: Service, asked: ChatRequest, model: str, options: GenerationOptions,
    messages: list[dict[str, Any]], clips: Sequence[Upload],
) -> Response:  # fmt: skip
    audio_s = await measure(clips, service.config.limits)

    def prompt(engine: MeteredEngine) -> EngineRequest:
        with contextlib.ExitStack() as opened:
            for clip in clips:
                opened.enter_context(clip)
            return conversation_request(
                engine, messages, clips, options, continues=asked.continue_final_message
            )

    if asked.stream:
        return await _streamed(request, service, asked, model, audio_s, prompt)

    def work(engine: MeteredEngine) -> Generation:
        (answer,) = engine.generate([prompt(engine)])
        return answer

    answer, usage = await service.complete(request, audio_s, work)
    choices = [
        {
            "index": index,
            "message": _message(one.text, begun_of(messages, asked)),
            **_ending(one, asked, service.engine.tokenizer),
        }
        for index, one in enumerate((answer, *answer.alternatives))
    ]
    head = completion_head("chat.completion", model)
    return Json(head | {"choices": choices, "usage": chat_usage(usage)})


def conversation_request(
    engine: MeteredEngine,
    messages: Messages,
    clips: Sequence[Any],
    options: GenerationOptions,
    *,
    continues: bool = False,
) -> EngineRequest:
    """A conversation and its clips, which are anything that `Query` takes, as the engine takes
    them; `continues`: its last message.

    Raises:
        MossAudioError: if it cannot be answered.
    """
    loaded = iter(prompt_clips(engine, Query(tuple(clips), ())))
    heard = [one if isinstance(one, EncodedClip) else next(loaded).samples for one in clips]
    made = EngineRequest(messages, tuple(heard), options, continues=continues)
    engine.check(made)
    return made


async def _streamed(
    request: Request, service: Service, asked: ChatRequest, model: str, audio_s: float, prompt: Any
) -> Response:
    head = completion_head("chat.completion.chunk", model)

    def work(engine: MeteredEngine) -> Generator[Any, None, None]:
        made = prompt(engine)
        answers = []
        for index in range(asked.n):  # all are begun at once
            options = made.options.changed(num_return_sequences=1, seed=made.options.seed + index)
            answers.append(engine.stream(replace(made, options=options)))
        begun = begun_of(made.messages, asked)
        for index, pieces in enumerate(answers):
            yield from _deltas(index, pieces, asked, engine.tokenizer, begun)

    job = await service.start(request, audio_s, work)

    def chunks(choice: dict[str, Any]) -> list[dict[str, Any]]:
        return [head | {"choices": [choice]}]

    def end() -> Iterator[Any]:
        if (asked.stream_options or {}).get("include_usage"):
            usage = job.engine.usage
            once = {name: getattr(usage, name) // asked.n for name in _OF_PROMPT}
            once["cached_tokens"] = usage.answers[0].cached_tokens  # the others find its prompt
            yield head | {"choices": [], "usage": chat_usage(replace(usage, **once))}
        yield "[DONE]"

    return await sse.stream(request, job, chunks, end)


def _deltas(
    index: int,
    pieces: Generator[str, None, Generation],
    asked: ChatRequest,
    tokenizer: Any,
    begun: str,
) -> Generator[dict[str, Any], None, None]:
    """The chunks' choices of one answer; the last has its log-probabilities, all of them."""

    def choice(delta: dict[str, str], **ending: Any) -> dict[str, Any]:
        ids: dict[str, Any] = {"token_ids": []} if asked.return_token_ids else {}
        return (
            {"index": index, "delta": delta, "finish_reason": None, "logprobs": None} | ids | ending
        )

    def new(thinking: str, text: str) -> Iterator[dict[str, Any]]:
        if thinking:
            yield choice({"reasoning_content": thinking})
        if text:
            yield choice({"content": text})

    splitter = ReasoningSplitter(begun)
    yield choice({"role": "assistant", "content": ""})
    while True:
        try:
            piece = next(pieces)
        except StopIteration as end:
            yield from new(*splitter.finish())
            yield choice({}, **_ending(end.value, asked, tokenizer))
            return
        yield from new(*splitter.push(piece))


def begun_of(messages: Messages, asked: ChatRequest) -> str:
    """The answer as far as the client has it, which is not sent again."""
    return parse_messages(messages)[-1].text if asked.continue_final_message else ""


def _message(text: str, begun: str) -> dict[str, Any]:
    if begun:
        splitter = ReasoningSplitter(begun)
        pieces = splitter.push(text), splitter.finish()
        thinking, answer = ("".join(parts) for parts in zip(*pieces, strict=True))
    else:
        found, answer, _ = split_thinking(text)
        thinking = found or ""
    message = {"role": "assistant", "content": answer, "refusal": None}
    return message | {"reasoning_content": thinking} if thinking else message


def _ending(answer: Generation, asked: ChatRequest, tokenizer: Any) -> dict[str, Any]:
    """Why an answer ended, and what is told of its tokens."""
    told: dict[str, Any] = {"finish_reason": finish_reason(answer), "logprobs": None}
    if answer.logprobs is not None:
        named = asked.return_tokens_as_token_ids
        # OpenAI tells the tokens of the answer proper, without its thinking; vLLM tells all
        thought = len(answer.text) - len(answer.text.rpartition(THINK_CLOSE)[2])
        tokens = token_logprobs(answer, tokenizer, -1 if named else thought, named=named)
        told["logprobs"] = {"content": tokens, "refusal": None}
    if asked.return_token_ids:
        ended = tokenizer.encode(_END) if answer.finish_reason == "stop" else []
        told["token_ids"] = [*answer.token_ids, *ended]
        if answer.finish_reason == "stop_string":
            told["stop_reason"] = asked.stop if isinstance(asked.stop, str) else asked.stop[0]
    return told


def finish_reason(answer: Generation) -> str:
    """OpenAI's word; an endless repetition that was cut is an answer that was cut."""
    return "length" if answer.finish_reason in ("length", "repetition") else "stop"


def _messages(
    asked: ChatRequest, most_clips: int
) -> tuple[list[dict[str, Any]], list[Upload | RemoteClip]]:
    """A conversation as the renderer takes it, and its clips in order."""
    messages: list[dict[str, Any]] = []
    clips: list[Upload | RemoteClip] = []
    for index, message in enumerate(asked.messages):
        role = message.get("role")
        content = message.get("content")
        if isinstance(content, list):
            where = f"messages.{index}.content"
            content = [_part(part, f"{where}.{place}", clips) for place, part in enumerate(content)]
        messages.append({"role": "system" if role == "developer" else role, "content": content})
    if len(clips) > most_clips:
        raise ApiError(400, f"messages: at most {most_clips} clips are taken", param="messages")
    try:
        check_end(
            parse_messages(messages),
            continues=asked.continue_final_message,
            otherwise="set continue_final_message to continue it",
        )
    except PromptError as error:
        raise ApiError(400, str(error), code="invalid_value", param="messages") from None
    return messages, clips


def _part(part: Any, where: str, clips: list[Upload | RemoteClip]) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text":
        return {"type": "text", "text": part.get("text")}
    inner = part.get(kind) if kind in ("input_audio", "audio_url") else None
    if isinstance(inner, Mapping) and kind == "input_audio":
        clips.append(from_base64(inner.get("data"), f"{where}.input_audio.data"))
    elif isinstance(inner, Mapping) and isinstance(inner.get("url"), str):
        url, param = inner["url"], f"{where}.audio_url.url"
        clips.append(from_data_uri(url, param) if is_data_uri(url) else RemoteClip(url, param))
    else:
        raise ApiError(400, f"{where}: give a part of type text, input_audio or audio_url",
                       code="invalid_value", param="messages")  # fmt: skip
    return {"type": "audio"}

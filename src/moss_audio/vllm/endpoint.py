"""`/v1/audio/transcriptions` of vLLM with this model: bounds on answers, times of words.

vLLM asks a model's class about one window at a time and tells it neither the format that a client
wants nor the length of the window an answer belongs to; `verbose_json` it makes of Whisper's time
tokens alone. So its endpoint is wrapped: what is asked of it is plain json, the windows' answers
are kept as they are, and what the client gets is made of them here. Where vLLM's endpoint is
another than the one this was written for, a warning says so and the endpoint stays as it is.
"""

from __future__ import annotations

import functools
import inspect
import logging
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import jinja2

from moss_audio.errors import MossAudioError
from moss_audio.listen import MAX_CLIP_S
from moss_audio.prompt import AUDIO_PLACEHOLDER, chat_template
from moss_audio.result import Transcript
from moss_audio.serve.formats import verbose
from moss_audio.tasks import get_task
from moss_audio.tasks.base import Task

_BOUNDARY = "\x1e"  # after each window's answer; no answer has this character
_ASKED = ["self", "audio_data", "request", "raw_request"]
_FORMATS = ("json", "text", "verbose_json")

log = logging.getLogger("vllm.moss_audio")  # below vLLM's own, whose form it gets


@dataclass
class Hearing:
    """One request under way.

    Attributes:
        task: what is asked about each window.
        request: vLLM's, whose bound on answers follows the windows unless the client set one.
        bounded: whether it is to follow.
        lengths_s: of the windows so far.
    """

    task: Task[Transcript]
    request: Any
    bounded: bool
    lengths_s: list[float] = field(default_factory=list)

    def window(self, length_s: float) -> None:
        """A further window is asked about."""
        self.lengths_s.append(length_s)
        if self.bounded:
            self.request.max_completion_tokens = self.task.answer_tokens(max(self.lengths_s))

    def kept(self, answer: str) -> str:
        """An answer as it comes back in the text of all."""
        return answer.replace(_BOUNDARY, "") + _BOUNDARY

    def transcript(self, text: str) -> Transcript:
        """What the windows' answers, joined by vLLM, say."""
        parts, start_s = [], 0.0
        for answer, length_s in zip(text.split(_BOUNDARY), self.lengths_s, strict=False):
            parts.append((start_s, self.task.parse(answer, length_s)))
            start_s += length_s
        return self.task.join(parts)


HEARING: ContextVar[Hearing | None] = ContextVar("moss_audio_hearing", default=None)


def prompt_text(hearing: Hearing | None) -> str:
    """The prompt of a request, with a placeholder for the window."""
    task = get_task("transcribe") if hearing is None else hearing.task
    content = f"{AUDIO_PLACEHOLDER}\n{task.prompt}"
    return jinja2.Template(chat_template()).render(
        messages=[{"role": "user", "content": content}], add_generation_prompt=True
    )


def plain_text(answer: str) -> str:
    """The words of an answer about a window of unknown length."""
    text: str = get_task("transcribe").parse(answer, MAX_CLIP_S).text
    return text


def extend(model_cls: type) -> None:
    """Wrap vLLM's endpoint, once; other models than `model_cls` do not notice."""
    try:
        from vllm.entrypoints.speech_to_text.transcription.protocol import (
            TranscriptionResponse,
            TranscriptionResponseVerbose,
        )
        from vllm.entrypoints.speech_to_text.transcription.serving import (
            OpenAIServingTranscription as Endpoint,
        )

        original = Endpoint.create_transcription
        if hasattr(original, "__wrapped__"):
            return
        if list(inspect.signature(original).parameters) != _ASKED:
            raise MossAudioError("create_transcription takes other arguments")
    except (ImportError, AttributeError, MossAudioError) as error:
        log.warning(
            "this vLLM's transcriptions are not those that moss-audio knows (%s): verbose_json is "
            "refused, and answers have no bound but max_completion_tokens", error,
        )  # fmt: skip
        return

    class VerboseAnswer(TranscriptionResponseVerbose):
        """`verbose_json` as `moss-audio serve` writes it; vLLM's own has no place for words'
        times beside segments of which no log-probability is known."""

        body: dict[str, Any]

        def model_dump(self, **_: Any) -> dict[str, Any]:
            return self.body

    @functools.wraps(original)
    async def create_transcription(
        self: Any, audio_data: bytes, request: Any, raw_request: Any = None
    ) -> Any:
        ours = issubclass(self.model_cls, model_cls) and not request.stream
        if not ours or request.response_format not in _FORMATS or request.use_beam_search:
            return await original(self, audio_data, request, raw_request)
        wants = set(request.timestamp_granularities or ("segment",))
        timed = request.response_format == "verbose_json"
        level = ("word" if "word" in wants else "sentence") if timed else None
        asked = request.model_copy(update={"response_format": "json"})
        bounded = request.max_completion_tokens is None and not _thinks(self.model_config)
        hearing = Hearing(get_task("transcribe", timestamps=level), asked, bounded)
        token = HEARING.set(hearing)
        try:
            answer = await original(self, audio_data, asked, raw_request)
        finally:
            HEARING.reset(token)
        if not isinstance(answer, TranscriptionResponse):  # an error
            return answer
        heard = hearing.transcript(answer.text)
        if not timed:
            return TranscriptionResponse(text=heard.text, usage=answer.usage)
        language, tokenizer = request.language or "", self.renderer.get_tokenizer()
        body = verbose(heard, wants, language, request.temperature, tokenizer)
        for segment in body.get("segments", ()):
            segment["avg_logprob"] = None  # vLLM does not tell it
        return VerboseAnswer(text=heard.text, language=language, duration=heard.duration, body=body)

    Endpoint.create_transcription = create_transcription


def _thinks(model_config: Any) -> bool:
    """Whether answers begin with a thought, of a length that nobody knows: its name tells."""
    return "thinking" in str(model_config.model).rpartition("/")[2].lower()

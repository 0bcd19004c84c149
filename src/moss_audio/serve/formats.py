"""Results as OpenAI's answers. Times and subtitles are written by the package's one writers."""

from __future__ import annotations

import time
import uuid
import zlib
from collections.abc import Collection
from typing import Any

from starlette.responses import Response

from moss_audio.engine.base import Generation
from moss_audio.result import Result, Transcript
from moss_audio.serve.errors import Json
from moss_audio.serve.work import Usage
from moss_audio.writers import get_writer, rounded

# Plain bodies: the writer, and the type that browsers and OpenAI's server call it by.
PLAIN = {
    "text": ("txt", "text/plain"),
    "srt": ("srt", "application/x-subrip"),
    "vtt": ("vtt", "text/vtt"),
}
# All files that a result can be written to.
WRITTEN = PLAIN | {
    "tsv": ("tsv", "text/tab-separated-values"),
    "json": ("json", "application/json"),
    "textgrid": ("textgrid", "text/plain"),
}


def plain(result: Result, form: str) -> Response:
    """A result as one of `WRITTEN`. Raises MossAudioError for one that the form cannot hold."""
    writer, media_type = WRITTEN[form]
    text = get_writer(writer).render(result)
    return Response(text.encode("utf-8", "replace"), media_type=f"{media_type}; charset=utf-8")


def whole(result: Result, usage: Usage) -> Response:
    """A result with all its fields, and what it took."""
    return Json(rounded(result) | {"usage": token_usage(usage)})


def token_usage(usage: Usage) -> dict[str, Any]:
    """Tokens as the audio endpoints count them."""
    return {
        "type": "tokens",
        "input_tokens": usage.prompt_tokens,
        "input_token_details": {
            "audio_tokens": usage.audio_tokens,
            "text_tokens": usage.prompt_tokens - usage.audio_tokens,
        }
        | ({} if usage.cached_tokens is None else {"cached_tokens": usage.cached_tokens}),
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
    }


def chat_usage(usage: Usage) -> dict[str, Any]:
    """Tokens as a conversation counts them."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "audio_tokens": usage.audio_tokens,
            "text_tokens": usage.prompt_tokens - usage.audio_tokens,
        }
        | ({} if usage.cached_tokens is None else {"cached_tokens": usage.cached_tokens}),
    }


def response_usage(usage: Usage) -> dict[str, Any]:
    """Tokens as a response of a live session counts them."""
    told = token_usage(usage)
    output = {"text_tokens": usage.output_tokens, "audio_tokens": 0}
    return {name: value for name, value in told.items() if name != "type"} | {
        "output_token_details": output
    }


def verbose(
    transcript: Transcript,
    granularities: Collection[str],
    language: str,
    temperature: float,
    tokenizer: Any,
) -> dict[str, Any]:
    """`verbose_json`.

    Args:
        tokenizer: gives the ids of a segment's text.

    `no_speech_prob` is 0, which clients expect as a number, where nobody tells it: with a backend.
    """
    data = rounded(transcript)
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": transcript.language or language,
        "duration": data["duration"],
        "text": data["text"],
    }
    if "word" in granularities:
        body["words"] = [
            {"word": word["text"], "start": word["start"], "end": word["end"]}
            for word in data["words"]
        ]
    if "segment" in granularities:
        body["segments"] = [
            {
                "id": index,
                "seek": round(100 * segment["start"]),  # in frames of 10 ms
                "start": segment["start"],
                "end": segment["end"],
                "text": segment["text"],
                "tokens": list(tokenizer.encode(segment["text"], add_special_tokens=False)),
                "temperature": temperature,
                "avg_logprob": segment.get("avg_logprob", 0.0),
                "compression_ratio": round(_compression(segment["text"]), 3),
                "no_speech_prob": segment.get("no_speech_prob", 0.0),
            }
            for index, segment in enumerate(data["segments"])
        ]
    body["usage"] = {"type": "duration", "seconds": data["duration"]}
    return body


def _compression(text: str) -> float:
    data = text.encode("utf-8", "replace")
    return len(data) / len(zlib.compress(data))


def token_logprobs(
    answer: Generation, tokenizer: Any, first: int = 0, *, named: bool = False
) -> list[dict[str, Any]]:
    """The tokens of an answer that end after its character `first`, as conversations tell them;
    `named`: called by their ids."""

    def entry(token_id: int, logprob: float, data: bytes | None = None) -> dict[str, Any]:
        if data is None:
            text = tokenizer.decode([token_id], skip_special_tokens=False)
            data = text.encode("utf-8", "replace")
        text = f"token_id:{token_id}" if named else data.decode("utf-8", "replace")
        return {"token": text, "logprob": logprob, "bytes": list(data)}

    return [
        entry(token.token_id, token.logprob, token.data)
        | {"top_logprobs": [entry(token_id, value) for token_id, value in token.top]}
        for token in answer.logprobs or ()
        if token.end > first
    ]


def transcript_logprobs(usage: Usage, tokenizer: Any) -> list[dict[str, Any]]:
    """The tokens of all answers, as transcriptions tell them."""
    tokens = [one for answer in usage.answers for one in token_logprobs(answer, tokenizer)]
    names = ("token", "logprob", "bytes")
    return [{name: token[name] for name in names} for token in tokens]


def completion_head(kind: str, model: str) -> dict[str, Any]:
    """What a completion, or each of its chunks, begins with."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }

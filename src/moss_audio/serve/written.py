"""`/v1/audio/formats`: a result that a client has, as a file; the model is not asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from moss_audio.result import result_from_dict
from moss_audio.serve.formats import plain
from moss_audio.serve.forms import read_json


@dataclass(frozen=True)
class FormatsRequest:
    """`result` is a transcript, timeline, caption or answer as `to_dict()` writes it: that is how
    events and captions come, and the `result` of a transcript that is streamed as verbose_json."""

    result: Mapping[str, Any]
    response_format: Literal["text", "srt", "vtt", "tsv", "json", "textgrid"] = "srt"


async def formats(request: Request) -> Response:
    """The file."""
    asked = await read_json(request, FormatsRequest)
    return await asyncio.to_thread(_written, asked)


def _written(asked: FormatsRequest) -> Response:
    return plain(result_from_dict(asked.result), asked.response_format)

"""Messages of a session: those of the client read, those of the server made."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from moss_audio.serve.errors import ApiError
from moss_audio.serve.forms import json_object

BUFFER = "input_audio_buffer"
ITEM = "conversation.item"

Event = dict[str, Any]


def event(kind: str, **fields: Any) -> Event:
    """An event of the server."""
    return {"type": kind, "event_id": new_id("event"), **fields}


def transcription(kind: str, item_id: str, **fields: Any) -> Event:
    """An event about what is said in an item."""
    return event(f"{ITEM}.input_audio_transcription.{kind}", item_id=item_id, content_index=0,
                 **fields)  # fmt: skip


def error_event(error: ApiError, event_id: Any = None) -> Event:
    """What tells a client of a mistake in its event `event_id`."""
    return event("error", error={**error.body()["error"], "event_id": event_id})


def new_id(kind: str) -> str:
    """An id that no other has."""
    return f"{kind}_{uuid.uuid4().hex[:24]}"


def read_message(text: str | None) -> Mapping[str, Any]:
    """A message of a client. Raises ApiError for what is not a JSON object."""
    return json_object(text or "", "the message")


def objects(values: Any, param: str) -> Mapping[str, Any]:
    """Fields of an object; none where there is null. Raises ApiError for another kind of value."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise invalid(f"{param}: expected an object", param)
    return values


def invalid(message: str, param: str, code: str = "invalid_value") -> ApiError:
    """A mistake of the client in a field."""
    return ApiError(400, message, code=code, param=param)

"""A session: events of the client in, events of the server and turns out. It does no I/O."""

from __future__ import annotations

import base64
import binascii
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio.serve.config import Limits
from moss_audio.serve.errors import ApiError
from moss_audio.serve.realtime.audio import AppendedAudio
from moss_audio.serve.realtime.buffer import Began, Ended, InputBuffer
from moss_audio.serve.realtime.config import SessionConfig
from moss_audio.units import SAMPLE_RATE

_SHORTEST_S = 0.1  # of a commit, as OpenAI's
_BUFFER = "input_audio_buffer"
ITEM = "conversation.item"

Event = dict[str, Any]


@dataclass(frozen=True, eq=False)
class CommittedTurn:
    """What was committed: samples `[n]` at 16 kHz, to be transcribed with `logprobs` or without."""

    item_id: str
    samples: np.ndarray
    logprobs: bool


class RealtimeSession:
    """The state of one session.

    Args:
        check_model: gives the name under which a model is served; raises ApiError for another.
        model: that was asked for at the connection.
        limits: how long a turn and a session may be.
    """

    def __init__(self, check_model: Callable[[str], str], model: str, limits: Limits) -> None:
        self._id = new_id("sess")
        self._expires_at = int(time.time() + limits.session_s)
        self._limits = limits
        self._config = SessionConfig(check_model, model)
        self._audio = AppendedAudio(self._config.format)
        self._buffer = InputBuffer(limits.turn_s)
        list(self._buffer.detect(self._config.turn_detection))
        self._item = new_id("item")
        self._started = ""  # the item whose beginning was told
        self._previous: str | None = None

    @property
    def speaking(self) -> bool:
        """Whether something is heard that is not committed yet."""
        return self._buffer.speaking

    @property
    def item_id(self) -> str:
        """Of the turn that is open, or comes next."""
        return self._item

    def open_turn(self) -> CommittedTurn | None:
        """What would be committed now; None where nobody speaks, or hypotheses are not wanted."""
        if not self._config.hypotheses or not self._buffer.speaking:
            return None
        return CommittedTurn(self._item, self._buffer.peek(), logprobs=False)

    def created(self) -> Event:
        """The first event."""
        return event("session.created", session=self._told())

    def receive(self, text: str | None) -> list[Event | CommittedTurn]:
        """What follows from a message of the client; what is wrong with it is an `error` event, and
        changes nothing."""
        own_id = None
        try:
            message = _read(text)
            own_id = message.get("event_id")
            return list(self._handled(message))
        except ApiError as error:
            told = error.body()["error"]
            return [event("error", error={**told, "event_id": own_id})]

    def _handled(self, message: Mapping[str, Any]) -> Iterable[Event | CommittedTurn]:
        kind = message.get("type")
        if kind == "session.update":
            return self._update(message.get("session"))
        if kind == f"{_BUFFER}.append":
            return self._append(message.get("audio"))
        if kind == f"{_BUFFER}.commit":
            return self._commit()
        if kind == f"{_BUFFER}.clear":
            return self._clear()
        raise ApiError(
            400, "type: this server has session.update and input_audio_buffer.append, .commit and "
            ".clear", code="unknown_event", param="type",
        )  # fmt: skip

    def _update(self, session: Any) -> list[Event | CommittedTurn]:
        form = self._config.format
        self._config.update(session)
        out: list[Event | CommittedTurn] = []
        if self._config.format != form:
            out += self._heard(self._buffer.push(self._audio.finish()))
            self._audio = AppendedAudio(self._config.format)
        out += self._heard(self._buffer.detect(self._config.turn_detection))
        return [event("session.updated", session=self._told()), *out]

    def _append(self, audio: Any) -> list[Event | CommittedTurn]:
        data = _base64(audio)
        if self._buffer.full:
            raise ApiError(
                400, f"the buffer holds {self._limits.turn_s:g} s, and no more: commit or clear it",
                code="input_audio_buffer_full", param="audio",
            )  # fmt: skip
        return list(self._heard(self._buffer.push(self._audio.push(data))))

    def _commit(self) -> list[Event | CommittedTurn]:
        samples = self._buffer.take(self._audio.finish())
        if len(samples) < _SHORTEST_S * SAMPLE_RATE:
            raise ApiError(
                400, f"the buffer holds {1000 * len(samples) / SAMPLE_RATE:.0f} ms of sound, too "
                "little for a commit: append at least 100 ms",
                code="input_audio_buffer_commit_empty",
            )  # fmt: skip
        return self._committed(samples)

    def _clear(self) -> list[Event | CommittedTurn]:
        self._audio.finish()
        self._buffer.take()
        self._item = new_id("item")
        return [event(f"{_BUFFER}.cleared")]

    def _heard(self, changes: Iterable[Began | Ended]) -> Iterator[Event | CommittedTurn]:
        for change in changes:
            if isinstance(change, Began):
                if self._started != self._item:  # else the detector was off and is on again
                    self._started = self._item
                    yield event(
                        f"{_BUFFER}.speech_started", audio_start_ms=change.at_ms, item_id=self._item
                    )
            else:
                yield event(
                    f"{_BUFFER}.speech_stopped", audio_end_ms=change.at_ms, item_id=self._item
                )
                yield from self._committed(change.samples)

    def _committed(self, samples: np.ndarray) -> list[Event | CommittedTurn]:
        item, self._item = self._item, new_id("item")
        placed = {"previous_item_id": self._previous}
        self._previous = item
        told = {
            "id": item,
            "object": "realtime.item",
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        return [
            event(f"{_BUFFER}.committed", item_id=item, **placed),
            event(f"{ITEM}.added", item=told, **placed),
            event(f"{ITEM}.done", item=told, **placed),
            CommittedTurn(item, samples, self._config.logprobs),
        ]

    def _told(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "realtime.transcription_session",
            "type": "transcription",
            "expires_at": self._expires_at,
            **self._config.told(),
        }


def event(kind: str, **fields: Any) -> Event:
    """An event of the server."""
    return {"type": kind, "event_id": new_id("event"), **fields}


def new_id(kind: str) -> str:
    """An id that no other has."""
    return f"{kind}_{uuid.uuid4().hex[:24]}"


def _read(text: str | None) -> Mapping[str, Any]:
    try:
        message = json.loads(text or "", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise ApiError(400, "the message is not a JSON object", code="invalid_json")
    return message


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _base64(audio: Any) -> bytes:
    if not isinstance(audio, str):
        raise ApiError(400, "audio: give sound in base64", code="invalid_value", param="audio")
    try:
        return base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "audio: this is not base64", code="invalid_value",
                       param="audio") from None  # fmt: skip

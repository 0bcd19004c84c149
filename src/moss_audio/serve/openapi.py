"""`/openapi.json`, made of the dataclasses that read the requests: it says what they take."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from moss_audio import __version__
from moss_audio.serve.chat import ChatRequest
from moss_audio.serve.errors import Json
from moss_audio.serve.realtime.secrets import ClientSecretRequest
from moss_audio.serve.transcriptions import TranscriptionForm
from moss_audio.serve.understanding import CaptionsForm, EventsForm, QuestionsForm
from moss_audio.serve.written import FormatsRequest
from moss_audio.settings import Between

Schema = dict[str, Any]

_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
}
_TEXT = {"text/plain": {"schema": _PLAIN[str]}}
_SUBTITLES = {**_TEXT, "application/x-subrip": {"schema": _PLAIN[str]},
              "text/vtt": {"schema": _PLAIN[str]}}  # fmt: skip
_EVENTS = {"text/event-stream": {"schema": _PLAIN[str]}}
_ERROR = {"$ref": "#/components/schemas/Error"}
_STATUSES = {
    400: "a wrong field", 401: "no key, or an unknown one", 403: "a page or name not allowed",
    404: "a model that is not served", 408: "the body did not come", 413: "too large or too long",
    415: "another kind of body", 422: "a file that is not usable audio",
    429: "too many requests of this key", 503: "too much work, or shutting down",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Operation:
    """What a path takes and gives.

    Attributes:
        summary: one line.
        form: the dataclass of a multipart form with a file; `body` of JSON.
        answers: media type -> schema, beside JSON.
        keys: the entries of the JSON answer that are always there.
        open: whether it is answered without a key.
    """

    summary: str
    form: type[Any] | None = None
    body: type[Any] | None = None
    answers: Mapping[str, Schema] = dataclasses.field(default_factory=dict)
    keys: Sequence[str] = ()
    open: bool = False


OPERATIONS: dict[tuple[str, str], Operation] = {
    ("get", "/v1/models"): Operation("The names of the model.", keys=("object", "data")),
    ("get", "/v1/models/{model}"): Operation(
        "One name of the model.", keys=("id", "object", "created", "owned_by")
    ),
    ("post", "/v1/audio/transcriptions"): Operation(
        "The words of a recording.", TranscriptionForm, answers=_SUBTITLES | _EVENTS,
        keys=("text", "usage"),
    ),
    ("post", "/v1/audio/translations"): Operation(
        "Always an error: the model does not translate speech."
    ),
    ("post", "/v1/audio/events"): Operation(
        "The sound events of a recording with their times.", EventsForm, answers=_SUBTITLES,
        keys=("type", "duration", "events", "raw", "warnings", "usage"),
    ),
    ("post", "/v1/audio/captions"): Operation(
        "A description of a recording.", CaptionsForm, answers=_TEXT,
        keys=("type", "text", "duration", "raw", "warnings", "usage"),
    ),
    ("post", "/v1/audio/questions"): Operation(
        "Answers to questions about a recording.", QuestionsForm, keys=("answers", "usage")
    ),
    ("post", "/v1/audio/formats"): Operation(
        "A result as a file.", body=FormatsRequest,
        answers=_SUBTITLES | {"text/tab-separated-values": {"schema": _PLAIN[str]},
                              "application/json": {"schema": {"type": "object"}}},
    ),
    ("post", "/v1/chat/completions"): Operation(
        "The answer to a conversation with clips.", body=ChatRequest, answers=_EVENTS,
        keys=("id", "object", "created", "model", "choices", "usage"),
    ),
    ("post", "/v1/realtime/client_secrets"): Operation(
        "A key for one kind of live session, that ends soon.", body=ClientSecretRequest,
        keys=("value", "expires_at", "session"),
    ),
    ("get", "/health"): Operation("As /health/ready.", keys=("status",), open=True),
    ("get", "/health/live"): Operation("Whether it runs.", keys=("status",), open=True),
    ("get", "/health/ready"): Operation("Whether it has room.", keys=("status",), open=True),
    ("get", "/version"): Operation("The package's version.", keys=("version",), open=True),
    ("get", "/metrics"): Operation("Counters for Prometheus.", answers=_TEXT, open=True),
    ("get", "/openapi.json"): Operation("This page.", keys=("openapi", "paths"), open=True),
}  # fmt: skip


async def openapi(request: Request) -> Response:
    """The page."""
    return Json(document())


@cache
def document() -> Schema:
    """The whole description, OpenAPI 3.1."""
    paths: Schema = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method] = _operation(path, operation)
    error = {
        "message": _PLAIN[str], "type": _PLAIN[str],
        "param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]},
    }  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {"title": "moss-audio", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Error": _object({"error": _object(error, list(error))}, ["error"])},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(path: str, operation: Operation) -> Schema:
    found: Schema = {"summary": operation.summary}
    if not operation.open:
        found["security"] = [{"key": []}, {}]
    if "{model}" in path:
        found["parameters"] = [
            {"name": "model", "in": "path", "required": True, "schema": _PLAIN[str]}
        ]
    if operation.form is not None:
        schema = _dataclass(operation.form)
        schema["properties"]["file"] = {"type": "string", "format": "binary"}
        schema.setdefault("required", []).append("file")
        found["requestBody"] = _body("multipart/form-data", schema)
    if operation.body is not None:
        found["requestBody"] = _body("application/json", _dataclass(operation.body))
    responses: Schema = {}
    content = dict(operation.answers)
    if operation.keys:
        answer = _object({key: {} for key in operation.keys}, list(operation.keys))
        content["application/json"] = {"schema": answer}
    if content:
        responses["200"] = {"description": "The answer.", "content": content}
    if not operation.open:
        told = {"application/json": {"schema": _ERROR}}
        responses |= {
            str(status): {"description": text, "content": told}
            for status, text in _STATUSES.items()
        }
    return found | {"responses": responses}


def _body(media_type: str, schema: Schema) -> Schema:
    return {"required": True, "content": {media_type: {"schema": schema}}}


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def _dataclass(kind: type[Any]) -> Schema:
    hints = typing.get_type_hints(kind, include_extras=True)
    properties: Schema = {}
    required = []
    for field in dataclasses.fields(kind):
        properties[field.name] = _schema(hints[field.name])
        if field.default is dataclasses.MISSING:
            required.append(field.name)
        elif dataclasses.is_dataclass(field.default):
            properties[field.name] = _dataclass(type(field.default))
        elif field.default not in (None, "", ()):
            properties[field.name]["default"] = field.default
    return _object(properties, required) | {"description": inspect.getdoc(kind) or ""}


def _schema(kind: Any) -> Schema:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        schema = _schema(inner[0])
        for bound in inner[1:]:
            if isinstance(bound, Between):
                ends = {"minimum": bound.low, "maximum": bound.high}
                schema |= {name: end for name, end in ends.items() if abs(end) < float("inf")}
        return schema
    if origin is Literal:
        return {"type": "string", "enum": list(inner)}
    if origin in (types.UnionType, typing.Union):
        kinds = [{"type": "null"} if one is type(None) else _schema(one) for one in inner]
        return {"anyOf": kinds}
    if origin is tuple:
        return {"type": "array", "items": _schema(inner[0])}
    return dict(_PLAIN.get(kind, {"type": "object"}))

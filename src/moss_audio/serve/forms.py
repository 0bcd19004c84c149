"""Forms and JSON bodies -> frozen dataclasses, every problem told by the name of its field."""

from __future__ import annotations

import asyncio
import json
import re
import typing
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from types import UnionType
from typing import Annotated, Any, TypeVar

from starlette.datastructures import UploadFile
from starlette.requests import Request

from moss_audio import settings
from moss_audio.serve.errors import ApiError
from moss_audio.serve.uploads import Upload

C = TypeVar("C")

_MAX_FIELDS = 256
_MAX_FIELD_BYTES = 64 * 1024
_MOST_PROBLEMS = 10
_MOST_VALUES = 200_000  # of JSON
_DEEPEST = 32
_LONGEST = 200  # characters of a problem, which quotes what was sent
_BOOLS = {"true": True, "1": True, "false": False, "0": False}
_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")  # a surrogate comes in no other way
_WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)


@asynccontextmanager
async def read_form(request: Request, kind: type[C]) -> AsyncIterator[tuple[C, Upload]]:
    """The fields and the file of a multipart form. The file is closed if the block fails; else the
    work that reads it closes it.

    List fields are repeated, with or without `[]` after their names. Fields that the dataclass
    does not know are passed over, as other servers do.

    Raises:
        ApiError: 415 for another kind of body, 400 for a malformed one or a wrong field.
    """
    content = request.headers.get("content-type", "")
    if content.partition(";")[0].strip().lower() != "multipart/form-data":
        raise ApiError(415, "send a form: Content-Type multipart/form-data, with the sound as file",
                       code="unsupported_media_type")  # fmt: skip
    form = await request.form(max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES)
    try:
        texts: dict[str, list[str]] = {}
        for name, value in form.multi_items():
            if isinstance(value, str) and value:
                texts.setdefault(name.removesuffix("[]"), []).append(value)
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ApiError(400, "file: send the recording itself, as a file of the form",
                           code="missing_file", param="file")  # fmt: skip
        upload = Upload(file.file, file.filename or "")
        if not upload.n_bytes:
            raise ApiError(400, "file: it is empty", code="empty_file", param="file")
        yield parse(kind, _typed(kind, texts)), upload
    except BaseException:
        await form.close()
        raise


async def read_json(request: Request, kind: type[C]) -> C:
    """The fields of a JSON body.

    Raises:
        ApiError: 415 for another kind of body, 400 for one that is malformed or has a wrong field.
    """
    content = request.headers.get("content-type", "application/json")
    if content.partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "send JSON: Content-Type application/json",
                       code="unsupported_media_type")  # fmt: skip
    body = await request.body()
    return parse(kind, await asyncio.to_thread(json_object, body, "the body"))


def json_object(data: str | bytes, what: str) -> dict[str, Any]:
    """A JSON object that a client wrote.

    Args:
        what: the name of the data in errors.

    Raises:
        ApiError: 400 for what is none, for half a character in a text, and for one that is nested
            too deep or has too many values: read, it would take many times the memory, or more
            depth than Python has.
    """
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    try:
        if sum(map(text.count, "[{,")) > _MOST_VALUES:
            raise ApiError(400, f"{what} has more than {_MOST_VALUES} values", code="invalid_json")
        values = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ApiError(400, f"{what} is not JSON", code="invalid_json") from None
    if not isinstance(values, dict):
        raise ApiError(400, f"{what} is not a JSON object", code="invalid_json")
    level: list[Any] = [values]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise ApiError(400, f"{what} is nested deeper than {_DEEPEST}", code="invalid_json")
    if _ESCAPED.search(text) and (place := _broken_text(values)) is not None:
        raise ApiError(
            400, f"{place or what}: it holds a lone surrogate, half of a character, and is no "
            "text: send UTF-8, or both halves", code="invalid_value",
            param=place.partition(".")[0] or None,
        )  # fmt: skip
    return values


def _broken_text(value: Any, place: str = "") -> str | None:
    """Where in a JSON value a text has a lone surrogate; None where none has."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return place
        return None
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = value.items()
        if _broken_text("".join(value)) is not None:
            return place
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, one in inner:
        found = _broken_text(one, f"{place}.{key}" if place else str(key))
        if found is not None:
            return found
    return None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def parse(kind: type[C], values: Mapping[str, Any]) -> C:
    """The dataclass from plain values; null stands for the default, unknown names are passed over.

    Raises:
        ApiError: 400, with every problem.
    """
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    given = {key: v for key, v in values.items() if key in known and v is not None}
    problems: list[str] = []
    found: C = settings.build(kind, given, "", problems)
    if problems:
        param = re.match(r"(?:missing field )?(\w+)", problems[0])
        told = "; ".join(problem[:_LONGEST] for problem in problems[:_MOST_PROBLEMS])
        raise ApiError(400, told, code="invalid_value", param=param and param[1])
    return found


def _typed(kind: type[Any], texts: Mapping[str, list[str]]) -> dict[str, Any]:
    """Texts of a form as the types of the fields; what cannot be one stays a text."""
    hints = typing.get_type_hints(kind)
    return {name: _value(hints[name], values) for name, values in texts.items() if name in hints}


def _value(kind: Any, values: list[str]) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _value(inner[0], values)
    if origin in (UnionType, typing.Union):
        return _value(next(one for one in inner if one is not type(None)), values)
    if origin is tuple:
        return [_value(inner[0], [value]) for value in values]
    last = values[-1]
    if kind is bool:
        return _BOOLS.get(last.strip().lower(), last)
    if kind is int and _WHOLE.fullmatch(last.strip()):
        return int(last)
    return last

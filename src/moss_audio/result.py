"""What the tasks answer with: small frozen records, times in seconds from the start of the clip.

Nothing is rounded here; writers and task renderers round once, on the way out.
`to_dict()` gives plain JSON types, `from_dict()` reads them back and checks them, and
`result_from_dict()` finds the right class by the `type` entry.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar, Self, TypeVar, cast

from moss_audio.errors import MossAudioError
from moss_audio.units import MAX_TIME_S

R = TypeVar("R")
_BESIDE = ("file", "question")  # what a result is of

_WHERE_KNOWN = ("probability", "avg_logprob", "no_speech_prob")  # are left out where they are None


class _Record:
    """What all of them share: the way to plain JSON types and back."""

    # The `type` entry of a whole result; parts of one have none.
    kind: ClassVar[str] = ""
    # Entries in the order in which they are written, where that is not the fields' own.
    entries: ClassVar[tuple[str, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, by field; confidence only where it is known."""
        names = self.entries or tuple(_declared(type(self)))
        data: dict[str, Any] = {"type": self.kind} if self.kind else {}
        values = {name: getattr(self, name) for name in names}
        return data | {
            name: _plain(value)
            for name, value in values.items()
            if value is not None or name not in _WHERE_KNOWN
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`; the `file` and the `question` that the command writes beside a
        result are left out. Raises MossAudioError naming a missing, unknown or wrong entry."""
        if not isinstance(data, Mapping):
            raise MossAudioError(f"{cls.__name__}: expected a mapping, got {type(data).__name__}")
        beside = _BESIDE if cls.kind else ()
        left = {name: value for name, value in data.items() if name not in beside}
        if cls.kind and left.pop("type", cls.kind) != cls.kind:
            raise MossAudioError(f"{cls.__name__}: 'type' is {data['type']!r}, not {cls.kind!r}")
        values = {}
        for name, declared in _declared(cls).items():
            if name in left:
                values[name] = _read(cls.__name__, name, str(declared.type), left.pop(name))
            elif declared.default is MISSING or declared.type == "float":
                raise MossAudioError(f"{cls.__name__}: the entry {name!r} is missing")
        if left:
            names = ", ".join(sorted(map(repr, left)))
            raise MossAudioError(f"{cls.__name__}: unknown entries {names}")
        return cls(**values)

    def shifted(self, offset_s: float) -> Self:
        """The same record with all times in it later; `duration` stays that of the clip."""
        return moved(self, lambda t: t + offset_s)


def moved(record: R, move: Callable[[float], float]) -> R:
    """A frozen record with `move` applied to every start and end in it, and in the records and
    tuples of records that it holds."""
    if isinstance(record, tuple):
        return cast(R, tuple(moved(one, move) for one in record))
    if not is_dataclass(record) or isinstance(record, type):
        return record
    values = {one.name: moved(getattr(record, one.name), move) for one in fields(record)}
    values |= {name: move(values[name]) for name in ("start", "end") if name in values}
    return replace(record, **values)


def _declared(record: type) -> dict[str, Field[Any]]:
    return {one.name: one for one in fields(record)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.to_dict() if isinstance(value, _Record) else value


def _read(owner: str, name: str, kind: str, value: Any) -> Any:
    """A value of the field's declared type, or an error that names it."""
    if kind.endswith(" | None"):
        return value if value is None else _read(owner, name, kind.removesuffix(" | None"), value)
    if kind == "str":
        good, expected = isinstance(value, str), "text"
    elif kind == "float":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        timed = name not in _WHERE_KNOWN
        # (compared, since a whole number may be too large to become a float; NaN is not less)
        good = number and abs(value) <= (MAX_TIME_S if timed else sys.float_info.max)
        expected = "a finite number" if number else "a number"
        expected += f" of seconds, at most {MAX_TIME_S:g}" * timed
        value = float(value) if good else value
    else:
        inner = kind.removeprefix("tuple[").removesuffix(", ...]")
        good, expected = isinstance(value, list | tuple), "a list"
        if good and inner == "str":
            good, expected = all(isinstance(one, str) for one in value), "a list of texts"
            value = tuple(value) if good else value
        elif good:
            value = tuple(_PARTS[inner].from_dict(one) for one in value)
    if not good:
        raise MossAudioError(f"{owner}: {name!r} must be {expected}, got {value!r:.80}")
    return value


@dataclass(frozen=True)
class Word(_Record):
    """One spoken word; `start` and `end` in seconds.

    `probability`: the mean of those of its tokens, where it was asked for (`logprobs`).
    """

    text: str
    start: float
    end: float
    probability: float | None = None


@dataclass(frozen=True)
class Segment(_Record):
    """A sentence or phrase in seconds; `words` is empty unless word times are known.

    Where it was asked for: `avg_logprob`, the mean log-probability of the tokens of its text, and
    `no_speech_prob`, how likely the model held it, before it wrote the first word of the sound that
    it heard at once (the clip, or a window of a long one), that it had none to write.
    """

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    avg_logprob: float | None = None
    no_speech_prob: float | None = None


@dataclass(frozen=True)
class Event(_Record):
    """One sound event in seconds.

    `probability`: of its label in the place where it is written, given what was written before,
    where it was asked for (`logprobs`).
    """

    label: str
    start: float
    end: float
    probability: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Transcript(_Record):
    """What is said in a clip of `duration` seconds.

    `segments` and `words` hold times only when they were asked for: a plain transcript has
    neither. `raw` is the model's answer untouched; `warnings` say what was repaired in it.
    `avg_logprob`: the mean log-probability of the tokens of its text, where it was asked for.
    """

    kind: ClassVar[str] = "transcript"
    entries: ClassVar[tuple[str, ...]] = (
        "text",
        "language",
        "duration",
        "avg_logprob",
        "segments",
        "words",
        "raw",
        "warnings",
    )

    text: str
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = ()
    duration: float = 0.0
    language: str | None = None
    raw: str = ""
    warnings: tuple[str, ...] = ()
    avg_logprob: float | None = None


@dataclass(frozen=True)
class Timeline(_Record):
    """The sound events of a clip of `duration` seconds, by start time."""

    kind: ClassVar[str] = "timeline"
    entries: ClassVar[tuple[str, ...]] = (
        "duration",
        "events",
        "raw",
        "warnings",
    )

    events: tuple[Event, ...] = ()
    duration: float = 0.0
    raw: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Caption(_Record):
    """A description of a clip of `duration` seconds in plain words."""

    kind: ClassVar[str] = "caption"

    text: str
    duration: float = 0.0
    raw: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer(_Record):
    """The answer to a question; `thinking` is the reasoning before it, None if there was none."""

    kind: ClassVar[str] = "answer"

    text: str
    thinking: str | None = None
    raw: str = ""
    warnings: tuple[str, ...] = ()


Result = Transcript | Timeline | Caption | Answer
_RESULTS: dict[Any, type[Result]] = {
    one.kind: one for one in (Transcript, Timeline, Caption, Answer)
}
_PARTS = {one.__name__: one for one in (Word, Segment, Event)}


def result_from_dict(data: Mapping[str, Any]) -> Result:
    """Reads any result written by `to_dict` or the command, told apart by its `type` entry.

    Raises MossAudioError for an unknown type or a malformed entry.
    """
    kind = data.get("type") if isinstance(data, Mapping) else None
    found = _RESULTS.get(kind) if isinstance(kind, str) else None
    if found is not None:
        return found.from_dict(data)
    raise MossAudioError(
        f"not a stored result: 'type' is {kind!r}, expected transcript, timeline, caption or answer"
    )

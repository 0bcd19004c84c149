"""What the tasks answer with: small frozen records, times in seconds from the start of the clip.

Nothing is rounded here; writers and task renderers round once, on the way out.
`to_dict()` gives plain JSON types, `from_dict()` reads them back and checks them, and
`result_from_dict()` finds the right class by the `type` entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from moss_audio.errors import MossAudioError

T = TypeVar("T")


@dataclass(frozen=True)
class Word:
    """One spoken word; `start` and `end` in seconds."""

    text: str
    start: float
    end: float

    def to_dict(self) -> dict[str, Any]:
        return {"text": self.text, "start": self.start, "end": self.end}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Word:
        """Inverse of `to_dict`. Raises MossAudioError naming a missing, unknown or wrong entry."""
        read = _Reader("Word", data)
        word = cls(read.text("text"), read.seconds("start"), read.seconds("end"))
        read.done()
        return word

    def shifted(self, offset_s: float) -> Word:
        return replace(self, start=self.start + offset_s, end=self.end + offset_s)


@dataclass(frozen=True)
class Segment:
    """A sentence or phrase in seconds; `words` is empty unless word times are known."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "start": self.start,
            "end": self.end,
            "words": [word.to_dict() for word in self.words],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Segment:
        """Inverse of `to_dict`. Raises MossAudioError naming a missing, unknown or wrong entry."""
        read = _Reader("Segment", data)
        segment = cls(
            read.text("text"),
            read.seconds("start"),
            read.seconds("end"),
            read.items("words", Word.from_dict),
        )
        read.done()
        return segment

    def shifted(self, offset_s: float) -> Segment:
        return replace(
            self,
            start=self.start + offset_s,
            end=self.end + offset_s,
            words=tuple(word.shifted(offset_s) for word in self.words),
        )


@dataclass(frozen=True)
class Event:
    """One sound event in seconds."""

    label: str
    start: float
    end: float

    def to_dict(self) -> dict[str, Any]:
        return {"label": self.label, "start": self.start, "end": self.end}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Event:
        """Inverse of `to_dict`. Raises MossAudioError naming a missing, unknown or wrong entry."""
        read = _Reader("Event", data)
        event = cls(read.text("label"), read.seconds("start"), read.seconds("end"))
        read.done()
        return event

    def shifted(self, offset_s: float) -> Event:
        return replace(self, start=self.start + offset_s, end=self.end + offset_s)


@dataclass(frozen=True)
class Transcript:
    """What is said in a clip of `duration` seconds.

    `segments` and `words` hold times only when they were asked for: a plain transcript has
    neither. `raw` is the model's answer untouched; `warnings` say what was repaired in it.
    """

    text: str
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = ()
    duration: float = 0.0
    language: str | None = None
    raw: str = ""
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "type": "transcript",
            "text": self.text,
            "language": self.language,
            "duration": self.duration,
            "segments": [segment.to_dict() for segment in self.segments],
            "words": [word.to_dict() for word in self.words],
            "raw": self.raw,
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Transcript:
        """Inverse of `to_dict`. Raises MossAudioError naming a missing, unknown or wrong entry."""
        read = _Reader("Transcript", data, "transcript")
        transcript = cls(
            read.text("text"),
            read.items("segments", Segment.from_dict),
            read.items("words", Word.from_dict),
            read.seconds("duration"),
            read.optional_text("language"),
            read.text("raw", ""),
            read.texts("warnings"),
        )
        read.done()
        return transcript

    def shifted(self, offset_s: float) -> Transcript:
        """The same transcript with all times moved; `duration` stays that of the clip."""
        return replace(
            self,
            segments=tuple(segment.shifted(offset_s) for segment in self.segments),
            words=tuple(word.shifted(offset_s) for word in self.words),
        )


@dataclass(frozen=True)
class Timeline:
    """The sound events of a clip of `duration` seconds, by start time."""

    events: tuple[Event, ...] = ()
    duration: float = 0.0
    raw: str = ""
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "type": "timeline",
            "duration": self.duration,
            "events": [event.to_dict() for event in self.events],
            "raw": self.raw,
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Timeline:
        """Inverse of `to_dict`. Raises MossAudioError naming a missing, unknown or wrong entry."""
        read = _Reader("Timeline", data, "timeline")
        timeline = cls(
            read.items("events", Event.from_dict),
            read.seconds("duration"),
            read.text("raw", ""),
            read.texts("warnings"),
        )
        read.done()
        return timeline

    def shifted(self, offset_s: float) -> Timeline:
        """The same events with all times moved; `duration` stays that of the clip."""
        return replace(self, events=tuple(event.shifted(offset_s) for event in self.events))


@dataclass(frozen=True)
class Caption:
    """A description of a clip of `duration` seconds in plain words."""

    text: str
    duration: float = 0.0
    raw: str = ""
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "type": "caption",
            "text": self.text,
            "duration": self.duration,
            "raw": self.raw,
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Caption:
        """Inverse of `to_dict`. Raises MossAudioError naming a missing, unknown or wrong entry."""
        read = _Reader("Caption", data, "caption")
        caption = cls(
            read.text("text"),
            read.seconds("duration"),
            read.text("raw", ""),
            read.texts("warnings"),
        )
        read.done()
        return caption


@dataclass(frozen=True)
class Answer:
    """The answer to a question; `thinking` is the reasoning before it, None if there was none."""

    text: str
    thinking: str | None = None
    raw: str = ""
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "type": "answer",
            "text": self.text,
            "thinking": self.thinking,
            "raw": self.raw,
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Answer:
        """Inverse of `to_dict`. Raises MossAudioError naming a missing, unknown or wrong entry."""
        read = _Reader("Answer", data, "answer")
        answer = cls(
            read.text("text"),
            read.optional_text("thinking"),
            read.text("raw", ""),
            read.texts("warnings"),
        )
        read.done()
        return answer


Result = Transcript | Timeline | Caption | Answer


def result_from_dict(data: Mapping[str, Any]) -> Result:
    """Reads any result written by `to_dict`, told apart by its `type` entry.

    Raises MossAudioError for an unknown type or a malformed entry.
    """
    kind = data.get("type") if isinstance(data, Mapping) else None
    match kind:
        case "transcript":
            return Transcript.from_dict(data)
        case "timeline":
            return Timeline.from_dict(data)
        case "caption":
            return Caption.from_dict(data)
        case "answer":
            return Answer.from_dict(data)
    raise MossAudioError(
        f"not a stored result: 'type' is {kind!r}, expected transcript, timeline, caption or answer"
    )


_MISSING: Any = object()


class _Reader:
    """Takes checked entries out of a mapping; `done()` complains about those nobody asked for."""

    def __init__(self, owner: str, data: Mapping[str, Any], kind: str | None = None) -> None:
        if not isinstance(data, Mapping):
            raise MossAudioError(f"{owner}: expected a mapping, got {type(data).__name__}")
        self._owner = owner
        self._left = dict(data)
        if kind is not None and self._left.pop("type", kind) != kind:
            raise MossAudioError(f"{owner}: 'type' is {data['type']!r}, expected {kind!r}")

    def _take(self, key: str, default: Any = _MISSING) -> Any:
        value = self._left.pop(key, default)
        if value is _MISSING:
            raise MossAudioError(f"{self._owner}: the entry {key!r} is missing")
        return value

    def _wrong(self, key: str, value: Any, expected: str) -> MossAudioError:
        return MossAudioError(f"{self._owner}: {key!r} must be {expected}, got {value!r}")

    def text(self, key: str, default: Any = _MISSING) -> str:
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, value, "text")
        return value

    def optional_text(self, key: str) -> str | None:
        if self._left.get(key) is None:
            self._left.pop(key, None)
            return None
        return self.text(key)

    def seconds(self, key: str) -> float:
        value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, value, "a number of seconds")
        if not math.isfinite(value):
            raise self._wrong(key, value, "a finite number of seconds")
        return float(value)

    def _list(self, key: str) -> list[Any] | tuple[Any, ...]:
        value = self._take(key, ())
        if not isinstance(value, list | tuple):
            raise self._wrong(key, value, "a list")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._list(key)
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(key, values, "a list of texts")
        return tuple(values)

    def items(self, key: str, read: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
        return tuple(read(value) for value in self._list(key))

    def done(self) -> None:
        if self._left:
            names = ", ".join(sorted(map(repr, self._left)))
            raise MossAudioError(f"{self._owner}: unknown entries {names}")

"""What is true of a scene, piece by piece: records whose times, in seconds, can be moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, cast

from moss_audio.units import SAMPLE_RATE


class TimedRecord:
    """Something that sounds from `start` to `end`; a base for frozen dataclasses."""

    start: float
    end: float

    def moved(self, move: Callable[[float], float]) -> Self:
        """The record with `move` applied to its times."""
        moved = replace(cast(Any, self), start=move(self.start), end=move(self.end))
        return cast(Self, moved)

    def shifted(self, offset_s: float) -> Self:
        """The record `offset_s` later."""
        return self.moved(lambda t: t + offset_s)

    @property
    def place(self) -> slice:
        """Where it lies among samples at 16 kHz."""
        return slice(int(self.start * SAMPLE_RATE), int(self.end * SAMPLE_RATE))


@dataclass(frozen=True)
class SpokenWord(TimedRecord):
    """One written word (punctuation attached) and where it sounds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class SpokenSentence(TimedRecord):
    """A sentence and its words; recorded prompts have none.

    `voice` is named where several speak. `level_db` is the RMS of the scene while it sounds.
    """

    text: str
    start: float
    end: float
    words: tuple[SpokenWord, ...] = ()
    voice: str | None = None
    level_db: float | None = None

    @classmethod
    def of(cls, words: tuple[SpokenWord, ...]) -> SpokenSentence:
        """The sentence that words in order make."""
        text = " ".join(word.text for word in words)
        return cls(text, words[0].start, words[-1].end, words)

    def moved(self, move: Callable[[float], float]) -> Self:
        """The sentence and its words with `move` applied to their times."""
        return replace(super().moved(move), words=tuple(word.moved(move) for word in self.words))


@dataclass(frozen=True)
class SceneEvent(TimedRecord):
    """A sound event; `source` is a file name or how it was made."""

    label: str
    start: float
    end: float
    source: str
    level_db: float | None = None  # RMS of the scene while it sounds, if it was measured


@dataclass(frozen=True)
class MusicSection(TimedRecord):
    """A section of a piece: its letter, and the instrument that leads."""

    label: str
    start: float
    end: float
    instrument: str


@dataclass(frozen=True)
class MusicFacts:
    """What is known of a piece; `tempo` is the band of `tempo_bpm`, `key` like "E flat minor".

    `form` ("A A B A"), `sections` and `instruments` belong to pieces that have a form.
    """

    instrument: str
    tempo: str
    tempo_bpm: int
    key: str
    meter: str
    drums: bool
    form: str | None = None
    sections: tuple[MusicSection, ...] = ()
    instruments: tuple[str, ...] = ()

    def moved(self, move: Callable[[float], float]) -> MusicFacts:
        """The facts with `move` applied to the times of the sections."""
        return replace(self, sections=tuple(section.moved(move) for section in self.sections))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return written(self)


def written(record: Any) -> dict[str, Any]:
    """A record as plain data for JSON, without what is not known (None, or nothing in it)."""
    plain = asdict(record)
    return {key: value for key, value in plain.items() if value is not None and value != ()}

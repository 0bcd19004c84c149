"""What is true of a scene, piece by piece: records whose times, in seconds, can be moved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from moss_audio.result import Event, Segment, Word
from moss_audio.units import SAMPLE_RATE


def place(record: Word | Segment | Event) -> slice:
    """Where a record lies among samples at 16 kHz."""
    return slice(int(record.start * SAMPLE_RATE), int(record.end * SAMPLE_RATE))


@dataclass(frozen=True)
class SpokenSentence(Segment):
    """A sentence and its words (punctuation attached); recorded prompts have none.

    `voice` is named where several speak. `level_db` is the RMS of the scene while it sounds.
    """

    voice: str | None = None
    level_db: float | None = None

    @classmethod
    def of(cls, words: tuple[Word, ...]) -> SpokenSentence:
        """The sentence that words in order make."""
        text = " ".join(word.text for word in words)
        return cls(text, words[0].start, words[-1].end, words)


@dataclass(frozen=True)
class SceneEvent(Event):
    """A sound event; `source` is a file name or how it was made."""

    source: str
    level_db: float | None = None  # RMS of the scene while it sounds, if it was measured


@dataclass(frozen=True)
class MusicSection(Event):
    """A section of a piece: its letter, and the instrument that leads."""

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


def written(record: Any) -> dict[str, Any]:
    """A record as plain data for JSON, without what is not known (None, or nothing in it)."""
    known: dict[str, Any] = asdict(record, dict_factory=_known)
    return known


def _known(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in items if value is not None and value != ()}

"""What all tools of a segment found, in one form: who says what when, which sounds, which music."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from moss_audio.annotate.detectors.base import join
from moss_audio.annotate.records import Span
from moss_audio.result import Word

# Detectors break one utterance or piece at the smallest dip; closer parts than this are one.
JOIN_S = 0.3


@dataclass(frozen=True)
class SaidText:
    """Words that are said (or sung), with their times if they are known."""

    text: str
    start_s: float | None
    end_s: float | None
    speaker: str | None = None
    sure: bool = True  # False: recognisers disagree, or there was only one
    sung: bool = False

    @property
    def span(self) -> tuple[float, float] | None:
        """Start and end, if both are known."""
        if self.start_s is None or self.end_s is None:
            return None
        return self.start_s, self.end_s


@dataclass(frozen=True)
class HeardSound:
    """A sound event; `sure` if its score reaches the bound for what must be named."""

    label: str
    start_s: float
    end_s: float
    score: float = 1.0
    sure: bool = True


@dataclass(frozen=True)
class Music:
    """What is known of the music; empty or None where nothing is."""

    spans: tuple[tuple[float, float], ...] = ()
    bpm: float | None = None
    tonic: str | None = None
    mode: str | None = None
    sections: tuple[Span, ...] = ()
    chords: tuple[str, ...] = ()
    dynamics: tuple[Span, ...] = ()
    instruments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """All that a caption of a segment may say. Times in seconds from the segment's start."""

    duration_s: float
    utterances: tuple[SaidText, ...] = ()
    words: tuple[Word, ...] = ()
    decision: str = ""  # on the transcript: keep, flag, drop; empty when there is none
    language: str | None = None
    speech: tuple[tuple[float, float], ...] = ()
    singing: tuple[tuple[float, float], ...] = ()
    speakers: int | None = None
    turns: tuple[Span, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    sounds: tuple[HeardSound, ...] = ()
    music: Music | None = None
    anchor: str = ""
    description: str = ""
    notes: tuple[str, ...] = ()

    @property
    def spoken(self) -> tuple[SaidText, ...]:
        return tuple(one for one in self.utterances if not one.sung)

    @property
    def sung(self) -> tuple[SaidText, ...]:
        return tuple(one for one in self.utterances if one.sung)

    @property
    def speaks(self) -> bool:
        """Whether anybody is known to speak."""
        return bool(self.spoken or self.speech)

    @property
    def sings(self) -> bool:
        return bool(self.sung or self.singing)

    @property
    def sure_sounds(self) -> tuple[HeardSound, ...]:
        return tuple(sound for sound in self.sounds if sound.sure)

    @property
    def empty(self) -> bool:
        """Whether nothing at all was found that a caption could name."""
        return not (self.speaks or self.sings or self.music or self.sure_sounds)


def joined(
    spans: Iterable[tuple[float, float]], gap_s: float = JOIN_S
) -> tuple[tuple[float, float], ...]:
    """Spans in order; those that overlap or are closer than `gap_s` become one."""
    return tuple(join(sorted(spans), gap_s))

"""What kinds of questions need to know of a timeline: events sorted by start, times in tenths. Some
kinds need words, too: events whose labels are in quotes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from moss_audio.metrics.events import normalize_label
from moss_audio.result import Event, Word
from moss_audio.scenes.answers import SPEECH
from moss_audio.tasks.reason import is_word
from moss_audio.text import normalize_words

# Two onsets, and two lengths, closer than this have no clear order: an error of 0.2 s in an onset,
# or of 0.1 s in each of the times that two lengths are made of, must not turn an answer.
ONSET_MARGIN_S, LENGTH_MARGIN_S = 0.4, 0.5
WORD_MARGIN_S = 0.3  # from a word to the edge of a sound: words are placed better
Heard = Sequence[Event]


def tenths(seconds: float) -> float:
    """A time as thoughts write it. The one rounding of derived questions."""
    return round(max(0.0, seconds), 1)


def in_tenths(events: Iterable[Event]) -> tuple[Event, ...]:
    """Events by start, their times in tenths of a second."""
    rounded = (Event(one.label, tenths(one.start), tenths(one.end)) for one in events)
    return tuple(sorted(rounded, key=lambda one: (one.start, one.end, one.label)))


def length(event: Event) -> float:
    """Seconds from start to end."""
    return tenths(event.end - event.start)


def quoted(word: str) -> str:
    """The label of a word."""
    return f'"{word}"'


def word_events(words: Iterable[Word]) -> list[Event]:
    """Words as events, without case and punctuation; what is written as none or several words (a
    number) is left out."""
    forms = [(normalize_words(word.text), word) for word in words]
    return [Event(quoted(f[0]), word.start, word.end) for f, word in forms if len(f) == 1]


def sounds(heard: Heard) -> list[Event]:
    """All but the words; speech as a whole is a sound."""
    return [event for event in heard if not is_word(event.label)]


def spoken(heard: Heard) -> list[Event]:
    """The words, in order."""
    return [event for event in heard if is_word(event.label)]


def same(one: str, other: str) -> bool:
    """Whether two labels name one sound, or one word."""
    return one == other or (is_word(one) == is_word(other) and _key(one) == _key(other))


@lru_cache(maxsize=4096)
def _key(label: str) -> str:
    return normalize_label(label)


def all_of(heard: Heard, label: str) -> list[Event]:
    """The events of a label."""
    return [event for event in heard if same(event.label, label)]


def only(heard: Heard, label: str) -> Event | None:
    """The one event of a label; None where there is none or are several."""
    found = all_of(heard, label)
    return found[0] if len(found) == 1 else None


def single(heard: Heard) -> list[Event]:
    """Events whose label comes once."""
    return [event for event in heard if only(heard, event.label) is not None]


def sounding_at(heard: Heard, at: float) -> list[Event]:
    """Events that go on at a time."""
    return [event for event in heard if event.start <= at <= event.end]


def countable(heard: Heard) -> list[str]:
    """Labels, in order, of what can be counted: how often somebody speaks is a matter of taste."""
    return [label for label in dict.fromkeys(one.label for one in heard) if label != SPEECH]


def ordered(heard: Heard) -> bool:
    """Whether each event clearly begins after the one before."""
    return all(apart(a.start, b.start, ONSET_MARGIN_S) for a, b in pairwise(heard))


def apart(one: float, other: float, margin_s: float) -> bool:
    """Whether two times differ by so much, whatever binary floats make of it."""
    return abs(one - other) >= margin_s - 1e-6


@dataclass(frozen=True)
class QuietGap:
    """A stretch in which nothing sounds, between the end of one event and the start of another."""

    before: Event
    after: Event

    @property
    def seconds(self) -> float:
        return tenths(self.after.start - self.before.end)

    def clear(self, heard: Heard) -> bool:
        """Whether it is certainly there, and it is certain what it comes after and before."""
        ends = (event.end for event in heard if event is not self.before)
        starts = (event.start for event in heard if event is not self.after)
        return (
            self.seconds >= ONSET_MARGIN_S
            and all(apart(end, self.before.end, ONSET_MARGIN_S) for end in ends)
            and all(apart(start, self.after.start, ONSET_MARGIN_S) for start in starts)
        )


def pauses(heard: Heard) -> list[QuietGap]:
    """All pauses between events, in order."""
    found: list[QuietGap] = []
    last: Event | None = None
    for event in heard:
        if last is not None and event.start > last.end:
            found.append(QuietGap(last, event))
        if last is None or event.end > last.end:
            last = event
    return found

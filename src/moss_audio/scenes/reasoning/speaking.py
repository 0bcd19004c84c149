"""Kinds that set sounds beside single words: what is heard while one is said, what is said next.

Their timelines have words too, as events with the word in quotes; a thought lists those alone that
the answer hangs on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from moss_audio.result import Event
from moss_audio.scenes.answers import SPEECH
from moss_audio.scenes.reasoning.kind import DerivedKind, Reckoning, Slots
from moss_audio.scenes.reasoning.timeline import (
    ONSET_MARGIN_S,
    WORD_MARGIN_S,
    Heard,
    apart,
    only,
    quoted,
    single,
    sounding_at,
    sounds,
    spoken,
    tenths,
)


class _Worded(DerivedKind):
    """A kind that is asked of sounds and words."""

    words = True

    def words_of(self, heard: Heard, slots: Slots) -> list[Event]:
        """The words that the answer hangs on, in order."""
        raise NotImplementedError

    def listed(self, heard: Heard, slots: Slots) -> Heard:
        wanted = self.words_of(heard, slots)
        said = spoken(heard)
        return [one for one in heard if one not in said or one in wanted]


def _asked_about(heard: Heard) -> list[Event]:
    """Sounds, without speech, that a question can name."""
    return [one for one in single(sounds(heard)) if one.label != SPEECH]


class DuringWord(_Worded):
    """Which sound is heard while a word is said that comes once."""

    name = "during_word"

    def words_of(self, heard: Heard, slots: Slots) -> list[Event]:
        word = only(heard, quoted(slots["word"]))
        return [] if word is None else [word]

    def slots(self, heard: Heard) -> Iterator[Slots]:
        others = [one for one in sounds(heard) if one.label != SPEECH]
        for word in single(spoken(heard)):
            at = _middle(word)
            edges = [t for one in others for t in (one.start, one.end)]
            if _others_at(heard, at) and all(apart(at, t, WORD_MARGIN_S) for t in edges):
                yield {"word": word.label.strip('"')}

    def solve(self, heard: Heard, slots: Slots) -> str | None:
        word = only(heard, quoted(slots["word"]))
        found = [] if word is None else _others_at(heard, _middle(word))
        return found[0].label if len(found) == 1 else None

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        (word,) = self.words_of(heard, slots)
        (sound,) = _others_at(heard, _middle(word))
        said = f"{word.label} {word.start:.1f} to {word.end:.1f}"
        heard_then = f"{sound.label} {sound.start:.1f} to {sound.end:.1f}"
        return [Reckoning(f"{said}: {heard_then}", again=f"{sound.label} at {_middle(word):.1f}")]


def _middle(word: Event) -> float:
    return (word.start + word.end) / 2


def _others_at(heard: Heard, at: float) -> list[Event]:
    """Sounds but speech that go on at a time."""
    return [one for one in sounding_at(sounds(heard), at) if one.label != SPEECH]


class FirstWordAfter(_Worded):
    """The first word that begins after a sound has ended."""

    name = "first_word_after"

    def words_of(self, heard: Heard, slots: Slots) -> list[Event]:
        """The last one that begins before, too: it shows that the other is the first."""
        sound = only(heard, slots["a"])
        if sound is None:
            return []
        before = [one for one in spoken(heard) if one.start < sound.end]
        return before[-1:] + [one for one in spoken(heard) if one.start >= sound.end][:1]

    def slots(self, heard: Heard) -> Iterator[Slots]:
        starts = [one.start for one in spoken(heard)]
        for sound in _asked_about(heard):
            clear = all(apart(start, sound.end, WORD_MARGIN_S) for start in starts)
            if clear and any(start > sound.end for start in starts):
                yield {"a": sound.label}

    def solve(self, heard: Heard, slots: Slots) -> str | None:
        sound = only(heard, slots["a"])
        if sound is None:
            return None
        return next((one.label for one in spoken(heard) if one.start >= sound.end), None)

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        sound, word = only(heard, slots["a"]), self.words_of(heard, slots)[-1]
        end = sound.end if sound else 0.0
        words = f"{slots['a']} ends {end:.1f}, then {word.label} starts {word.start:.1f}"
        return [Reckoning(words, again=f"{word.start:.1f} is after {end:.1f}")]


class GapAfterSpeech(_Worded):
    """How long after the end of the last word a sound begins."""

    name = "gap_after_speech"
    trained = False

    def words_of(self, heard: Heard, slots: Slots) -> list[Event]:
        return sorted(spoken(heard), key=lambda one: one.end)[-1:]

    def slots(self, heard: Heard) -> Iterator[Slots]:
        last = self.words_of(heard, {})
        for sound in _asked_about(heard) if last else ():
            if sound.start - last[0].end >= ONSET_MARGIN_S - 1e-6:
                yield {"a": sound.label}

    def solve(self, heard: Heard, slots: Slots) -> float | None:
        sound, last = only(heard, slots["a"]), self.words_of(heard, slots)
        if sound is None or not last or sound.start < last[0].end:
            return None
        return tenths(sound.start - last[0].end)

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        sound, (last,) = only(heard, slots["a"]), self.words_of(heard, slots)
        if sound is None:
            return []
        words = f"{last.label} ends {last.end:.1f}, {sound.label} starts {sound.start:.1f}: "
        return [Reckoning(words, sound.start, "-", last.end)]

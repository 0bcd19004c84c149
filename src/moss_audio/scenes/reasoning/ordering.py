"""Kinds that ask what comes when: the n-th, between, in which order, before, during or after."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise, permutations

from moss_audio.result import Event
from moss_audio.scenes.answers import SPEECH
from moss_audio.scenes.reasoning.kind import DerivedKind, Reckoning, Slots, counted_starts
from moss_audio.scenes.reasoning.timeline import (
    LENGTH_MARGIN_S,
    ONSET_MARGIN_S,
    Heard,
    all_of,
    apart,
    only,
    ordered,
    pauses,
    single,
    sounding_at,
    tenths,
)
from moss_audio.tasks.reason import PLACES

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_AFTER_END_S, _AFTER_START_S = 2.0, 3.0


def _counted(heard: Heard) -> str:
    """ "1 dog, 2 bell"."""
    return ", ".join(f"{number} {event.label}" for number, event in enumerate(heard, 1))


class Nth(DerivedKind):
    """The second sound, the third, ... (the first is a question of `scenes.answers`)."""

    name = "nth"

    def slots(self, heard: Heard) -> Iterator[Slots]:
        # sentences of one voice are several lines of a timeline, and to a listener one sound
        if ordered(heard) and len(all_of(heard, SPEECH)) < 2:
            yield from ({"nth": nth} for nth in _ORDINALS[1 : len(heard)])

    def solve(self, heard: Heard, slots: Slots) -> str | None:
        at = _ORDINALS.index(slots["nth"])
        return heard[at].label if at < len(heard) else None

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        at = _ORDINALS.index(slots["nth"])
        again = ", ".join(
            f"{name} {one.label}" for name, one in zip(_ORDINALS, heard, strict=False)
        )
        return [Reckoning(_counted(heard), again=again), Reckoning(f"{at + 1}: {heard[at].label}")]


class SoundBetween(DerivedKind):
    """The one sound between two others."""

    name = "between"
    trained = False

    def slots(self, heard: Heard) -> Iterator[Slots]:
        if not ordered(heard):
            return
        for a, _, b in zip(heard, heard[1:], heard[2:], strict=False):
            if only(heard, a.label) and only(heard, b.label):
                yield {"a": a.label, "b": b.label}

    def solve(self, heard: Heard, slots: Slots) -> str | None:
        a, b = only(heard, slots["a"]), only(heard, slots["b"])
        if a is None or b is None:
            return None
        low, high = sorted((a.start, b.start))
        inside = [event for event in heard if low < event.start < high]
        return inside[0].label if len(inside) == 1 else None

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        words = f"between {slots['a']} and {slots['b']}: {self.solve(heard, slots)}"
        return [Reckoning(_counted(heard)), Reckoning(words)]


class _Beside(DerivedKind):
    """The sound that begins next after another, or last before it."""

    offset: int  # in the order of starts

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for at, event in enumerate(heard):
            if ordered(heard) and only(heard, event.label) and 0 <= at + self.offset < len(heard):
                yield {"a": event.label}

    def solve(self, heard: Heard, slots: Slots) -> str | None:
        event = only(heard, slots["a"])
        at = -1 if event is None else list(heard).index(event) + self.offset
        return heard[at].label if event is not None and 0 <= at < len(heard) else None

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        side = "after" if self.offset > 0 else "before"
        words = f"{side} {slots['a']}: {self.solve(heard, slots)}"
        return [Reckoning(_counted(heard)), Reckoning(words)]


class NextAfter(_Beside):
    """The sound that begins next after another."""

    name, offset = "next_after", 1


class LastBefore(_Beside):
    """The sound that begins last before another."""

    name, offset, trained = "last_before", -1, False


class OrderOfThree(DerivedKind):
    """Three sounds in the order in which they begin."""

    name = "order_of_three"
    choices = 6

    def slots(self, heard: Heard) -> Iterator[Slots]:
        if ordered(heard):
            for a, b, c in permutations(single(heard), 3):
                yield {"a": a.label, "b": b.label, "c": c.label}

    def solve(self, heard: Heard, slots: Slots) -> tuple[str, ...] | None:
        found = _named(heard, slots)
        return tuple(event.label for event in found) if len(found) == 3 else None

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        found = _named(heard, slots)
        starts = ", ".join(f"{event.label} {event.start:.1f}" for event in found)
        again = ", ".join(f"{event.start:.1f}" for event in found)
        return [Reckoning(f"starts: {starts}", again=again)]


def _named(heard: Heard, slots: Slots) -> list[Event]:
    """The events that a question names, by start."""
    found = [event for label in slots.values() if (event := only(heard, label)) is not None]
    return sorted(found, key=lambda event: event.start)


class BeforeLongestPause(DerivedKind):
    """What is heard just before the longest pause."""

    name = "before_longest_pause"

    def slots(self, heard: Heard) -> Iterator[Slots]:
        found = sorted(pauses(heard), key=lambda pause: pause.seconds, reverse=True)
        if len(found) > 1 and apart(found[0].seconds, found[1].seconds, LENGTH_MARGIN_S):
            yield from [{}] if found[0].clear(heard) else []

    def solve(self, heard: Heard, slots: Slots) -> str | None:
        found = pauses(heard)
        return max(found, key=lambda p: p.seconds).before.label if found else None

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        found = pauses(heard)
        lines = [
            Reckoning(f"after {p.before.label}: ", p.after.start, "-", p.before.end) for p in found
        ]
        longest = max(found, key=lambda p: p.seconds)
        words = f"longest pause {longest.seconds:.1f}, before it: {longest.before.label}"
        return [*lines, Reckoning(words)]


class SecondBefore(DerivedKind):
    """Whether a sound is heard a second time before another begins."""

    name = "second_before"
    weight = 0.4
    trained = False

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for a in dict.fromkeys(event.label for event in heard):
            twice = all_of(heard, a)
            for b in single(heard):
                clear = len(twice) > 1 and apart(twice[1].start, b.start, ONSET_MARGIN_S)
                if clear and b.label != a:
                    yield {"a": a, "b": b.label}

    def solve(self, heard: Heard, slots: Slots) -> bool | None:
        twice, b = all_of(heard, slots["a"]), only(heard, slots["b"])
        return None if len(twice) < 2 or b is None else twice[1].start < b.start

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        second, b = all_of(heard, slots["a"])[1], only(heard, slots["b"])
        starts = f"second {slots['a']} {second.start:.1f}, {slots['b']} {b.start if b else 0:.1f}"
        return [Reckoning(starts), Reckoning("yes" if self.solve(heard, slots) else "no")]


class StartsBefore(DerivedKind):
    """Whether a sound begins before another."""

    name = "starts_before"
    weight = 0.4

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for a, b in permutations(single(heard), 2):
            if apart(a.start, b.start, ONSET_MARGIN_S):
                yield {"a": a.label, "b": b.label}

    def solve(self, heard: Heard, slots: Slots) -> bool | None:
        a, b = only(heard, slots["a"]), only(heard, slots["b"])
        return None if a is None or b is None else a.start < b.start

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        found = [(name, only(heard, name)) for name in (slots["a"], slots["b"])]
        starts = ", ".join(f"{name} {event.start if event else 0:.1f}" for name, event in found)
        return [Reckoning(starts), Reckoning("yes" if self.solve(heard, slots) else "no")]


class AroundSpeech(DerivedKind):
    """Whether a sound begins before, during or after the speech."""

    name = "around_speech"
    weight = 0.4

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for event in single(heard):
            speech = all_of(heard, SPEECH)
            borders = [t for one in speech for t in (one.start, one.end)]
            clear = all(apart(event.start, t, ONSET_MARGIN_S) for t in borders)
            # a start between two sentences is during the speech to some and not to others
            inside = any(one.start < event.start < one.end for one in speech)
            where = self.solve(heard, {"a": event.label})
            sure = clear and (inside or where != "during")
            if event.label != SPEECH and borders and sure:
                yield {"a": event.label}

    def solve(self, heard: Heard, slots: Slots) -> str | None:
        speech, event = all_of(heard, SPEECH), only(heard, slots["a"])
        if not speech or event is None:
            return None
        end = max(one.end for one in speech)
        return PLACES[(event.start >= speech[0].start) + (event.start >= end)]

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        speech, event = all_of(heard, SPEECH), only(heard, slots["a"])
        end = max(one.end for one in speech)
        start = event.start if event else 0.0
        words = f"speech {speech[0].start:.1f} to {end:.1f}, {slots['a']} starts {start:.1f}"
        return [Reckoning(words), Reckoning(f"{self.solve(heard, slots)} the speech")]


class SoundingAt(DerivedKind):
    """What is heard at a time."""

    name = "sounding_at"

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for event in heard:
            at = tenths((event.start + event.end) / 2)
            if _clear_at(heard, at):
                yield {"at": f"{at:.1f}"}

    def solve(self, heard: Heard, slots: Slots) -> str | None:
        return _label_at(heard, float(slots["at"]))

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        at = float(slots["at"])
        (event,) = sounding_at(heard, at)
        words = f"{event.start:.1f} to {event.end:.1f}, at {at:.1f}: {event.label}"
        return [Reckoning(words, again=f"{event.label} at {at:.1f}")]


def _label_at(heard: Heard, at: float) -> str | None:
    """The one sound at a time; None where there is none or are several."""
    found = sounding_at(heard, at)
    return found[0].label if len(found) == 1 else None


def _clear_at(heard: Heard, at: float) -> bool:
    """Whether it is certain which one sound is heard at a time."""
    edges = [t for one in heard for t in (one.start, one.end)]
    return _label_at(heard, at) is not None and all(apart(at, t, ONSET_MARGIN_S) for t in edges)


class _LaterThan(DerivedKind):
    """What is heard some seconds after a sound has ended, or has started."""

    later_s: float
    edge: str  # of the sound: starts, ends
    trained = False

    def _at(self, event: Event) -> tuple[float, float]:
        """The edge, and the time that is asked about."""
        edge = event.end if self.edge == "ends" else event.start
        return edge, tenths(edge + self.later_s)

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for event in single(heard):
            at = self._at(event)[1]
            # the sound itself is what whoever hears nothing would say
            if _clear_at(heard, at) and _label_at(heard, at) != event.label:
                yield {"a": event.label}

    def solve(self, heard: Heard, slots: Slots) -> str | None:
        event = only(heard, slots["a"])
        return None if event is None else _label_at(heard, self._at(event)[1])

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        event = only(heard, slots["a"])
        if event is None:
            return []
        edge, at = self._at(event)
        return [
            Reckoning(f"{slots['a']} {self.edge} {edge:.1f}: ", edge, "+", self.later_s),
            Reckoning(f"at {at:.1f}: {_label_at(heard, at)}"),
        ]


class AfterEnd(_LaterThan):
    """What is heard two seconds after a sound has ended."""

    name, later_s, edge = "after_end", _AFTER_END_S, "ends"


class AfterStart(_LaterThan):
    """What is heard three seconds after a sound has started."""

    name, later_s, edge = "after_start", _AFTER_START_S, "starts"


class SoundsBefore(DerivedKind):
    """How many sounds have begun before a time."""

    name = "sounds_before"
    weight = 0.4

    def slots(self, heard: Heard) -> Iterator[Slots]:
        middles = [tenths((a.start + b.start) / 2) for a, b in pairwise(heard)]
        times = [*middles, *([tenths(heard[-1].start + 1.0)] if heard else [])]
        for at in times:
            if all(apart(at, event.start, ONSET_MARGIN_S) for event in heard):
                yield {"at": f"{at:.1f}"}

    def solve(self, heard: Heard, slots: Slots) -> int | None:
        return sum(event.start < float(slots["at"]) for event in heard)

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        inside = [event for event in heard if event.start < float(slots["at"])]
        again = ", ".join(f"{event.start:.1f}" for event in inside)
        before = f"starts before {slots['at']}: {counted_starts(inside)}"
        return [
            Reckoning(before, again=again),
            Reckoning(f"{len(inside)} {'sound' if len(inside) == 1 else 'sounds'}"),
        ]

"""Kinds whose answer is a number: pauses, differences, totals, counts; and what fits a pause."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise, permutations

from moss_audio.result import Event
from moss_audio.scenes.reasoning.kind import DerivedKind, Reckoning, Slots, counted_starts, lasts
from moss_audio.scenes.reasoning.timeline import (
    LENGTH_MARGIN_S,
    ONSET_MARGIN_S,
    Heard,
    QuietGap,
    all_of,
    apart,
    countable,
    length,
    only,
    ordered,
    pauses,
    single,
    tenths,
)


def _pause(pause: QuietGap) -> Reckoning:
    words = f"{pause.before.label} ends {pause.before.end:.1f}, "
    words += f"{pause.after.label} starts {pause.after.start:.1f}: "
    return Reckoning(words, pause.after.start, "-", pause.before.end)


def _added(values: list[float]) -> list[Reckoning]:
    """Sums one after the other; of one value none."""
    lines, total = [], values[0]
    for value in values[1:]:
        lines.append(Reckoning("", total, "+", value))
        total = lines[-1].result
    return lines


class PauseBetween(DerivedKind):
    """How long the pause between two sounds is."""

    name = "pause"

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for pause in pauses(heard):
            a, b = pause.before, pause.after
            if pause.clear(heard) and only(heard, a.label) and only(heard, b.label):
                yield {"a": a.label, "b": b.label}

    def solve(self, heard: Heard, slots: Slots) -> float | None:
        pause = _between(heard, slots["a"], slots["b"])
        return None if pause is None else pause.seconds

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        pause = _between(heard, slots["a"], slots["b"])
        return [] if pause is None else [_pause(pause)]


def _between(heard: Heard, a: str, b: str) -> QuietGap | None:
    """The stretch from the end of the earlier to the start of the later of two sounds."""
    one, other = only(heard, a), only(heard, b)
    if one is None or other is None:
        return None
    first, second = sorted((one, other), key=lambda event: event.start)
    return QuietGap(first, second) if second.start >= first.end else None


class _EdgeDifference(DerivedKind):
    """How long after an edge of one sound the same edge of another comes."""

    edge: str  # start, end

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for a, b in permutations(single(heard), 2):
            if self._at(b) - self._at(a) >= ONSET_MARGIN_S:
                yield {"a": a.label, "b": b.label}

    def solve(self, heard: Heard, slots: Slots) -> float | None:
        a, b = only(heard, slots["a"]), only(heard, slots["b"])
        if a is None or b is None or self._at(b) < self._at(a):
            return None
        return tenths(self._at(b) - self._at(a))

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        a, b = only(heard, slots["a"]), only(heard, slots["b"])
        if a is None or b is None:
            return []
        first, then = self._at(a), self._at(b)
        words = f"{a.label} {self.edge}s {first:.1f}, {b.label} {self.edge}s {then:.1f}: "
        return [Reckoning(words, then, "-", first)]

    def _at(self, event: Event) -> float:
        return event.end if self.edge == "end" else event.start


class OnsetDifference(_EdgeDifference):
    """How long after the start of one sound another starts."""

    name, edge = "onset_difference", "start"


class EndDifference(_EdgeDifference):
    """How long after the end of one sound another ends."""

    name, edge, trained = "end_difference", "end", False


class LengthDifference(DerivedKind):
    """By how much one sound is longer than another."""

    name = "length_difference"
    trained = False

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for a, b in permutations(single(heard), 2):
            if length(a) > length(b) and apart(length(a), length(b), LENGTH_MARGIN_S):
                yield {"a": a.label, "b": b.label}

    def solve(self, heard: Heard, slots: Slots) -> float | None:
        a, b = only(heard, slots["a"]), only(heard, slots["b"])
        if a is None or b is None or length(a) < length(b):
            return None
        return tenths(length(a) - length(b))

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        a, b = only(heard, slots["a"]), only(heard, slots["b"])
        if a is None or b is None:
            return []
        return [lasts(a), lasts(b), Reckoning("", length(a), "-", length(b))]


class TotalTime(DerivedKind):
    """How long a sound that comes several times is heard in all."""

    name = "total"

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for label in dict.fromkeys(event.label for event in heard):
            found = all_of(heard, label)
            if len(found) > 1 and all(b.start >= a.end for a, b in pairwise(found)):
                yield {"a": label}

    def solve(self, heard: Heard, slots: Slots) -> float | None:
        found = all_of(heard, slots["a"])
        return tenths(sum(map(length, found))) if found else None

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        found = all_of(heard, slots["a"])
        lines = [Reckoning("", event.end, "-", event.start) for event in found]
        return [*lines, *_added([length(event) for event in found])]


class Silence(DerivedKind):
    """How long it is quiet between the first sound and the last, all pauses together."""

    name = "silence"

    def slots(self, heard: Heard) -> Iterator[Slots]:
        if len(pauses(heard)) > 1 and len(heard) > 2:
            yield {}

    def solve(self, heard: Heard, slots: Slots) -> float | None:
        return tenths(sum(pause.seconds for pause in pauses(heard)))

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        found = pauses(heard)
        return [*map(_pause, found), *_added([pause.seconds for pause in found])]


class _ExtremePause(DerivedKind):
    """How long the longest or the shortest pause is."""

    longest: bool

    def slots(self, heard: Heard) -> Iterator[Slots]:
        if len(pauses(heard)) > 1 and (self.longest or _certain(heard)):
            yield {}

    def solve(self, heard: Heard, slots: Slots) -> float | None:
        return self._extreme([pause.seconds for pause in pauses(heard)])

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        found = pauses(heard)
        name = "longest" if self.longest else "shortest"
        extreme = self._extreme([pause.seconds for pause in found])
        return [*map(_pause, found), Reckoning(f"the {name}: {extreme:.1f}")]

    def _extreme(self, seconds: list[float]) -> float | None:
        return (max if self.longest else min)(seconds, default=None)


def _certain(heard: Heard) -> bool:
    """Whether a small error in the times makes no pause and takes none away."""
    until = heard[0].end
    for event in heard[1:]:
        if not apart(event.start, until, ONSET_MARGIN_S):
            return False
        until = max(until, event.end)
    return True


class LongestPause(_ExtremePause):
    """How long the longest pause is."""

    name, longest, trained = "longest_pause", True, False


class ShortestPause(_ExtremePause):
    """How long the shortest pause is."""

    name, longest = "shortest_pause", False


class PauseLonger(DerivedKind):
    """Whether the pause after a sound is longer than the sound."""

    name = "pause_longer"
    weight = 0.4

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for pause in pauses(heard):
            a = pause.before
            clear = pause.clear(heard) and apart(length(a), pause.seconds, LENGTH_MARGIN_S)
            if clear and only(heard, a.label):
                yield {"a": a.label}

    def solve(self, heard: Heard, slots: Slots) -> bool | None:
        pause = _after(heard, slots["a"])
        return None if pause is None else pause.seconds > length(pause.before)

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        pause = _after(heard, slots["a"])
        if pause is None:
            return []
        told = "yes" if self.solve(heard, slots) else "no"
        return [_pause(pause), lasts(pause.before), Reckoning(told)]


class Fits(DerivedKind):
    """Whether a sound would fit into the pause after another."""

    name = "fits"
    weight = 0.4
    trained = False

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for pause in pauses(heard):
            for b in single(heard):
                apart_enough = apart(length(b), pause.seconds, LENGTH_MARGIN_S)
                a = pause.before
                if (
                    apart_enough
                    and pause.clear(heard)
                    and only(heard, a.label)
                    and b not in (a, pause.after)
                ):
                    yield {"a": a.label, "b": b.label}

    def solve(self, heard: Heard, slots: Slots) -> bool | None:
        pause, b = _after(heard, slots["a"]), only(heard, slots["b"])
        return None if pause is None or b is None else length(b) <= pause.seconds

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        pause, b = _after(heard, slots["a"]), only(heard, slots["b"])
        if pause is None or b is None:
            return []
        told = "yes" if self.solve(heard, slots) else "no"
        return [_pause(pause), lasts(b), Reckoning(told)]


def _after(heard: Heard, label: str) -> QuietGap | None:
    """The pause that begins when the one event of a label ends."""
    event = only(heard, label)
    return next((pause for pause in pauses(heard) if pause.before == event), None)


class KindsOfSound(DerivedKind):
    """How many different kinds of sound there are."""

    name = "kinds_of_sound"
    weight = 0.4

    def slots(self, heard: Heard) -> Iterator[Slots]:
        if len(heard) > 1:
            yield {}

    def solve(self, heard: Heard, slots: Slots) -> int | None:
        return len(_different(heard))

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        found = _different(heard)
        counted = ", ".join(f"{number} {label}" for number, label in enumerate(found, 1))
        return [Reckoning(f"different: {counted}", again=", ".join(found))]


def _different(heard: Heard) -> list[str]:
    found: list[str] = []
    for event in heard:
        if not all_of([one for one in heard if one.label in found], event.label):
            found.append(event.label)
    return found


class HowOften(DerivedKind):
    """How many times a sound is heard."""

    name = "how_often"
    weight = 0.4

    def slots(self, heard: Heard) -> Iterator[Slots]:
        if ordered(heard):
            yield from ({"a": label} for label in countable(heard))

    def solve(self, heard: Heard, slots: Slots) -> int | None:
        return len(all_of(heard, slots["a"]))

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        found = all_of(heard, slots["a"])
        again = ", ".join(f"{event.start:.1f}" for event in found)
        return [Reckoning(f"{slots['a']}: {counted_starts(found)}", again=again)]

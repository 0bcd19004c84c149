"""Kinds that compare lengths or counts: of two, or all in their order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import permutations

from moss_audio.scenes.reasoning.kind import DerivedKind, Reckoning, Slots, lasts, shuffled
from moss_audio.scenes.reasoning.timeline import (
    LENGTH_MARGIN_S,
    Heard,
    all_of,
    apart,
    countable,
    length,
    only,
    single,
)


class _OfTwo(DerivedKind):
    """Which of two lasts longer, or less long."""

    choices = 2
    wants_longer: bool

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for a, b in permutations(single(heard), 2):
            if apart(length(a), length(b), LENGTH_MARGIN_S):
                yield {"a": a.label, "b": b.label}

    def solve(self, heard: Heard, slots: Slots) -> str | None:
        a, b = only(heard, slots["a"]), only(heard, slots["b"])
        if a is None or b is None or length(a) == length(b):
            return None
        return a.label if (length(a) > length(b)) == self.wants_longer else b.label

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        both = [event for name in ("a", "b") if (event := only(heard, slots[name])) is not None]
        lines = [lasts(event) for event in shuffled(both, rng)]
        longer = max(both, key=length)
        shorter = min(both, key=length)
        words = f"{length(longer):.1f} is more than {length(shorter):.1f}: "
        words += longer.label if self.wants_longer else shorter.label
        return [*lines, Reckoning(words)]


class Longer(_OfTwo):
    """Which of two lasts longer."""

    name, wants_longer = "longer", True


class Shorter(_OfTwo):
    """Which of two lasts less long."""

    name, wants_longer = "shorter", False


class _Ranked(DerivedKind):
    """The sound at a place in the order of lengths, the longest first."""

    place: int  # an index into that order

    def slots(self, heard: Heard) -> Iterator[Slots]:
        # of a sound that comes again, some count its times together
        if len(heard) < 3 or len(single(heard)) < len(heard):
            return
        by_length = sorted(map(length, heard), reverse=True)
        at = self.place % len(heard)
        beside = [by_length[i] for i in (at - 1, at + 1) if 0 <= i < len(heard)]
        if all(apart(by_length[at], one, LENGTH_MARGIN_S) for one in beside):
            yield {}

    def solve(self, heard: Heard, slots: Slots) -> str | None:
        if len(heard) < 2:
            return None
        return sorted(heard, key=length, reverse=True)[self.place].label

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        ranked = sorted(heard, key=length, reverse=True)
        lines = [lasts(event) for event in shuffled(list(heard), rng)]
        found = ranked[self.place]
        words = f"{self.name.replace('_', ' ')} {length(found):.1f}: {found.label}"
        return [*lines, Reckoning(words)]


class Longest(_Ranked):
    """The longest sound."""

    name, place = "longest", 0


class Shortest(_Ranked):
    """The shortest sound."""

    name, place = "shortest", -1


class SecondLongest(_Ranked):
    """The second longest sound."""

    name, place, trained = "second_longest", 1, False


class SecondShortest(_Ranked):
    """The second shortest sound."""

    name, place = "second_shortest", -2


class _Counted(DerivedKind):
    """Which of two is heard more often, or less often."""

    choices = 2
    wants_more: bool

    def slots(self, heard: Heard) -> Iterator[Slots]:
        for a, b in permutations(countable(heard), 2):
            if len(all_of(heard, a)) != len(all_of(heard, b)):
                yield {"a": a, "b": b}

    def solve(self, heard: Heard, slots: Slots) -> str | None:
        a, b = len(all_of(heard, slots["a"])), len(all_of(heard, slots["b"]))
        if a == b:
            return None
        return str(slots["a"] if (a > b) == self.wants_more else slots["b"])

    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        counts = [(label, len(all_of(heard, label))) for label in (slots["a"], slots["b"])]
        told = ", ".join(f"{label} {count}" for label, count in shuffled(counts, rng))
        wanted, words = (max, "more often") if self.wants_more else (min, "less often")
        found = wanted(counts, key=lambda item: item[1])[0]
        return [Reckoning(told), Reckoning(f"{words}: {found}")]


class MoreOften(_Counted):
    """Which of two is heard more often."""

    name, wants_more, trained = "more_often", True, False


class LessOften(_Counted):
    """Which of two is heard less often."""

    name, wants_more = "less_often", False

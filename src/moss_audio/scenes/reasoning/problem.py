"""One derived question: drawn from a timeline, worded, and answered."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moss_audio.result import Event, Word
from moss_audio.scenes.reasoning.kind import DerivedKind, Slots
from moss_audio.scenes.reasoning.kinds import KINDS
from moss_audio.scenes.reasoning.splits import Axis, asks, fits_pairs, has_events, wordings_of
from moss_audio.scenes.reasoning.timeline import in_tenths, sounds, word_events
from moss_audio.tasks.reason import Fact, told


@dataclass(frozen=True)
class Problem:
    """A derived question, and its answer on the timeline that it was drawn from.

    Attributes:
        kind: a name among `kinds.KINDS`.
        slots: what the question names: (gap of the wording, label or time).
        question: as it is asked.
        fact: the true answer; `answer` as it is written.
        events: what sounds when, by start, in tenths of a second, and the words that matter.
    """

    kind: str
    slots: tuple[tuple[str, Any], ...]
    question: str
    fact: Fact
    events: tuple[Event, ...]

    @property
    def answer(self) -> str:
        return told(self.fact)

    def solve(self, events: Sequence[Event]) -> Fact | None:
        """The answer that would follow from another timeline; None where none does."""
        kind, heard = KINDS[self.kind], in_tenths(events)
        try:
            return kind.solve(heard if kind.words else sounds(heard), dict(self.slots))
        except (IndexError, ValueError):  # fewer events than the question speaks of
            return None


def draw_problem(
    events: Sequence[Event],
    rng: random.Random,
    axis: Axis = "seen",
    *,
    words: Sequence[Word] = (),
    only: str | None = None,
    short_share: float = 0.0,
) -> Problem | None:
    """A question about a timeline; None where nothing certain can be asked.

    First the kind is drawn, by weight, then one of the answers that it can have here, then one of
    the questions with that answer: so that no answer is frequent only because many questions
    lead to it.

    Args:
        axis: what may be asked; training draws `seen` and nothing else.
        words: all that are said, where their times are known.
        only: the kind that is asked.
        short_share: of the questions, that name sounds as people do: "the phone" for phone ringing.
    """
    heard = in_tenths(events)
    if not has_events(heard, axis):
        return None
    worded = in_tenths([*events, *word_events(words)])
    left = [n for n, kind in KINDS.items() if (only is None or n == only) and asks(kind, axis)]
    while left:
        (name,) = rng.choices(left, weights=[KINDS[one].weight for one in left])
        kind = KINDS[name]
        known = worded if kind.words else heard
        found = _by_answer(kind, known, axis)
        if found:
            fact = rng.choice(list(found))
            slots = rng.choice(found[fact])
            shortened = short_share > 0 and rng.random() < short_share
            named = _short_names(slots, heard) if shortened else slots
            question = rng.choice(wordings_of(name, axis)).format(**named)
            listed = tuple(kind.listed(known, slots))
            return Problem(name, tuple(slots.items()), question, fact, listed)
        left.remove(name)  # nothing of the kind can be asked here
    return None


def _short_names(slots: Slots, heard: Sequence[Event]) -> Slots:
    """Labels without what the thing does, where no other sound begins with the same words."""
    labels = {event.label for event in heard}

    def short(value: Any) -> Any:
        thing, _, last = value.rpartition(" ") if value in labels else ("", "", "")
        does = last == "music" or last.endswith("ing")
        alone = all(one == value or not one.startswith(thing) for one in labels)
        return thing if thing and does and alone else value

    return {gap: short(value) for gap, value in slots.items()}


def _by_answer(kind: DerivedKind, heard: Sequence[Event], axis: Axis) -> Mapping[Fact, list[Slots]]:
    found: dict[Fact, list[Slots]] = {}
    for slots in kind.slots(heard):
        fact = kind.solve(heard, slots)
        if fact is not None and fits_pairs(kind, slots, axis):
            found.setdefault(fact, []).append(slots)
    return found

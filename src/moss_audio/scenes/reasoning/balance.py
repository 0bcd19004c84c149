"""A set of derived questions in which no constant answer gets far."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from moss_audio.metrics.qa import hit_by_constant
from moss_audio.scenes.reasoning.problem import Problem
from moss_audio.tasks.reason import NEAR_S, NEAR_SHARE, Fact

P = TypeVar("P")
_SLACK = 0.05  # over an even share, that the best constant answer may have
# What it may always have; of times more, since one answer is near to a second of them or so.
_FINE, _FINE_TIMES = 0.2, 0.4


def balanced(items: Sequence[P], rng: random.Random, problem_of: Callable[[P], Problem]) -> list[P]:
    """Most of the items, with the best constant answer to each kind right in at most an even share
    of the kind's different answers, and 5 % more; or in a fifth, of times in two fifths, where that
    is more (an even share of answers of which some are rare would leave next to nothing). Of times
    those are different that no one answer is near. Kinds with a single answer go. Items come out
    kind by kind.
    """
    by_kind: dict[str, list[P]] = defaultdict(list)
    for item in items:
        by_kind[problem_of(item).kind].append(item)
    kept: list[P] = []
    for kind in sorted(by_kind):
        of_kind = rng.sample(by_kind[kind], len(by_kind[kind]))
        facts = [problem_of(item).fact for item in of_kind]
        kept += [of_kind[i] for i in _even(facts)]
    return kept


def best_constant(facts: Sequence[Fact]) -> float:
    """The share of the answers to one kind of question that the best constant one gets right."""
    return len(_hit(facts)) / len(facts)


def spread(items: Sequence[P], most: int, fact_of: Callable[[P], Fact]) -> list[P]:
    """At most so many of the items of one kind, earlier ones first, but each time one of an answer
    that was taken least often: so that a few of them are as even as all."""
    waiting: dict[Fact, list[P]] = defaultdict(list)
    for item in items:
        waiting[_bin(fact_of(item))].append(item)
    rounds = [
        of_one[turn]
        for turn in range(len(items))
        for of_one in waiting.values()
        if turn < len(of_one)
    ]
    return rounds[:most]


def _hit(facts: Sequence[Fact]) -> list[int]:
    """Places of the facts that the best constant answer gets right."""
    plain = ["|".join(fact) if isinstance(fact, tuple) else fact for fact in facts]
    return hit_by_constant(plain, NEAR_S, NEAR_SHARE)


def _even(facts: Sequence[Fact]) -> list[int]:
    """Places of the answers that stay: of those that the best constant one gets right one after
    another goes."""
    left = list(range(len(facts)))
    fine = _FINE_TIMES if facts and isinstance(facts[0], float) else _FINE
    while left:
        now = [facts[place] for place in left]
        different = len({_bin(fact) for fact in now})
        if different < 2:  # whoever always gives it is always right
            return []
        hit = _hit(now)
        if len(hit) <= max(fine, 1 / different + _SLACK) * len(left):
            break
        del left[hit[-1]]
    return left


def _bin(fact: Fact) -> Fact:
    """A fact, or for a time the bin as wide as one answer is near."""
    return int(fact / (2 * NEAR_S)) if isinstance(fact, float) else fact

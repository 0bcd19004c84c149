"""A set of derived questions in which no constant answer gets far."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from moss_audio.metrics.qa import constant_hits
from moss_audio.scenes.reasoning.problem import Problem
from moss_audio.tasks.reason import NEAR_S, Fact

P = TypeVar("P")
_SLACK = 0.05  # over an even share, that the best constant answer may have


def balanced(items: Sequence[P], rng: random.Random, problem_of: Callable[[P], Problem]) -> list[P]:
    """Most of the items, with the best constant answer to each kind right in at most an even share
    of the kind's different answers, and 5 % more. Of times those are different that no one answer
    is near. Kinds with a single answer go. Items come out kind by kind.
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
    plain = ["|".join(fact) if isinstance(fact, tuple) else fact for fact in facts]
    return constant_hits(plain, NEAR_S) / len(facts)


def _even(facts: Sequence[Fact]) -> list[int]:
    """Places of the answers that stay: of the most frequent one after another goes."""
    left = list(range(len(facts)))
    while left:
        groups: dict[Fact, list[int]] = defaultdict(list)
        for place in left:
            groups[_bin(facts[place])].append(place)
        if len(groups) < 2:  # whoever always gives it is always right
            return []
        if best_constant([facts[place] for place in left]) <= 1 / len(groups) + _SLACK:
            break
        left.remove(max(groups.values(), key=len)[-1])
    return left


def _bin(fact: Fact) -> Fact:
    """A fact, or for a time the bin as wide as one answer is near."""
    return int(fact / (2 * NEAR_S)) if isinstance(fact, float) else fact

"""What every kind of derived question offers: what can be asked, its answer, and the way there."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from moss_audio.result import Event
from moss_audio.scenes.reasoning.timeline import Heard, tenths
from moss_audio.tasks.reason import Fact

Slots = Mapping[str, Any]  # what a wording has gaps for: labels, ordinals, seconds


@dataclass(frozen=True)
class Reckoning:
    """One line of a thought: words, and perhaps a sum or a difference of tenths behind them.

    Attributes:
        words: without the end of the line.
        left, sign, right: "-" or "+" and its two sides; no sign, no sum.
        again: how a count is made once more, where there is no sum to be tried.
    """

    words: str
    left: float = 0.0
    sign: str = ""
    right: float = 0.0
    again: str = ""

    @property
    def result(self) -> float:
        """What the sum gives."""
        return tenths(self.left - self.right if self.sign == "-" else self.left + self.right)

    def line(self, result: float | None = None) -> str:
        """The line as it is written; `result` instead of the true one."""
        if not self.sign:
            return self.words
        found = self.result if result is None else result
        return f"{self.words}{self.left:.1f} {self.sign} {self.right:.1f} = {found:.1f}"


def lasts(event: Event) -> Reckoning:
    """How long a sound is."""
    return Reckoning(f"{event.label}: ", event.end, "-", event.start)


def counted_starts(events: Heard) -> str:
    """ "1 at 0.4, 2 at 3.3"."""
    return ", ".join(f"{number} at {one.start:.1f}" for number, one in enumerate(events, 1))


class DerivedKind(ABC):
    """One kind of question over a timeline (`timeline.Heard`: in order, times in tenths).

    Attributes:
        name: also of its wordings in `wordings.toml`.
        weight: how often it is drawn beside others. Kinds that are easily guessed come seldom.
        trained: False for kinds that training never asks.
        words: whether its timelines have words beside the sounds.
        choices: how many answers the question itself offers, to whoever hears nothing; 0: none.
    """

    name: ClassVar[str]
    weight: ClassVar[float] = 1.0
    trained: ClassVar[bool] = True
    words: ClassVar[bool] = False
    choices: ClassVar[int] = 0

    @abstractmethod
    def slots(self, heard: Heard) -> Iterator[Slots]:
        """All that can be asked with a certain answer, one that small errors do not turn."""

    @abstractmethod
    def solve(self, heard: Heard, slots: Slots) -> Fact | None:
        """The answer on any timeline; None where the question makes no sense there."""

    def listed(self, heard: Heard, slots: Slots) -> Heard:
        """What a thought lists: all that is heard, but of words those that matter."""
        return heard

    @abstractmethod
    def steps(self, heard: Heard, slots: Slots, rng: random.Random) -> list[Reckoning]:
        """What is computed of the timeline, of a question that `solve` answers. The last line has
        the answer in it."""


def shuffled(items: list[Any], rng: random.Random) -> list[Any]:
    """The items in another order."""
    return rng.sample(items, len(items))

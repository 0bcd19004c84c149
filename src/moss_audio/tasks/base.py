"""What every task offers, and the first step of every parser."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from moss_audio.errors import MossAudioError
from moss_audio.text import split_thinking

R = TypeVar("R")

ANSWER_TOKENS = 512

WARN_THINKING_OPEN = "the answer ends inside the thinking block"
WARN_LOOP = "the answer ended in a repetition, which was cut"


@dataclass(frozen=True)
class Score:
    """How good one result is.

    Attributes:
        reward: in [0, 1], higher is better.
        counts: by name, what evaluation adds up over a corpus: of a class of `moss_audio.metrics`.
    """

    reward: float
    counts: Mapping[str, Any]


class Task(ABC, Generic[R]):
    """A task on a clip, and all that is particular to it; `R` is its result class.

    A new task is a subclass in a file of its own, and a line in `moss_audio.tasks.get_task`.
    Where a task says nothing, a recording goes into one prompt, the answer has at most
    `ANSWER_TOKENS` tokens, and silence is put before the model like anything else.
    """

    # Walk a recording longer than a window in windows; otherwise it has to fit into one prompt.
    windowed: ClassVar[bool] = False

    @property
    @abstractmethod
    def name(self) -> str:
        """What `get_task` calls it."""

    @property
    @abstractmethod
    def prompt(self) -> str:
        """The wording given to the model."""

    @abstractmethod
    def render_answer(self, truth: R) -> str:
        """The answer a perfect model would give."""

    @abstractmethod
    def parse(self, text: str, duration: float) -> R:
        """Reads any answer without raising; `duration` is the clip's length in seconds."""

    @abstractmethod
    def score(self, result: R, truth: Any) -> Score:
        """How good a result is, by the metrics that evaluation uses. `truth` is of the result's
        class, unless the task says otherwise. Raises MissingDependencyError without the extra
        `eval`, where a metric needs it."""

    def with_confidence(self, result: R, tokens: Sequence[tuple[int, float]]) -> R:
        """A parsed result with what is known of its certainty, where its class has room for it.

        Args:
            tokens: of each token of the answer, where it ends in the answer's characters, and its
                log-probability.
        """
        return result

    def answer_tokens(self, duration_s: float) -> int:
        """The longest answer to a clip that is worth waiting for, thinking not counted."""
        return ANSWER_TOKENS

    def silent(self, duration_s: float) -> R | None:
        """The result for a silent clip; None where the model has to be asked even then."""
        return None

    def placed(self, result: R, start_s: float) -> R | None:
        """The result of one window among several, with its times on the recording's clock
        (`duration` is then the end of the window). None where a window means nothing by itself."""
        return None

    def join(self, parts: Sequence[tuple[float, R]]) -> R:
        """The result of a recording from those of its windows, in order: (start_s, result)."""
        ((_, result),) = parts
        return result


def joined_notes(parts: Sequence[tuple[float, Any]]) -> dict[str, Any]:
    """What all results of windows have in common: raw answers and warnings, each with its time."""
    return {
        "raw": "\n".join(result.raw for _, result in parts),
        "warnings": tuple(
            f"from {start_s:.2f} s: {warning}"
            for start_s, result in parts
            for warning in result.warnings
        ),
    }


def answer_part(text: str) -> tuple[str, tuple[str, ...]]:
    """The answer after any thinking block, and the warnings about it."""
    _, answer, closed = split_thinking(text)
    return answer, () if closed else (WARN_THINKING_OPEN,)


def check_duration(duration: float) -> float:
    """`duration` as a float; raises MossAudioError unless it is finite and not negative."""
    if not (math.isfinite(duration) and duration >= 0):
        raise MossAudioError(f"a clip's duration must be 0 or more seconds, got {duration!r}")
    return float(duration)


def centiseconds(seconds: float) -> str:
    """A time as answers write it, e.g. 12.3 -> "12.30". The one rounding of rendered answers."""
    return f"{max(0.0, seconds):.2f}"

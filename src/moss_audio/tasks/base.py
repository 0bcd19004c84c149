"""What every task offers, and the first step of every parser."""

from __future__ import annotations

import math
from typing import Protocol, TypeVar

from moss_audio.errors import MossAudioError
from moss_audio.text import split_thinking

R = TypeVar("R")

WARN_THINKING_OPEN = "the answer ends inside the thinking block"
WARN_LOOP = "the answer ended in a repetition, which was cut"


class Task(Protocol[R]):
    """A task on a clip; `R` is its result class, which also states the truth.

    `prompt` is the wording given to the model. `render_answer` is the answer a perfect model
    would give. `parse` reads any string without raising; `duration` is the clip's length in
    seconds. `score` compares a result with the truth; its entry "score" is in [0, 1], higher is
    better, and serves as the reward; the other entries are the task's usual measures.
    """

    @property
    def name(self) -> str: ...

    @property
    def prompt(self) -> str: ...

    def render_answer(self, truth: R) -> str: ...

    def parse(self, text: str, duration: float) -> R: ...

    def score(self, result: R, truth: R) -> dict[str, float]: ...


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

"""The wording of multiple-choice questions. It is our own: neither the paper nor the test sets
publish the prompt behind the reported figures.

    {question}
    A. {first choice}
    B. {second choice}
    ...
    Answer with the letter of the right choice and its text, nothing else.

Letter and text are both asked for because the official rules differ: MMAU, MMAU-Pro and MMAR
compare texts, MMSU reads the first letter. Training data and evaluation ask alike; a change of this
wording makes earlier answers invalid.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

from moss_audio.errors import MossAudioError
from moss_audio.metrics.choice import strict_choice
from moss_audio.result import Answer
from moss_audio.tasks.ask import Ask, Truth
from moss_audio.tasks.base import Score

ENDING = "Answer with the letter of the right choice and its text, nothing else."
LETTERS = string.ascii_uppercase


def lettered(choices: Sequence[str]) -> list[str]:
    """Each choice with its letter, as it is asked and as the answer repeats it: `A. violin`.

    Raises MossAudioError for none, and for more than there are letters.
    """
    if not 1 <= len(choices) <= len(LETTERS):
        raise MossAudioError(f"{len(choices)} choices; 1 to {len(LETTERS)} can be asked")
    return [f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]


def choice_question(question: str, choices: Sequence[str]) -> str:
    """The prompt. Raises as `lettered` does."""
    return "\n".join([question, *lettered(choices), ENDING])


@dataclass(frozen=True)
class Choose(Ask):
    """A question with a choice of answers. Raises as `lettered` does."""

    choices: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        return choice_question(self.question, self.choices)

    def score(self, result: Answer, truth: Truth, *, labels: Sequence[str] = ()) -> Score:
        """`choices`: right or wrong by the strict rule, which is the reward. `truth` is the text
        or the letter of the right choice; `labels` play no part."""
        right = truth.text if isinstance(truth, Answer) else str(truth)
        counts = strict_choice(result.text, self.choices, right)
        return Score(float(counts.correct), {"choices": counts})

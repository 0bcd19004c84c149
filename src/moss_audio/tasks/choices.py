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

from moss_audio.errors import MossAudioError

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

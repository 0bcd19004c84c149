"""The prompt of a multiple-choice item, worded as `moss_audio.tasks.choices` has it.

A letter that a choice of a test set brings along, as in `(A) violin`, is not written twice.
"""

from __future__ import annotations

import re

from moss_audio.errors import MossAudioError
from moss_audio.evaluate.item import Item
from moss_audio.tasks.choices import LETTERS, choice_question


def choice_prompt(item: Item) -> str:
    """The prompt of an item. Raises MossAudioError for more choices than letters."""
    bare = [_bare(choice, LETTERS[i : i + 1]) for i, choice in enumerate(item.choices)]
    try:
        return choice_question(item.question.strip(), bare)
    except MossAudioError as error:
        raise MossAudioError(f"item {item.id}: {error}") from None


def _bare(choice: str, letter: str) -> str:
    """A choice without its own letter in front."""
    match = re.fullmatch(rf"\s*\(?{letter}[).:]\)?\s*(\S.*)", choice, re.DOTALL)
    return (match[1] if match else choice).strip()

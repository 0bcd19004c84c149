"""What a test set is made of: items, the recordings they point to, and the set itself.

Nothing here is opened before its turn: an item is a small record, its sound a reference.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from moss_audio.recordings import Audio
from moss_audio.result import Event, Word


class Sound(Protocol):
    """A recording to be opened later, such as a `Clip`.

    `identity` tells it from others of its set and does not depend on the machine. `load` raises
    AudioError in one line.
    """

    @property
    def identity(self) -> str: ...

    def load(self) -> Audio: ...


@dataclass(frozen=True)
class Item:
    """One question to a model, and what would have been right.

    Attributes:
        id: unique in its set.
        audio: the recordings that go into the prompt, in order; nearly always one.
        question: what is asked; empty for tasks whose wording is fixed.
        choices: of a multiple-choice question, as published.
        reference: the true transcript, answer or caption; None where it is not published.
        words, events: exact times, where the task is about them.
        truth: the reference as a value: a label, a number or seconds.
        facts: what a caption should name; `a|b` accepts either.
        fields: a reference of several named parts, such as a description of a speaker.
        category: the group it is reported in.
    """

    id: str
    audio: tuple[Sound, ...]
    question: str = ""
    choices: tuple[str, ...] = ()
    reference: str | None = None
    words: tuple[Word, ...] = ()
    events: tuple[Event, ...] = ()
    truth: Any = None
    facts: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    category: str = ""

    def digest(self) -> str:
        """Of all that decides what is asked and what is right; the same on every machine."""
        content = [
            self.id,
            [sound.identity for sound in self.audio],
            self.question,
            self.choices,
            self.reference,
            [word.to_dict() for word in self.words],
            [event.to_dict() for event in self.events],
            self.truth,
            self.facts,
            self.fields,
        ]
        return sha256(content)


@dataclass(frozen=True)
class Dataset:
    """A set of items. `about` says what it is; `notes` what was left out of it, and why."""

    items: Sequence[Item]
    about: str
    notes: tuple[str, ...] = ()

    def digest(self) -> str:
        """Of the list of items, in order."""
        return sha256([item.digest() for item in self.items])


def sha256(content: Any) -> str:
    """A hash of plain JSON types."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

"""One conversation with its clips: what every source gives, and all that a batch is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from moss_audio.data.spec_mask import SpecMask
from moss_audio.result import Event, Word

if TYPE_CHECKING:
    from moss_audio.scenes.reasoning.problem import Problem

# An example whose text is learnt whole, without turns: its only message is the assistant's.
DOCUMENT = "document"
DOCUMENT_PART = "document part"  # the same, and more of it follows in another example


@dataclass(frozen=True)
class Example:
    """One conversation with its clips, ready to be rendered.

    `messages` are those of `moss_audio.prompt`; audio parts carry nothing but their type.
    `clips` are float32 mono at 16 kHz, one for each audio part in prompt order, () for text only.
    `words` and `sounds` (seconds from the start of the clip) hold one entry a clip where they are
    known, else (). `task` is the name of the task, "" where there is none; with `DOCUMENT` or
    `DOCUMENT_PART` the only message is the assistant's and is learnt as running text, without a
    prompt. `masks` are laid over the clips' features. Where it is `made`, audio tokens that are
    made of `words` take the place of what its silent clips would give. A derived question comes
    with its `problem`.
    `begins_s` is the second of a longer recording at which its clip begins: its markers and the
    times in its conversation go on from there (those of `words` and `sounds` do not).
    """

    id: str
    messages: list[dict[str, Any]]
    clips: tuple[np.ndarray, ...]
    words: tuple[tuple[Word, ...], ...] = ()
    sounds: tuple[tuple[Event, ...], ...] = ()
    task: str = ""
    masks: SpecMask | None = None
    made: bool = False
    problem: Problem | None = None
    begins_s: int = 0

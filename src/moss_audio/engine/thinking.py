"""The think block of a Thinking checkpoint: its marks, and what is written where it is forced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moss_audio.engine.base import GenerationOptions
from moss_audio.errors import MossAudioError
from moss_audio.prompt import ChatVocabulary

# Said when the thinking budget is used up, so that the answer follows from what was thought.
TRANSITION = "\n\nThat is enough thought; I answer with what I have.\n"


@dataclass(frozen=True)
class ThinkIds:
    """Ids of a thinking checkpoint: the marks, and what is written when they are forced."""

    start: int
    end: int
    opening: tuple[int, ...]  # `<think>` and a newline
    closing: tuple[int, ...]  # the transition, `</think>` and an empty line

    @classmethod
    def of(cls, vocabulary: ChatVocabulary) -> ThinkIds | None:
        """None for a tokenizer without think tokens."""
        start, end = vocabulary.think_start, vocabulary.think_end
        if start is None or end is None:
            return None
        return cls(
            start,
            end,
            (start, *vocabulary.encode_plain("\n")),
            (*vocabulary.encode_plain(TRANSITION), end, *vocabulary.encode_plain("\n\n")),
        )

    def left_open(self, ids: Sequence[int]) -> bool:
        """Whether a think block is open at the end of `ids`."""
        return next((one for one in reversed(ids) if one in (self.start, self.end)), None) == (
            self.start
        )


def leaves_room(thinking: bool | None, think: ThinkIds | None) -> bool:
    """Whether a prompt leaves it open to think; otherwise it ends in an empty think block."""
    return thinking is not False or think is None


def asks_thought(options: GenerationOptions) -> bool:
    """Whether a thought is asked for; a budget alone does that, too, but not beside a no."""
    return options.thinking or (options.thinking is None and options.thinking_budget is not None)


def check_thinking(options: GenerationOptions, think: ThinkIds | None) -> None:
    """Raises MossAudioError when thinking is asked of a checkpoint that cannot think."""
    if think is None and asks_thought(options):
        asked = "thinking=True" if options.thinking else "thinking_budget"
        raise MossAudioError(
            f"{asked}: this checkpoint has no <think> tokens; leave it out, or load a Thinking "
            "checkpoint"
        )

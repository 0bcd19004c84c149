"""A free question about the clip, with or without thinking before the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moss_audio.errors import MossAudioError
from moss_audio.metrics.qa import count_correct, names_answer, order_correct, time_correct
from moss_audio.result import Answer
from moss_audio.tasks.base import WARN_LOOP, WARN_THINKING_OPEN, Score, Task, check_duration
from moss_audio.text import detect_repetition, split_thinking

Truth = Answer | float | int | str
TOLERANCE_S = 0.5  # of a time or a length that is asked for


@dataclass(frozen=True)
class Ask(Task[Answer]):
    """The question task; the prompt is the question itself."""

    question: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.question, str):
            raise MossAudioError(f"question={self.question!r}: give a text")

    @property
    def name(self) -> str:
        return "ask"

    @property
    def prompt(self) -> str:
        """Raises MossAudioError when no question was given."""
        if not self.question.strip():
            raise MossAudioError("the question is empty: say what to ask about the audio")
        return self.question

    def render_answer(self, truth: Answer) -> str:
        """`<think>` block first when the truth has one (spec section 1.5), then the answer."""
        answer = truth.text.strip()
        if truth.thinking is None:
            return answer
        return f"<think>\n{truth.thinking.strip()}\n</think>\n\n{answer}"

    def parse(self, text: str, duration: float) -> Answer:
        """Any answer, split into thinking and text; a runaway repetition in either is cut and
        flagged. Raises MossAudioError only for a `duration` that is not a length in seconds."""
        check_duration(duration)
        thinking, answer, closed = split_thinking(text)
        warnings: tuple[str, ...] = () if closed else (WARN_THINKING_OPEN,)
        answer, looped = detect_repetition(answer)
        if thinking is not None:
            thinking, looped_inside = detect_repetition(thinking)
            looped = looped or looped_inside
        if looped:
            warnings += (WARN_LOOP,)
        return Answer(answer, thinking, text, warnings)

    def score(self, result: Answer, truth: Truth, *, labels: Sequence[str] = ()) -> Score:
        """`answers`: whether the result gives the truth, which is the reward.

        Args:
            truth: an answer, whose words have to be there; seconds (a float), right within
                `TOLERANCE_S`; a count (an int), in digits or words; or a label (a str), which has
                to be named and no other of `labels`.
        """
        if isinstance(truth, Answer):
            counts = names_answer(result.text, truth.text)
        elif isinstance(truth, float):
            counts = time_correct(result.text, truth, TOLERANCE_S)
        elif isinstance(truth, int):
            counts = count_correct(result.text, truth)
        else:
            counts = order_correct(result.text, [truth], vocabulary=labels)
        return Score(float(counts.correct), {"answers": counts})

"""A description of the clip in plain words.

Wording: the released checkpoints' own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from moss_audio.metrics.caption import SoundScene, caption_facts, shared_words
from moss_audio.result import Caption
from moss_audio.tasks.base import WARN_LOOP, Score, Task, answer_part, check_duration, joined_notes
from moss_audio.tasks.times import without_stamps
from moss_audio.text import detect_repetition, single_line

PROMPT = "Describe this audio."


@dataclass(frozen=True)
class Describe(Task[Caption]):
    """The caption task; of a long recording, a line a window with the window's times."""

    windowed: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "caption"

    @property
    def prompt(self) -> str:
        return PROMPT

    def render_answer(self, truth: Caption) -> str:
        return truth.text.strip()

    def parse(self, text: str, duration: float) -> Caption:
        """Any answer; a runaway repetition is cut and flagged. Raises MossAudioError only for a
        `duration` that is not a length in seconds."""
        duration = check_duration(duration)
        answer, warnings = answer_part(text)
        clean, looped = detect_repetition(answer if without_stamps(single_line(answer)) else "")
        if looped:
            warnings += (WARN_LOOP,)
        return Caption(clean, duration, text, warnings)

    def placed(self, result: Caption, start_s: float) -> Caption:
        end_s = start_s + result.duration
        line = f"{_clock(start_s)}-{_clock(end_s)} {result.text}" if result.text else ""
        return replace(result, text=line, duration=end_s)

    def join(self, parts: Sequence[tuple[float, Caption]]) -> Caption:
        if len(parts) == 1:
            return parts[0][1]
        placed = [self.placed(result, start_s) for start_s, result in parts]
        lines = "\n".join(one.text for one in placed if one.text)
        return Caption(lines, placed[-1].duration, **joined_notes(parts))

    def score(
        self, result: Caption, truth: Caption | SoundScene, vocabulary: Iterable[str] = ()
    ) -> Score:
        """Against what is known of a scene, `facts`: named, missed and invented ones; against a
        reference caption, `words`: those that both have. The reward is the F1 of either.

        vocabulary: every label that a caption might name; see `caption_facts`.
        """
        if isinstance(truth, Caption):
            words = shared_words(truth.text, result.text)
            return Score(words.f1, {"words": words})
        facts = caption_facts(result.text, truth, vocabulary=vocabulary)
        return Score(facts.f1, {"facts": facts})


def _clock(seconds: float) -> str:
    """`1:02:03`, or `2:03` within the first hour."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{whole % 60:02d}"

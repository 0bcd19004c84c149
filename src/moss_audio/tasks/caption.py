"""A description of the clip in plain words.

Wording: the released checkpoints' own. The score is for references and facts we know ourselves;
published caption benchmarks use a judge model instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from moss_audio.result import Caption
from moss_audio.tasks.base import WARN_LOOP, Task, answer_part, check_duration, joined_notes
from moss_audio.text import detect_repetition, normalize_words

PROMPT = "Describe this audio."

_ARTICLES = frozenset(("a", "an", "the"))


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
        clean, looped = detect_repetition(answer)
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

    def score(self, result: Caption, truth: Caption, facts: Sequence[str] = ()) -> dict[str, float]:
        """token_precision, token_recall, token_f1 against the reference text, articles left out.

        facts: what the caption must name; "rain|rainfall" accepts either. A fact is named when
        all its words occur. With facts, facts_named is their share and the score, else token_f1.
        """
        found, wanted = _tokens(result.text), _tokens(truth.text)
        common = sum((Counter(found) & Counter(wanted)).values())
        f1 = 2 * common / (len(found) + len(wanted)) if found or wanted else 1.0
        scores = {
            "token_precision": common / len(found) if found else float(not wanted),
            "token_recall": common / len(wanted) if wanted else float(not found),
            "token_f1": f1,
        }
        if facts:
            present = set(found)
            named = sum(
                any(present.issuperset(_tokens(form)) for form in fact.split("|") if _tokens(form))
                for fact in facts
            )
            scores["facts_named"] = named / len(facts)
        scores["score"] = scores.get("facts_named", f1)
        return scores


def _clock(seconds: float) -> str:
    """`1:02:03`, or `2:03` within the first hour."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{whole % 60:02d}"


def _tokens(text: str) -> list[str]:
    return [word for word in normalize_words(text) if word not in _ARTICLES]

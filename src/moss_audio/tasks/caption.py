"""A description of the clip in plain words.

Wording: the released checkpoints' own. The score is for references and facts we know ourselves;
published caption benchmarks use a judge model instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from moss_audio.result import Caption
from moss_audio.tasks.base import WARN_LOOP, answer_part, check_duration
from moss_audio.text import detect_repetition, normalize_words

PROMPT = "Describe this audio."

_ARTICLES = frozenset(("a", "an", "the"))


@dataclass(frozen=True)
class Describe:
    """The caption task."""

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


def _tokens(text: str) -> list[str]:
    return [word for word in normalize_words(text) if word not in _ARTICLES]

"""Descriptions of a speaker in thirteen fields, compared field by field by a judge model.

The model is asked for all fields at once, in our own words (the paper's prompt is not public):

    Describe the speaker and the way of speaking. Answer with these lines:
    gender: ...
    age: ...

Ratings are kept in the folder of the run, so that a verdict is paid for once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from moss_audio.evaluate.calls import Call
from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders.files import DataError
from moss_audio.evaluate.plan import Measure, Outcome, Part, Share
from moss_audio.metrics.judge import FIELDS, JudgeScores, SpeechCaptionJudge
from moss_audio.result import Answer

OVERALL = "judge, mean of fields"
CACHE = "judge"


def speaker_prompt(item: Item) -> str:
    """Asks for all thirteen fields, a line each."""
    lines = "\n".join(f"{name}: ..." for name in FIELDS)
    return f"Describe the speaker and the way of speaking. Answer with these lines:\n{lines}"


def part(name: str, dataset: Dataset, judge: SpeechCaptionJudge) -> Part:
    """The part on a set whose items have fields. Raises DataError for fields that are none of the
    thirteen."""
    for item in dataset.items:
        unknown = sorted({key for key, _ in item.fields} - set(FIELDS))
        if unknown:
            raise DataError(f"item {item.id}: unknown fields {', '.join(unknown)}; there are: "
                            f"{', '.join(FIELDS)}")  # fmt: skip
    panel = _Panel(judge)
    endpoint = judge.endpoint
    note = (
        f"rated by {endpoint.model_name} at {endpoint.address}, prompt of moss_audio.metrics.judge"
    )
    dataset = replace(dataset, notes=(*dataset.notes, note))
    call = Call("ask", prompt=speaker_prompt)
    return Part(name, dataset, call, panel.measures(), after=panel.judge_all)


@dataclass
class _Panel:
    """The judge, and its verdicts by item."""

    judge: SpeechCaptionJudge
    verdicts: dict[str, JudgeScores] = field(default_factory=dict)

    def judge_all(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Has all answers judged. Raises MossAudioError if the judge cannot be asked."""
        rows = [(o.item, o.result.text) for o in outcomes if isinstance(o.result, Answer)]
        judge = replace(self.judge, cache_dir=folder / CACHE)
        scores = judge.score_all([(dict(item.fields), text) for item, text in rows])
        self.verdicts = {item.id: one for (item, _), one in zip(rows, scores, strict=True)}

    def measures(self) -> tuple[Measure, ...]:
        """The mean over fields, each field, and replies of the judge that cannot be read."""
        fields_ = (
            Measure(f"judge, {name}", self._share(_one(i)), unit="", scale=1.0)
            for i, name in enumerate(FIELDS)
        )
        return (
            Measure(OVERALL, self._share(_all), unit="", scale=1.0, grouped=True),
            *fields_,
            Measure("judge's replies that cannot be read", self._share(_unread), better="lower"),
        )

    def _share(self, of: Callable[[JudgeScores], Share]) -> Callable[[Outcome], Share | None]:
        def share(outcome: Outcome) -> Share | None:
            found = self.verdicts.get(outcome.item.id)
            return None if found is None else of(found)

        return share


def _all(scores: JudgeScores) -> Share:
    return sum(map(sum, scores.ratings)), len(FIELDS) * scores.judged


def _one(index: int) -> Callable[[JudgeScores], Share]:
    return lambda scores: (sum(rating[index] for rating in scores.ratings), scores.judged)


def _unread(scores: JudgeScores) -> Share:
    return scores.parse_failures, scores.clips

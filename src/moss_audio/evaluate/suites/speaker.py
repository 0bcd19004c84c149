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

from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders.files import DataError
from moss_audio.evaluate.plan import Call, Measure, Outcome, Part, Share
from moss_audio.metrics.judge import FIELDS, Ratings, SpeechCaptionJudge
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
    verdicts: dict[str, Ratings | None] = field(default_factory=dict)

    def judge_all(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Has all answers judged. Raises MossAudioError if the judge cannot be asked."""
        rows = [(o.item, o.result.text) for o in outcomes if isinstance(o.result, Answer)]
        judge = replace(self.judge, cache_dir=folder / CACHE)
        rated = judge.rate([(dict(item.fields), text) for item, text in rows])
        self.verdicts = {item.id: one for (item, _), one in zip(rows, rated, strict=True)}

    def measures(self) -> tuple[Measure, ...]:
        """The mean over fields, each field, and replies of the judge that cannot be read."""
        fields_ = (
            Measure(f"judge, {name}", self._mean(name), unit="", scale=1.0) for name in FIELDS
        )
        return (
            Measure(OVERALL, self._mean(*FIELDS), unit="", scale=1.0, grouped=True),
            *fields_,
            Measure("judge's replies that cannot be read", self._unread, better="lower"),
        )

    def _mean(self, *names: str) -> Callable[[Outcome], Share | None]:
        def share(outcome: Outcome) -> Share | None:
            if outcome.item.id not in self.verdicts:
                return None
            ratings = self.verdicts[outcome.item.id]
            return (sum(ratings[name] for name in names), len(names)) if ratings else (0, 0)

        return share

    def _unread(self, outcome: Outcome) -> Share | None:
        if outcome.item.id not in self.verdicts:
            return None
        return int(self.verdicts[outcome.item.id] is None), 1

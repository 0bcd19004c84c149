"""How far two sets of answers to the same items differ: of two parts of a run, or of two runs.

A difference is a measure of its own, of each item what the first has more than the second, so that
its interval comes from the same draws for both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moss_audio.errors import MossAudioError
from moss_audio.evaluate.figures import Figure, of_measure
from moss_audio.evaluate.plan import Measure, Outcome, Plan, Share
from moss_audio.evaluate.store import read_answers


@dataclass(frozen=True)
class EarlierRun:
    """What another run answered to the questions of a plan: its model, and outcomes by part."""

    model: str
    outcomes: Mapping[str, Sequence[Outcome]]


def read_run(folder: Path, plan: Plan) -> EarlierRun:
    """The answers of the run in a folder, in so far as the plan asks for them.

    Raises:
        MossAudioError: the suite compares nothing, or the folder has no run of it on these items.
    """
    if plan.paired is None:
        raise MossAudioError(f"suite {plan.suite!r} compares no runs: leave --against out")
    path = folder / "report.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        mark, model, name = (
            f"{report['suite']} {report['suite_version']}", report["model_hash"], report["model"],
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MossAudioError(f"{path}: no report of a run; name the --out of one") from error
    if mark != plan.mark:
        raise MossAudioError(f"{path}: of suite {mark}, not {plan.mark}; run it again")
    answers = read_answers(folder)
    outcomes = {}
    for part in plan.parts:
        keys = ((item, part.key(item, model, mark)) for item in part.dataset.items)
        found = [(item, answers[key]) for item, key in keys if key in answers]
        outcomes[part.name] = [Outcome(item, one.result, None, one.seconds) for item, one in found]
    if not any(outcomes.values()):
        raise MossAudioError(f"{folder}: answers to other questions; run it on the same --data")
    return EarlierRun(name, outcomes)


def differences(
    plan: Plan, outcomes: Sequence[Sequence[Outcome]], earlier: Sequence[EarlierRun] = ()
) -> list[Figure]:
    """All differences of a plan that were measured on both sides, and those from earlier runs."""
    if plan.paired is None:
        return []
    paired = plan.paired
    measures = {
        part.name: one for part in plan.parts for one in part.measures if one.name == paired.measure
    }
    mine = {part.name: rows for part, rows in zip(plan.parts, outcomes, strict=True)}
    rows = [
        figure
        for first, second in paired.pairs
        if first in mine and second in mine
        for figure in _paired(f"{first}, less {second}", measures[first], mine[first], mine[second])
    ]
    for run in earlier:
        for first in (one for one in paired.across if one in mine):
            for second in (one for one in paired.across if run.outcomes.get(one)):
                name = f"{first}, less {run.model}: {second}"
                rows += _paired(name, measures[first], mine[first], run.outcomes[second])
    return rows


def _paired(
    name: str, measure: Measure, first: Iterable[Outcome], second: Iterable[Outcome]
) -> list[Figure]:
    others = {outcome.item.id: measure.share(outcome) for outcome in second}

    def share(outcome: Outcome) -> Share | None:
        one, other = measure.share(outcome), others.get(outcome.item.id)
        if one is None or other is None:
            return None
        return one[0] - other[0], one[1]

    of_both = replace(measure, share=share, unit="points", baseline=None, bar=None, aim=None)
    return of_measure(name, of_both, list(first))

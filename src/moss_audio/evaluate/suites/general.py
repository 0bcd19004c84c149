"""General understanding: MMAU, MMAU-Pro, MMAR and MMSU, multiple choice, and the mean of the four.

Two accuracies stand side by side. *Strict*: an answer that cannot be read, or is missing, is
wrong. *Official rule*: as the set's own scorer counts, which leaves some of these out of the
denominator; for MMAU-Pro, whose scorer takes the choice nearest to the answer by a 7B text
embedder, the rule of MMAU stands in. Wording: `moss_audio.tasks.choices`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from moss_audio.errors import MossAudioError
from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders import choices as sets
from moss_audio.evaluate.loaders.files import DataError
from moss_audio.evaluate.plan import Call, Mean, Measure, Outcome, Part, Plan, Share
from moss_audio.evaluate.suites.questions import uniform_chance
from moss_audio.metrics.choice import mmau_official, mmsu_official
from moss_audio.metrics.counts import AnswerCounts
from moss_audio.result import Answer
from moss_audio.tasks.choices import LETTERS, Choose, choice_question

VERSION = 1


def _strict(text: str | None, choices: Sequence[str], reference: str) -> AnswerCounts:
    score = Choose(choices=tuple(choices)).score(Answer(text or ""), reference)
    counts: AnswerCounts = score.counts["choices"]
    return counts


Rule = Callable[[str | None, Sequence[str], str], AnswerCounts]

# (part, which is also the folder in the data folder; loader; official rule)
SETS: tuple[tuple[str, Callable[[Path], Dataset], Rule], ...] = (
    ("mmau", sets.load_mmau, mmau_official),
    ("mmau-pro", sets.load_mmau_pro, mmau_official),
    ("mmar", sets.load_mmar, mmau_official),
    ("mmsu", sets.load_mmsu, mmsu_official),
)
STRICT, OFFICIAL = "accuracy, strict", "accuracy, official rule"


def plan(data: Path) -> Plan:
    """The sets whose folders are there. Raises DataError."""
    parts, absent = [], []
    for part, load, rule in SETS:
        if not (data / part).is_dir():
            absent.append((part, f"there is no folder {part}"))
            continue
        dataset = load(data / part)
        hidden = sum(item.reference is None for item in dataset.items)
        if hidden == len(dataset.items):
            absent.append((part, "its answers are not published"))
            continue
        parts.append(Part(part, dataset, Call("ask", prompt=choice_prompt), measures(rule)))
    means = tuple(
        Mean("mean of four", tuple((part, name) for part, *_ in SETS), name)
        for name in (STRICT, OFFICIAL)
    )
    return Plan("general", VERSION, tuple(parts), tuple(absent), means)


def choice_prompt(item: Item) -> str:
    """The prompt of an item. A letter that a choice brings along, as in `(A) violin`, is not
    written twice. Raises MossAudioError for more choices than letters."""
    bare = [_bare(choice, LETTERS[i : i + 1]) for i, choice in enumerate(item.choices)]
    try:
        return choice_question(item.question.strip(), bare)
    except MossAudioError as error:
        raise MossAudioError(f"item {item.id}: {error}") from None


def _bare(choice: str, letter: str) -> str:
    """A choice without its own letter in front."""
    match = re.fullmatch(rf"\s*\(?{letter}[).:]\)?\s*(\S.*)", choice, re.DOTALL)
    return (match[1] if match else choice).strip()


def measures(rule: Rule) -> tuple[Measure, ...]:
    """Both accuracies, what could not be read, and how good a blind guess is."""
    return (
        Measure(
            STRICT,
            _accuracy(_strict),
            failed=True,
            where=_known,
            grouped=True,
            baseline=uniform_chance,
            baseline_name="chance",
        ),
        Measure(OFFICIAL, _accuracy(rule), failed=True, where=_known, baseline=uniform_chance,
                baseline_name="chance"),
        Measure("answers that cannot be read", _unread, better="lower", where=_known),
    )  # fmt: skip


def _known(item: Item) -> bool:
    return item.reference is not None


def _counts(rule: Rule, outcome: Outcome) -> AnswerCounts:
    item, result = outcome.item, outcome.result
    text = result.text if isinstance(result, Answer) else None
    if item.reference is None:
        raise DataError(f"item {item.id} has no answer to compare with")
    return rule(text, item.choices, item.reference)


def _accuracy(rule: Rule) -> Callable[[Outcome], Share]:
    def share(outcome: Outcome) -> Share:
        counts = _counts(rule, outcome)
        return counts.correct, counts.total

    return share


def _unread(outcome: Outcome) -> Share:
    return _counts(_strict, outcome).unparsed, 1

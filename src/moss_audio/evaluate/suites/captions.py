"""Captions: each folder of the data folder is a set, a JSONL list (`loaders.lists.load_captions`).

With `facts`, what is named and what is invented is counted; with a reference `caption`, shared
words are. Items with `fields` (the paper's thirteen of a speaker) are put before a judge model,
where one is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from moss_audio.evaluate.item import Dataset
from moss_audio.evaluate.loaders import lists
from moss_audio.evaluate.loaders.files import set_folders
from moss_audio.evaluate.plan import Call, Measure, Outcome, Part, Plan, Share
from moss_audio.evaluate.suites import speaker
from moss_audio.evaluate.suites.facts import list_measures
from moss_audio.metrics.judge import SpeechCaptionJudge
from moss_audio.result import Caption
from moss_audio.tasks.caption import Describe

VERSION = 1
_NO_JUDGE = "a judge has to rate its fields: give --judge-url and --judge-model"


def plan(data: Path, judge: SpeechCaptionJudge | None = None) -> Plan:
    """A part a set, and one more for its items with fields. Raises DataError."""
    parts, absent = [], []
    for name, path in set_folders(data, lists.holds_jsonl):
        if not lists.holds_jsonl(path):
            absent.append((name, "holds no JSONL list"))
            continue
        dataset = _with_vocabulary(lists.load_captions(path))
        described = [item for item in dataset.items if item.facts or item.reference]
        if described:
            measures: tuple[Measure, ...] = ()
            if any(item.facts for item in described):
                measures += list_measures()
            if any(item.reference for item in described):
                measures += word_measures()
            kept = replace(dataset, items=described)
            parts.append(Part(name, kept, Call("caption"), measures))
        with_fields = [item for item in dataset.items if item.fields]
        second = f"{name}, speaker" if described else name
        if with_fields and judge is None:
            absent.append((second, _NO_JUDGE))
        elif with_fields and judge is not None:
            parts.append(speaker.part(second, replace(dataset, items=with_fields), judge))
    return Plan("captions", VERSION, tuple(parts), tuple(absent))


def _with_vocabulary(dataset: Dataset) -> Dataset:
    """Items that know all facts of the set, so that invented ones can be told."""
    every = tuple(sorted({fact for item in dataset.items for fact in item.facts}))
    return replace(dataset, items=[replace(item, choices=every) for item in dataset.items])


def word_measures() -> tuple[Measure, ...]:
    """Words shared with the reference caption, articles left out; means over items."""
    return (
        Measure("words of the caption that are in the reference", _words("precision")),
        Measure("words of the reference that are in the caption", _words("recall")),
    )


def _words(entry: str) -> Callable[[Outcome], Share | None]:
    def share(outcome: Outcome) -> Share | None:
        if not isinstance(outcome.result, Caption) or not outcome.item.reference:
            return None
        score = Describe().score(outcome.result, Caption(outcome.item.reference))
        return getattr(score.counts["words"], entry), 1.0

    return share

"""Timestamp ASR: word times against a forced alignment. Each folder of the data folder is a set
(`aishell1`, `librispeech`, any other): JSONL with words, or TextGrids beside recordings.

AAS is given in both published conventions, with the match rate and the answers without readable
times beside it: unmatched words carry no shift, so a model that drops hard words looks better.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moss_audio.evaluate.loaders import lists, textgrid
from moss_audio.evaluate.loaders.files import set_folders
from moss_audio.evaluate.plan import Call, Measure, Outcome, Part, Plan, Share
from moss_audio.evaluate.suites.asr import error_share, in_characters
from moss_audio.metrics.timestamps import AasResult
from moss_audio.result import Transcript
from moss_audio.tasks.transcribe import Transcribe

VERSION = 1
SUM, MEAN, MATCHED = "AAS, sum", "AAS, mean", "words matched"


def plan(data: Path) -> Plan:
    """A part a set. Raises DataError."""
    parts, absent = [], []
    for name, path in set_folders(data, lambda p: lists.holds_jsonl(p) or textgrid.holds_here(p)):
        if lists.holds_jsonl(path):
            dataset = lists.load_timed(path)
        elif textgrid.holds(path):
            dataset = textgrid.load(path)
        else:
            absent.append((name, "holds neither JSONL nor TextGrids"))
            continue
        errors = Measure("error rate", error_share(in_characters(dataset.items)), better="lower")
        call = Call("transcribe", {"timestamps": "word"})
        parts.append(Part(name, dataset, call, (*measures(), errors)))
    return Plan("timestamps", VERSION, tuple(parts), tuple(absent))


def measures() -> tuple[Measure, ...]:
    """AAS in both forms, the match rate, and answers without readable times."""
    ms = {"unit": "ms", "scale": 1.0, "better": "lower"}
    return (
        Measure(SUM, _shift(1.0), **ms),  # type: ignore[arg-type]
        Measure(MEAN, _shift(0.5), **ms),  # type: ignore[arg-type]
        Measure(MATCHED, _matched),
        Measure("answers without readable times", _unread, better="lower"),
    )


def word_times(outcome: Outcome) -> AasResult | None:
    """The shifts of an outcome; None where there is no transcript."""
    if not isinstance(outcome.result, Transcript):
        return None
    truth = Transcript(outcome.item.reference or "", words=outcome.item.words)
    times: AasResult = Transcribe("word").score(outcome.result, truth).counts["times"]
    return times


def _shift(form: float) -> Callable[[Outcome], Share | None]:
    def share(outcome: Outcome) -> Share | None:
        found = word_times(outcome)
        if found is None or found.sum_ms is None:
            return None
        return form * found.sum_ms * found.matched, found.matched

    return share


def _matched(outcome: Outcome) -> Share | None:
    found = word_times(outcome)
    return None if found is None else (found.matched, found.references)


def _unread(outcome: Outcome) -> Share | None:
    found = word_times(outcome)
    return None if found is None else (found.parse_failures, 1)

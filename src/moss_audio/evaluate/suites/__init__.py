"""The suites, a file each: which test sets, asked how, measured by what.

Each has `VERSION`, raised when its questions change, and `plan(data)`, which finds the test sets
in a folder."""

from __future__ import annotations

from pathlib import Path

from moss_audio.errors import MossAudioError, require
from moss_audio.evaluate.loaders.files import DataError
from moss_audio.evaluate.plan import Plan
from moss_audio.evaluate.suites import asr, captions, general, nano, reasoning, timestamps
from moss_audio.metrics.judge import SpeechCaptionJudge

SUITES = {
    "nano": nano.plan,
    "general": general.plan,
    "asr": asr.plan,
    "timestamps": timestamps.plan,
    "captions": captions.plan,
    "reasoning": reasoning.plan,
}
_ERROR_RATES = ("nano", "asr", "timestamps")  # suites that compare words


def plan(name: str, data: Path, judge: SpeechCaptionJudge | None = None) -> Plan:
    """The suite `name` on the test sets in `data`; `judge` rates speakers' descriptions in the
    suite captions. Raises MossAudioError for an unknown suite, DataError where a set is not as it
    should be or none is there, MissingDependencyError for one without the extra that it needs."""
    if name not in SUITES:
        raise MossAudioError(f"unknown suite {name!r}: choose one of {', '.join(SUITES)}")
    if judge is not None and name != "captions":
        raise MossAudioError(f"suite {name!r} needs no judge: leave --judge-url out")
    if not data.is_dir():
        raise DataError(f"{data}: no such folder; name the folder of the test sets with --data")
    made = SUITES[name](data) if judge is None else captions.plan(data, judge)
    if not made.parts:
        reasons = "; ".join(f"{part}: {reason}" for part, reason in made.absent)
        raise DataError(f"{data}: nothing to measure for suite {name!r}: {reasons}")
    if name in _ERROR_RATES:  # told before an hour of questions, not behind it
        require("jiwer", "whisper_normalizer", extra="eval", purpose=f"suite {name!r}")
    return made

"""Speech recognition on any number of dimensions, each a folder in the data folder: a manifest, a
Kaldi data folder, LibriSpeech or AISHELL-1. The folder's name is the dimension's.

Text that is mostly Chinese, Japanese or Korean characters is measured in characters, other text
in words; the mean is the plain mean over dimensions, as in the paper's table of twelve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders import aishell1, librispeech, lists
from moss_audio.evaluate.loaders.files import set_folders
from moss_audio.evaluate.plan import Call, Mean, Measure, Outcome, Part, Plan, Share
from moss_audio.metrics.asr import counted_by_characters
from moss_audio.result import Transcript
from moss_audio.tasks.transcribe import Transcribe

VERSION = 1
RATE = "error rate"
# (whether a folder is one, its loader)
_LAYOUTS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Dataset]], ...] = (
    (aishell1.holds, aishell1.load),
    (librispeech.holds, librispeech.load),
    (lists.holds_kaldi, lists.load_kaldi),
    (lists.holds_list, lists.load_texts),
)


def plan(data: Path) -> Plan:
    """A part a dimension. Raises DataError."""
    parts, absent = [], []
    for name, path in set_folders(data, _is_set):
        dataset = next((load(path) for holds, load in _LAYOUTS if holds(path)), None)
        if dataset is None:
            absent.append((name, "holds no manifest, Kaldi folder, LibriSpeech or AISHELL-1"))
        else:
            parts.append(Part(name, dataset, Call("transcribe"), measures(dataset.items)))
    mean = Mean("mean of dimensions", tuple((part.name, RATE) for part in parts), RATE)
    return Plan("asr", VERSION, tuple(parts), tuple(absent), (mean,) if len(parts) > 1 else ())


def _is_set(data: Path) -> bool:
    """Whether a folder is one set itself. Archives unpacked side by side (`data_aishell`,
    `LibriSpeech`) are several."""
    return (
        lists.holds_kaldi(data)
        or lists.holds_list(data)
        or (data / aishell1.TRANSCRIPT).is_file()
        or any(any(data.glob(f"{depth}/*.trans.txt")) for depth in ("*/*", "*/*/*"))
    )


def measures(items: Sequence[Item]) -> tuple[Measure, ...]:
    """The error rate in characters or in words, whichever the set is counted in."""
    return (Measure(RATE, error_share(in_characters(items)), better="lower", grouped=True),)


def in_characters(items: Sequence[Item]) -> bool:
    """Whether a set's texts are mostly in a script that is counted by characters."""
    return counted_by_characters("".join(item.reference or "" for item in items))


def error_share(characters: bool = False) -> Callable[[Outcome], Share | None]:
    """Errors over reference words or characters, of normalised text."""

    def share(outcome: Outcome) -> Share | None:
        if not isinstance(outcome.result, Transcript) or outcome.item.reference is None:
            return None
        truth = Transcript(outcome.item.reference)
        counts = Transcribe().score(outcome.result, truth, characters=characters).counts["errors"]
        return counts.errors, counts.references

    return share

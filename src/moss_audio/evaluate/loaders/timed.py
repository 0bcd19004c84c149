"""Recordings with word times from a forced aligner: JSONL lines
`{"audio": ..., "words": [{"text": ..., "start": s, "end": s}, ...]}`."""

from __future__ import annotations

from pathlib import Path

from moss_audio.evaluate.item import Dataset
from moss_audio.evaluate.loaders.files import DataError, Row
from moss_audio.evaluate.loaders.manifest import base_item, entries, unique
from moss_audio.result import Word
from moss_audio.text import join_words


def holds(directory: Path) -> bool:
    """Whether a folder has a JSONL file."""
    return any(directory.glob("*.jsonl"))


def load(directory: Path) -> Dataset:
    """Items of all JSONL files in a folder. Raises DataError."""
    items = []
    for entry in entries(directory, sorted(directory.glob("*.jsonl"))):
        words = _words(Row(dict(entry.fields), entry.where))
        items.append(base_item(entry, words=words, reference=join_words([w.text for w in words])))
    unique(items, directory)
    return Dataset(directory.name, items, f"word times listed in {directory.name}")


def _words(row: Row) -> tuple[Word, ...]:
    words = row.need("words")
    if not isinstance(words, list) or not all(isinstance(w, dict) for w in words):
        raise DataError(f"{row.where}: 'words' must be a list of objects")
    found = []
    for number, values in enumerate(words):
        word = Row(values, f"{row.where}: words[{number}]")
        start, end = word.seconds("start"), word.seconds("end")
        if not 0 <= start <= end:
            raise DataError(f"{word.where}: start {start:g} and end {end:g} are no interval")
        found.append(Word(word.text("text", "word"), start, end))
    return tuple(found)

"""Lists of recordings over the one reader of lists, `moss_audio.recordings`: with texts (JSONL,
CSV, TSV or a Kaldi data folder), with word times, or with descriptions (JSONL).

A line may state `id`, `language`, `category`, `start` and `end` (seconds); recordings and texts go
by any name that `moss_audio.recordings.entry` knows. Paths are relative to the list's folder.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders.files import DataError, DataRow, folder, whole
from moss_audio.recordings.entry import TEXT_NAMES, Entry, is_remote
from moss_audio.recordings.kaldi import read_kaldi
from moss_audio.recordings.lists import read_list
from moss_audio.result import Word
from moss_audio.text import join_words

_SUFFIXES = (".jsonl", ".csv", ".tsv")


def _lists(directory: Path) -> list[Path]:
    """The lists in a folder."""
    return sorted(p for p in directory.iterdir() if p.suffix.lower() in _SUFFIXES)


def holds_list(directory: Path) -> bool:
    """Whether a folder has a list."""
    return bool(_lists(directory))


def holds_jsonl(directory: Path) -> bool:
    """Whether a folder has a JSONL file."""
    return any(directory.glob("*.jsonl"))


def holds_kaldi(directory: Path) -> bool:
    """Whether a folder is a Kaldi data folder."""
    return (directory / "wav.scp").is_file() and (directory / "text").is_file()


def load_kaldi(directory: Path) -> Dataset:
    """Utterances of a Kaldi data folder, `wav.scp` (files; commands are refused), `text` and
    perhaps `segments`, in the order of `text`. Raises DataError."""
    items = [_item(entry, reference=entry.text) for entry in whole(read_kaldi(directory))]
    if not items:
        raise DataError(f"{directory / 'text'}: is empty")
    return Dataset(items, f"Kaldi data folder {directory.name}")


def load_texts(directory: Path) -> Dataset:
    """Recordings with texts, of all lists in a folder. Raises DataError."""
    items = []
    for entry in _entries(directory, _lists(folder(directory))):
        items.append(_item(entry, reference=_row(entry).text(*TEXT_NAMES)))
    return _dataset(items, directory, "recordings")


def load_timed(directory: Path) -> Dataset:
    """Recordings with word times from a forced aligner, of all JSONL files in a folder: lines
    `{"audio": ..., "words": [{"text": ..., "start": s, "end": s}, ...]}`. Raises DataError."""
    items = []
    for entry in _entries(directory, sorted(directory.glob("*.jsonl"))):
        words = _words(_row(entry))
        items.append(_item(entry, words=words, reference=join_words([w.text for w in words])))
    return _dataset(items, directory, "word times")


def load_captions(directory: Path) -> Dataset:
    """Recordings with descriptions, of all lists in a folder: lines `{"audio": ..., "caption":
    ...}` with `"facts": ["dog|barking", ...]` (what must be named; `|` between equals) or, for
    speech, `"fields": {"gender": ..., "age": ..., ...}`. Raises DataError."""
    items = [_described(entry) for entry in _entries(directory, _lists(folder(directory)))]
    return _dataset(items, directory, "descriptions")


def _described(entry: Entry) -> Item:
    row = _row(entry)
    fields = row.get("fields") or {}
    if not isinstance(fields, dict):
        raise DataError(f"{row.where}: 'fields' must be an object, got {fields!r:.60}")
    caption = row.get("caption", "text")
    facts = row.texts("facts") if row.get("facts") is not None else ()
    if not (caption or fields or facts):
        raise DataError(f"{row.where}: none of 'caption', 'facts' and 'fields' is there")
    pairs = tuple((str(key), str(value)) for key, value in fields.items())
    return _item(entry, reference=caption, facts=facts, fields=pairs)


def _words(row: DataRow) -> tuple[Word, ...]:
    words = row.need("words")
    if not isinstance(words, list) or not all(isinstance(w, dict) for w in words):
        raise DataError(f"{row.where}: 'words' must be a list of objects")
    found = []
    for number, values in enumerate(words):
        word = DataRow(values, f"{row.where}: words[{number}]")
        start, end = word.seconds("start"), word.seconds("end")
        if not 0 <= start <= end:
            raise DataError(f"{word.where}: start {start:g} and end {end:g} are no interval")
        found.append(Word(word.text("text", "word"), start, end))
    return tuple(found)


def _entries(directory: Path, found: list[Path]) -> list[Entry]:
    if not found:
        raise DataError(f"{directory}: holds no list ({', '.join(_SUFFIXES)})")
    read = [entry for path in found for entry in whole(read_list(path))]
    if not read:
        raise DataError(f"{found[0]}: is empty")
    return read


def _row(entry: Entry) -> DataRow:
    return DataRow(dict(entry.fields), entry.where)


def _item(entry: Entry, **given: Any) -> Item:
    """An item with what every kind of list may state."""
    clip = entry.clip
    if not isinstance(clip.audio, str) or is_remote(clip.audio):
        raise DataError(f"{entry.where}: {clip.name[:60]!r} is no file here; download it first")
    name = entry.id
    if name is None:
        name = clip.name if clip.start_s is None else f"{clip.name}@{clip.start_s:g}"
    sound = replace(clip, name=clip.name.removeprefix("./"))
    category = str(_row(entry).get("category", "dataset") or "")
    return Item(id=name, audio=(sound,), category=category, **given)


def _dataset(items: list[Item], directory: Path, what: str) -> Dataset:
    name, count = Counter(item.id for item in items).most_common(1)[0]
    if count > 1:
        raise DataError(f"{directory}: {count} items have the id {name!r}; give each its own 'id'")
    return Dataset(items, f"{what} listed in {directory.name}")

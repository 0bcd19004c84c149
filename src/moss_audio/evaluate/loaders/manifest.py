"""A list of recordings with texts: JSONL (`{"audio": ..., "text": ...}` a line) or CSV/TSV with
such columns, under any name that `moss_audio.recordings.entry` knows; `id`, `language`, `category`,
`start` and `end` (seconds) may be there. Paths are relative to the list's folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from moss_audio.evaluate.item import Dataset, Item, SoundFile
from moss_audio.evaluate.loaders.files import DataError, Row, folder, whole
from moss_audio.recordings.entry import TEXT_NAMES, Entry, is_remote
from moss_audio.recordings.lists import read_list

SUFFIXES = (".jsonl", ".csv", ".tsv")


def lists(directory: Path) -> list[Path]:
    """The lists in a folder."""
    return sorted(p for p in directory.iterdir() if p.suffix.lower() in SUFFIXES)


def holds(directory: Path) -> bool:
    """Whether a folder has such a list."""
    return bool(lists(directory))


def entries(directory: Path, found: list[Path]) -> list[Entry]:
    """Recordings of these lists of a folder. Raises DataError if there is none."""
    if not found:
        raise DataError(f"{directory}: holds no list ({', '.join(SUFFIXES)})")
    read = [entry for path in found for entry in whole(read_list(path))]
    if not read:
        raise DataError(f"{found[0]}: is empty")
    return read


def load(directory: Path) -> Dataset:
    """Items of all lists in a folder. Raises DataError."""
    items = [
        base_item(entry, reference=Row(dict(entry.fields), entry.where).text(*TEXT_NAMES))
        for entry in entries(directory, lists(folder(directory)))
    ]
    unique(items, directory)
    return Dataset(directory.name, items, f"recordings listed in {directory.name}")


def base_item(entry: Entry, **given: object) -> Item:
    """An item with what every kind of list may state. Raises DataError."""
    clip, row = entry.clip, Row(dict(entry.fields), entry.where)
    if not isinstance(clip.audio, str) or is_remote(clip.audio):
        raise DataError(f"{entry.where}: {clip.name[:60]!r} is no file here; download it first")
    name = entry.id
    if name is None:
        name = clip.name if clip.start_s is None else f"{clip.name}@{clip.start_s:g}"
    relative = clip.name.removeprefix("./")
    values = {
        "id": name,
        "audio": (SoundFile(Path(clip.audio), relative, clip.start_s, clip.end_s),),
        "language": row.get("language", "lang"),
        "category": str(row.get("category", "dataset") or ""),
        "row": row.values,
    }
    return Item(**{**values, **given})  # type: ignore[arg-type]


def unique(items: list[Item], directory: Path) -> None:
    """Raises DataError where two items have the same id."""
    name, count = Counter(item.id for item in items).most_common(1)[0]
    if count > 1:
        raise DataError(f"{directory}: {count} items have the id {name!r}; give each its own 'id'")

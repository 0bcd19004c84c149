"""Recordings with descriptions: JSONL lines `{"audio": ..., "caption": ...}`, with
`"facts": ["dog|barking", ...]` (what must be named; `|` between equals), or, for speech,
`"fields": {"gender": ..., "age": ..., ...}`."""

from __future__ import annotations

from pathlib import Path

from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders.files import DataError, Row, folder
from moss_audio.evaluate.loaders.manifest import base_item, entries, lists, unique
from moss_audio.recordings.entry import Entry


def holds(directory: Path) -> bool:
    """Whether a folder has a JSONL file."""
    return any(directory.glob("*.jsonl"))


def load(directory: Path) -> Dataset:
    """Items of all lists in a folder. Raises DataError."""
    items = [_item(entry) for entry in entries(directory, lists(folder(directory)))]
    unique(items, directory)
    return Dataset(directory.name, items, f"descriptions listed in {directory.name}")


def _item(entry: Entry) -> Item:
    row = Row(dict(entry.fields), entry.where)
    fields = row.get("fields") or {}
    if not isinstance(fields, dict):
        raise DataError(f"{row.where}: 'fields' must be an object, got {fields!r:.60}")
    caption = row.get("caption", "text")
    facts = row.texts("facts") if row.get("facts") is not None else ()
    if not (caption or fields or facts):
        raise DataError(f"{row.where}: none of 'caption', 'facts' and 'fields' is there")
    return base_item(
        entry,
        reference=caption,
        facts=facts,
        fields=tuple((str(k), str(v)) for k, v in fields.items()),
    )

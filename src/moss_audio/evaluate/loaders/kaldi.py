"""A Kaldi data folder: `wav.scp` (files; commands are refused), `text`, and perhaps `segments`."""

from __future__ import annotations

from pathlib import Path

from moss_audio.evaluate.item import Dataset
from moss_audio.evaluate.loaders.files import DataError, whole
from moss_audio.evaluate.loaders.manifest import base_item
from moss_audio.recordings.kaldi import read_kaldi


def holds(directory: Path) -> bool:
    """Whether a folder is one."""
    return (directory / "wav.scp").is_file() and (directory / "text").is_file()


def load(directory: Path) -> Dataset:
    """Utterances in the order of `text`. Raises DataError."""
    items = [base_item(entry, reference=entry.text) for entry in whole(read_kaldi(directory))]
    if not items:
        raise DataError(f"{directory / 'text'}: is empty")
    return Dataset(directory.name, items, f"Kaldi data folder {directory.name}")

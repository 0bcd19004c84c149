"""LibriSpeech: `<subset>/<speaker>/<chapter>/<id>.flac` beside `<speaker>-<chapter>.trans.txt`."""

from __future__ import annotations

from pathlib import Path

from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders.files import (
    DataError,
    any_below,
    below,
    folder,
    sound_file,
    spoken_lines,
)

_LISTS = ".trans.txt"


def holds(directory: Path) -> bool:
    """Whether there are transcripts of this layout below a folder."""
    return any_below(directory, _LISTS)


def load(directory: Path) -> Dataset:
    """All recordings below a folder, by subset (`test-clean`...). Raises DataError."""
    lists = below(folder(directory), _LISTS)
    if not lists:
        raise DataError(f"{directory}: holds no .trans.txt; unpack a subset of LibriSpeech there")
    items = []
    for path in lists:
        chapter = path.parent
        subset = chapter.parent.parent.name
        for name, words in spoken_lines(path):
            flac = (chapter / f"{name}.flac").relative_to(directory)
            sound = sound_file(directory, flac.as_posix())
            items.append(Item(id=name, audio=(sound,), reference=words, category=subset))
    subsets = ", ".join(sorted({item.category for item in items}))
    return Dataset(items, f"LibriSpeech, {subsets}")

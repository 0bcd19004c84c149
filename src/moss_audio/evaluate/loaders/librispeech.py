"""LibriSpeech: `<subset>/<speaker>/<chapter>/<id>.flac` beside `<speaker>-<chapter>.trans.txt`."""

from __future__ import annotations

from pathlib import Path

from moss_audio.evaluate.item import Dataset, Item, SoundFile
from moss_audio.evaluate.loaders.files import DataError, any_below, below, folder, lines

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
        for where, line in lines(path):
            name, _, text = line.strip().partition(" ")
            if not text.strip():
                raise DataError(f"{where}: an id and its words are expected, got {line[:60]!r}")
            flac = chapter / f"{name}.flac"
            items.append(
                Item(
                    id=name,
                    audio=(SoundFile(flac, flac.relative_to(directory).as_posix()),),
                    reference=text.strip(),
                    language="en",
                    category=subset,
                )
            )
    subsets = ", ".join(sorted({item.category for item in items}))
    return Dataset("librispeech", items, f"LibriSpeech, {subsets}")

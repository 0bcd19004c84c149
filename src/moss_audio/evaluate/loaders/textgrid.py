"""Word times in Praat TextGrids, as the Montreal Forced Aligner writes them: beside each recording
or in a tree of their own (`aligned/`, `textgrids/`) with the same relative names.

The word tier is the one called `words`, or `<speaker> - words`; several speakers are merged.
Empty intervals and the aligner's marks for silence are no words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moss_audio.errors import MissingDependencyError
from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders.files import DataError, any_below, below, folder, sound_file
from moss_audio.result import Word
from moss_audio.text import join_words

SUFFIX = ".TextGrid"
TREES = ("aligned", "textgrid", "textgrids", "TextGrid", "TextGrids")
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")
_NO_WORDS = frozenset(("", "<eps>", "sil", "sp", "spn", "<sil>", "<unk>", "<spn>"))


def holds(directory: Path) -> bool:
    """Whether there are TextGrids below a folder."""
    return any_below(directory, SUFFIX.lower())


def holds_here(directory: Path) -> bool:
    """Whether TextGrids are in a folder itself or in a tree of its own for them: a folder of sets
    has them further down."""
    return any(holds(directory / tree) for tree in TREES if (directory / tree).is_dir()) or any(
        directory.glob(f"*{SUFFIX}")
    )


def load(directory: Path) -> Dataset:
    """A recording for each TextGrid below a folder. Raises DataError; MissingDependencyError
    without praatio."""
    grids = below(folder(directory), SUFFIX.lower())
    if not grids:
        raise DataError(f"{directory}: holds no {SUFFIX}; run a forced aligner first")
    recordings: dict[str, list[Path]] = {}
    for path in below(directory, *AUDIO_SUFFIXES):
        recordings.setdefault(path.stem, []).append(path)
    items = [_item(grid, directory, recordings) for grid in grids]
    return Dataset(items, f"word times of TextGrids in {directory.name}")


def _item(grid: Path, directory: Path, recordings: dict[str, list[Path]]) -> Item:
    found = recordings.get(grid.stem, [])
    beside = [path for path in found if path.parent == grid.parent]
    # A tree of grids mirrors that of the recordings: the last folder tells equal names apart.
    mirrored = [path for path in found if path.parent.name == grid.parent.name]
    chosen = beside or mirrored or found
    if len(chosen) != 1:
        many = f"several recordings ({chosen[0]}, {chosen[1]})" if chosen else "no recording"
        raise DataError(f"{grid}: {many} of that name; each grid needs one")
    words = read_words(grid)
    name = chosen[0].relative_to(directory).as_posix()
    return Item(
        id=str(Path(name).with_suffix("")),
        audio=(sound_file(directory, name),),
        reference=join_words([word.text for word in words]),
        words=words,
    )


def read_words(path: Path) -> tuple[Word, ...]:
    """The words of a TextGrid by start. Raises DataError if it has no word tier."""
    try:
        from praatio import textgrid
        from praatio.utilities import errors
    except ImportError as error:
        raise MissingDependencyError("praatio", "eval", f"reading {path.name}") from error
    try:
        grid: Any = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    except (errors.PraatioException, ValueError, IndexError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: cannot be read as a TextGrid ({reason})") from error
    names = [n for n in grid.tierNames if n.lower() == "words" or n.lower().endswith("- words")]
    if not names:
        raise DataError(f"{path}: no tier 'words'; there are: {', '.join(grid.tierNames)}")
    words = [
        Word(entry.label.strip(), float(entry.start), float(entry.end))
        for name in names
        for entry in grid.getTier(name).entries
        if entry.label.strip().lower() not in _NO_WORDS
    ]
    return tuple(sorted(words, key=lambda word: (word.start, word.end)))

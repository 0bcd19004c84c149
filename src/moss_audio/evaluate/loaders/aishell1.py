"""AISHELL-1 (arXiv 1709.05522): `data_aishell/wav/<split>/<speaker>/<id>.wav` and
`data_aishell/transcript/aishell_transcript_v0.8.txt`, whose words are set apart by spaces."""

from __future__ import annotations

from pathlib import Path

from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders.files import DataError, below, first_of, sound_file, spoken_lines

TRANSCRIPT = Path("transcript/aishell_transcript_v0.8.txt")


def holds(directory: Path) -> bool:
    """Whether a folder is the corpus, or holds its `data_aishell`."""
    return any((root / TRANSCRIPT).is_file() for root in (directory, directory / "data_aishell"))


def load(directory: Path, split: str = "test") -> Dataset:
    """Recordings of a split that have a transcript. Raises DataError."""
    root = directory if (directory / "wav").is_dir() else directory / "data_aishell"
    path = first_of(root, (str(TRANSCRIPT),))
    texts = {name: "".join(words.split()) for name, words in spoken_lines(path)}
    found = below(root / "wav" / split, ".wav")
    if not found:
        raise DataError(f"{root / 'wav' / split}: holds no .wav; unpack the speakers' archives")
    items = [
        Item(
            id=wav.stem,
            audio=(sound_file(root, wav.relative_to(root).as_posix()),),
            reference=texts[wav.stem],
            category=wav.parent.name,
        )
        for wav in found
        if wav.stem in texts
    ]
    if not items:
        raise DataError(f"{path}: has no line for any recording in wav/{split}")
    without = len(found) - len(items)
    notes = (f"{without} recordings without a transcript are left out",) if without else ()
    return Dataset(items, f"AISHELL-1, split {split}", notes)

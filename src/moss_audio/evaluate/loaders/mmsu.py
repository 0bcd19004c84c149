"""MMSU (arXiv 2506.04779): one JSONL file or parquet files (5000 items). Recordings are files
(`audio_path`) or cells of the parquet column `audio`."""

from __future__ import annotations

from pathlib import Path

from moss_audio.evaluate.item import Dataset, Item, Sound
from moss_audio.evaluate.loaders.files import (
    DataError,
    ParquetSound,
    Row,
    arrow_rows,
    folder,
    jsonl_rows,
    parquet_rows,
    sound_file,
)

LETTERS = "ABCD"
_AUDIO = "audio"


def load(directory: Path) -> Dataset:
    """Items by `category`. Raises DataError, MissingDependencyError for parquet without pyarrow."""
    folder(directory)
    tables = sorted([*directory.glob("*.parquet"), *directory.glob("data/*.parquet")])
    written = sorted([*directory.glob("*.jsonl"), *directory.glob("*/*.jsonl")])
    if written:
        if len(written) > 1:
            names = ", ".join(path.name for path in written[:4])
            raise DataError(f"{directory}: holds several JSONL files ({names}); leave one")
        items = [_item(row, (_file(row, directory),)) for row in jsonl_rows(written[0])]
    elif tables:
        items = [item for path in tables for item in _from_parquet(path, directory)]
    else:
        raise DataError(f"{directory}: holds no .jsonl and no .parquet; unpack MMSU there")
    return Dataset("mmsu", items, "MMSU: multiple choice with four letters")


def _from_parquet(path: Path, directory: Path) -> list[Item]:
    rows = parquet_rows(path, without=[_AUDIO])
    if rows and rows[0].get("audio_path") is not None:
        return [_item(row, (_file(row, directory),)) for row in rows]
    table = arrow_rows(path)
    return [_item(row, (ParquetSound(table, _AUDIO, i),)) for i, row in enumerate(rows)]


def _file(row: Row, directory: Path) -> Sound:
    return sound_file(directory, row.text("audio_path"))


def _item(row: Row, audio: tuple[Sound, ...]) -> Item:
    choices = tuple(str(row.need(f"choice_{letter.lower()}")) for letter in LETTERS)
    answer = row.text("answer_gt").strip()
    if answer not in choices and answer in LETTERS and len(answer) == 1:
        answer = choices[LETTERS.index(answer)]
    if answer not in choices:
        raise DataError(f"{row.where}: 'answer_gt' is {answer!r}, which is none of the choices")
    return Item(
        id=row.text("id"),
        audio=audio,
        question=row.text("question"),
        choices=choices,
        reference=answer,
        category=row.text("category"),
        row=row.values,
    )

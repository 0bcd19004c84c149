"""Multiple choice: MMAU, MMAU-Pro, MMAR and MMSU, each as it is published."""

from __future__ import annotations

from pathlib import Path

from moss_audio.evaluate.item import Dataset, Item, Sound
from moss_audio.evaluate.loaders.files import (
    DataError,
    DataRow,
    ParquetSound,
    first_of,
    folder,
    parquet_rows,
    rows_of,
    sound_file,
)
from moss_audio.recordings.parquet import ArrowRows
from moss_audio.recordings.tables import read_json_list, read_objects

_MMSU_LETTERS = "ABCD"
_MMSU_AUDIO = "audio"


def load_mmau(directory: Path) -> Dataset:
    """MMAU v05.15.25 (arXiv 2410.19168) by `task`: `mmau-test-mini.json` (1000 items) or
    `mmau-test.json` (9000 items, whose answers are not published), with the recordings where
    `audio_id` points. Raises DataError."""
    path = first_of(directory, ("mmau-test-mini.json", "mmau-test.json"))
    rows = rows_of(read_json_list(path))
    items = [_item(row, directory, "audio_id", "task", hidden=True) for row in rows]
    return Dataset(items, f"MMAU v05.15.25, {path.name}: multiple choice")


def load_mmar(directory: Path) -> Dataset:
    """MMAR (arXiv 2505.13032) by `modality`, such as `mix-sound-speech`: `MMAR-meta.json` (1000
    items) with the recordings in `audio/`. Raises DataError."""
    path = first_of(directory, ("MMAR-meta.json", "MMAR.json"))
    rows = rows_of(read_json_list(path))
    items = [_item(row, directory, "audio_path", "modality") for row in rows]
    return Dataset(items, f"MMAR, {path.name}: multiple choice")


def _item(row: DataRow, root: Path, audio: str, category: str, *, hidden: bool = False) -> Item:
    """An item of either; with `hidden` its answer may be missing."""
    return Item(
        id=row.text("id"),
        audio=(sound_file(root, row.text(audio)),),
        question=row.text("question"),
        choices=row.texts("choices"),
        reference=(row.get("answer") or None) if hidden else row.text("answer"),
        category=row.text(category),
    )


def load_mmau_pro(directory: Path) -> Dataset:
    """MMAU-Pro (arXiv 2508.13992) by `category`: `test.parquet` (5305 items) beside the extracted
    `data/`. An item may have several recordings; those without choices are open questions or
    instructions to follow, which multiple-choice scoring leaves out.

    Raises DataError, MissingDependencyError without pyarrow.
    """
    rows = parquet_rows(first_of(directory, ("test.parquet",)))
    items = [_mmau_pro_item(row, number, directory) for number, row in enumerate(rows)]
    closed = [item for item in items if item.choices]
    notes: tuple[str, ...] = ()
    if len(closed) < len(items):
        notes = (f"{len(items) - len(closed)} items without choices (open questions and "
                 "instruction following) are left out",)  # fmt: skip
    return Dataset(closed, "MMAU-Pro, test.parquet: multiple choice", notes)


def _mmau_pro_item(row: DataRow, number: int, directory: Path) -> Item:
    paths = row.need("audio_path")
    names = (paths,) if isinstance(paths, str) else row.texts("audio_path")
    if not names:
        raise DataError(f"{row.where}: 'audio_path' is empty")
    return Item(
        id=str(row.get("id", "unique_id") or number),
        audio=tuple(sound_file(directory, name) for name in names),
        question=row.text("question"),
        choices=row.texts("choices") if row.get("choices") is not None else (),
        reference=row.text("answer"),
        category=row.text("category"),
    )


def load_mmsu(directory: Path) -> Dataset:
    """MMSU (arXiv 2506.04779) by `category`: one JSONL file or parquet files (5000 items).
    Recordings are files (`audio_path`) or cells of the parquet column `audio`.

    Raises DataError, MissingDependencyError for parquet without pyarrow.
    """
    folder(directory)
    tables = sorted([*directory.glob("*.parquet"), *directory.glob("data/*.parquet")])
    written = sorted([*directory.glob("*.jsonl"), *directory.glob("*/*.jsonl")])
    if len(written) > 1:
        names = ", ".join(path.name for path in written[:4])
        raise DataError(f"{directory}: holds several JSONL files ({names}); leave one")
    if written:
        items = [_mmsu_item(row, directory) for row in rows_of(read_objects(written[0]))]
    elif tables:
        items = [item for path in tables for item in _mmsu_table(path, directory)]
    else:
        raise DataError(f"{directory}: holds no .jsonl and no .parquet; unpack MMSU there")
    return Dataset(items, "MMSU: multiple choice with four letters")


def _mmsu_table(path: Path, directory: Path) -> list[Item]:
    rows = parquet_rows(path, without=[_MMSU_AUDIO])
    if rows and rows[0].get("audio_path") is not None:
        return [_mmsu_item(row, directory) for row in rows]
    table = ArrowRows(path, extra="eval")
    return [
        _mmsu_item(row, directory, ParquetSound(table, _MMSU_AUDIO, i))
        for i, row in enumerate(rows)
    ]


def _mmsu_item(row: DataRow, directory: Path, sound: Sound | None = None) -> Item:
    sound = sound or sound_file(directory, row.text("audio_path"))
    choices = tuple(str(row.need(f"choice_{letter.lower()}")) for letter in _MMSU_LETTERS)
    answer = row.text("answer_gt").strip()
    if answer not in choices and answer in _MMSU_LETTERS and len(answer) == 1:
        answer = choices[_MMSU_LETTERS.index(answer)]
    if answer not in choices:
        raise DataError(f"{row.where}: 'answer_gt' is {answer!r}, which is none of the choices")
    return Item(
        id=row.text("id"),
        audio=(sound,),
        question=row.text("question"),
        choices=choices,
        reference=answer,
        category=row.text("category"),
    )

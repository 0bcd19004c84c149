"""Reading the files that test sets come in, with one clear line for what is wrong in them.

A list with a line that cannot be used is refused: what is left of a test set is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from moss_audio.errors import AudioError, MossAudioError
from moss_audio.recordings import Audio, load_audio
from moss_audio.recordings.entry import Clip, Unread
from moss_audio.recordings.folders import files_below
from moss_audio.recordings.parquet import ArrowRows
from moss_audio.recordings.tables import Record, read_lines

T = TypeVar("T")


class DataError(MossAudioError):
    """A test set that is not as its layout says."""


@dataclass(frozen=True)
class DataRow:
    """A record of a file; `where` names it in messages."""

    values: dict[str, Any]
    where: str

    def get(self, *names: str) -> Any:
        """The first of several fields that is there and not null, else None."""
        for name in names:
            if self.values.get(name) is not None:
                return self.values[name]
        return None

    def need(self, *names: str) -> Any:
        """As `get`, raising DataError where there is none."""
        value = self.get(*names)
        if value is None:
            there = ", ".join(map(str, self.values)) or "nothing"
            raise DataError(f"{self.where}: no field {names[0]!r}; there are: {there}")
        return value

    def text(self, *names: str) -> str:
        """A field of text. Raises DataError if it is missing, of another type, or no Unicode."""
        value = self.need(*names)
        if not isinstance(value, str):
            raise DataError(f"{self.where}: {names[0]!r} must be text, got {value!r:.60}")
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise DataError(f"{self.where}: {names[0]!r} holds a lone surrogate, {value!r:.60}")
        return value

    def texts(self, *names: str) -> tuple[str, ...]:
        """A field that is a list of texts (numbers become text: choices may be numbers)."""
        value = self.need(*names)
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise DataError(f"{self.where}: {names[0]!r} must be a list, got {value!r:.60}")
        return tuple(str(entry) for entry in value)

    def seconds(self, name: str) -> float:
        """A field of seconds. Raises DataError if it is missing or no number."""
        value = self.need(name)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise DataError(f"{self.where}: {name!r} must be seconds, got {value!r:.60}") from None


def folder(path: Path) -> Path:
    """`path`, raising DataError unless it is a folder."""
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; unpack the test set there")
    return path


def set_folders(data: Path, is_set: Callable[[Path], bool]) -> list[tuple[str, Path]]:
    """(name, folder) of the test sets: the folder itself if it is one, else the folders in it.
    Raises DataError if there is none."""
    if is_set(data):
        return [(data.resolve().name, data)]
    found = sorted(p for p in data.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not found:
        raise DataError(f"{data}: holds no test set; a folder for each is expected")
    return [(path.name, path) for path in found]


def first_of(directory: Path, names: Sequence[str]) -> Path:
    """The first file or folder of `names` that exists. Raises DataError naming them."""
    folder(directory)
    for name in names:
        if (directory / name).exists():
            return directory / name
    raise DataError(f"{directory}: holds none of {', '.join(names)}; unpack the test set there")


def below(directory: Path, *suffixes: str) -> list[Path]:
    """The files in a folder and its subfolders whose names end so. Raises DataError if one of the
    folders cannot be listed."""
    return sorted(map(Path, whole(files_below(directory, suffixes))))


def any_below(directory: Path, suffix: str) -> bool:
    """Whether `below` finds anything."""
    return any(isinstance(found, str) for found in files_below(directory, (suffix,)))


def whole(read: Iterable[T | Unread]) -> Iterator[T]:
    """All that was read. Raises DataError at what could not be."""
    for one in read:
        if isinstance(one, Unread):
            raise DataError(str(one))
        yield one


def spoken_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(id, words) of lines `<id> <words>`."""
    for line in whole(read_lines(path)):
        name, _, words = line.text.strip().partition(" ")
        if not words.strip():
            where = f"{path}:{line.number}"
            raise DataError(f"{where}: an id and its words are expected, got {line.text[:60]!r}")
        yield name, words.strip()


def rows_of(records: Iterable[Record | Unread]) -> list[DataRow]:
    """The records of a file."""
    return [DataRow(record.fields, record.where) for record in whole(records)]


def sound_file(root: Path, name: str) -> Clip:
    """A recording by its path in the set; published paths may begin with `./`."""
    relative = name.removeprefix("./")
    return Clip(str(root / relative), name=relative)


def parquet_rows(path: Path, without: Sequence[str] = ()) -> list[DataRow]:
    """Records of a parquet file but for the columns `without`. Raises MossAudioError if it is none,
    MissingDependencyError without pyarrow."""
    table = ArrowRows(path, extra="eval")
    names = [name for name in table.names if name not in without]
    return [DataRow(row, f"{path}[{i}]") for i, row in enumerate(whole(table.rows(names)))]


@dataclass(frozen=True, eq=False)
class ParquetSound:
    """An encoded recording (`{bytes, path}`) inside a parquet file."""

    table: ArrowRows
    column: str
    row: int

    @property
    def identity(self) -> str:
        """File, its size and the row."""
        path = self.table.path
        return f"{path.name}:{path.stat().st_size}:{self.row}"

    def load(self) -> Audio:
        """The samples. Raises AudioError naming file and row."""
        where = f"{self.table.path}[{self.row}]"
        value = self.table.row(self.row, [self.column])[self.column]
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes) or not data:
            raise AudioError(f"{where}: column {self.column!r} holds no recording")
        try:
            return load_audio(data)
        except AudioError as error:
            raise AudioError(f"{where}: {error}") from error

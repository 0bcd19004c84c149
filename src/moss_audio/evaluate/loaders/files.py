"""Reading the files that test sets come in, with one clear line for what is wrong in them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moss_audio.errors import AudioError, MissingDependencyError, MossAudioError
from moss_audio.evaluate.item import SoundFile
from moss_audio.recordings import Audio, load_audio


class DataError(MossAudioError):
    """A test set that is not as its layout says."""


@dataclass(frozen=True)
class Row:
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
        """A field of text. Raises DataError if it is missing or of another type."""
        value = self.need(*names)
        if not isinstance(value, str):
            raise DataError(f"{self.where}: {names[0]!r} must be text, got {value!r:.60}")
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


def first_of(directory: Path, names: Sequence[str]) -> Path:
    """The first file or folder of `names` that exists. Raises DataError naming them."""
    folder(directory)
    for name in names:
        if (directory / name).exists():
            return directory / name
    raise DataError(f"{directory}: holds none of {', '.join(names)}; unpack the test set there")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; unpack the test set there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error})") from error


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """(where, line) of the lines that are not blank."""
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            yield f"{path}:{number}", line.strip("\r")


def json_rows(path: Path) -> list[Row]:
    """Records of a JSON file that is a list of objects."""
    try:
        data = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg})") from error
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise DataError(f"{path}: must be a list of objects")
    return [Row(row, f"{path}[{i}]") for i, row in enumerate(data)]


def jsonl_rows(path: Path) -> list[Row]:
    """Records of a file with one JSON object a line."""
    rows = []
    for where, line in lines(path):
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: not JSON ({error.msg})") from error
        if not isinstance(data, dict):
            raise DataError(f"{where}: must be an object, got {type(data).__name__}")
        rows.append(Row(data, where))
    return rows


def csv_rows(path: Path) -> list[Row]:
    """Records of a CSV or (.tsv) tab-separated file with a header."""
    tabs = path.suffix.lower() == ".tsv"
    reader = csv.DictReader(
        _text(path).splitlines(),
        delimiter="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
    )
    # A field that is empty is missing; what has no heading was cut apart by a stray comma.
    rows = []
    for number, values in enumerate(reader, 2):
        if None in values:
            raise DataError(f"{path}:{number}: more fields than the header; quote the commas")
        rows.append(Row({k: v for k, v in values.items() if v}, f"{path}:{number}"))
    return rows


def sound_file(root: Path, name: str, start: float | None = None, end: float | None = None) -> Any:
    """A recording by its path in the set; published paths may begin with `./`."""
    relative = name.removeprefix("./")
    return SoundFile(root / relative, relative, start, end)


# ---------------------------------------------------------------------------------- parquet


def parquet_rows(path: Path, without: Sequence[str] = ()) -> list[Row]:
    """Records of a parquet file but for the columns `without`. Raises DataError if it is none,
    MissingDependencyError without pyarrow."""
    file = _open_parquet(path)
    names = [name for name in file.schema_arrow.names if name not in without]
    table = file.read(columns=names)
    return [Row(row, f"{path}[{i}]") for i, row in enumerate(table.to_pylist())]


def _open_parquet(path: Path) -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "eval", f"reading {path.name}") from error
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as parquet ({error})") from error


class ParquetColumn:
    """A column of encoded recordings (`{bytes, path}`), read a row group at a time.

    The last group stays in memory: items are asked for in order.
    """

    def __init__(self, path: Path, column: str) -> None:
        self.path = path
        self._column = column
        self._file = _open_parquet(path)
        self._group = -1
        self._rows: list[Any] = []
        metadata = self._file.metadata
        counts = [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)]
        self._places = [(g, i) for g, count in enumerate(counts) for i in range(count)]

    def cell(self, row: int) -> bytes:
        """The encoded recording of a row. Raises AudioError if there is none."""
        group, at = self._places[row]
        if group != self._group:
            table = self._file.read_row_group(group, columns=[self._column])
            self._rows, self._group = table.column(0).to_pylist(), group
        value = self._rows[at]
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes) or not data:
            raise AudioError(f"{self.path}[{row}]: column {self._column!r} holds no recording")
        return data


@dataclass(frozen=True, eq=False)
class ParquetSound:
    """A recording inside a parquet file."""

    column: ParquetColumn
    row: int

    @property
    def identity(self) -> str:
        """File, its size and the row."""
        return f"{self.column.path.name}:{self.column.path.stat().st_size}:{self.row}"

    @property
    def duration_s(self) -> float | None:
        """Unknown without reading it."""
        return None

    def load(self) -> Audio:
        """The samples. Raises AudioError naming file and row."""
        data = self.column.cell(self.row)
        try:
            return load_audio(data)
        except AudioError as error:
            raise AudioError(f"{self.column.path}[{self.row}]: {error}") from error

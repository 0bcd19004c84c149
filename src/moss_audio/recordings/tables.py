"""Lines, tables and JSON lists -> records with their place. CSV is quoted as in RFC 4180; in TSV a
tab ends a cell and a line end a row, whatever quotation marks there are."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from moss_audio.errors import MossAudioError
from moss_audio.recordings.entry import Unread

_MARK = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
TAB_SUFFIXES = (".tsv", ".tab")


class Line(NamedTuple):
    """A line of text without its end. `number` counts from 1, `offset` is in bytes."""

    number: int
    offset: int
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a table, or an object of a JSON list, with its place in the file."""

    fields: dict[str, Any]
    where: str
    number: int  # of the line, or of the object in a list, from 1
    offset: int | None = None  # in bytes, of a JSON line: `record_at` reads it again


def read_records(path: Path | str) -> Iterator[Record | Unread]:
    """Records of a table (.csv; .tsv and .tab by tabs), of JSON lines, or of a .json list.

    Raises MossAudioError if there is no such file, or none of text.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".csv" or suffix in TAB_SUFFIXES:
        return _rows(path, suffix in TAB_SUFFIXES)
    if suffix == ".json" and _begins_list(path):
        return read_json_list(path)
    return read_objects(path)


def read_lines(path: Path) -> Iterator[Line | Unread]:
    """The lines of a text file (perhaps .gz) that are not blank. Raises MossAudioError."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            offset = 0
            for number, raw in enumerate(file, 1):
                begin, offset = offset, offset + len(raw)
                if not begin:
                    raw = _unmarked(raw, path)
                if raw.strip():
                    try:
                        yield Line(number, begin, raw.decode("utf-8").rstrip("\r\n"))
                    except UnicodeDecodeError:
                        yield Unread(f"{path}:{number}", "not UTF-8")
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from None


def record_at(path: Path, offset: int) -> dict[str, Any]:
    """The fields of the JSON line that begins at `offset`. Raises MossAudioError."""
    with path.open("rb") as file:
        file.seek(offset)
        raw = file.readline()
    return _object(_unmarked(raw, path) if not offset else raw)


def read_json_list(path: Path) -> Iterator[Record | Unread]:
    """The objects of a JSON file that is a list of them. Raises MossAudioError."""
    try:
        data = parse_json(_unmarked(path.read_bytes(), path))
    except OSError as error:
        raise _unreadable(path, error) from None
    except json.JSONDecodeError as error:
        raise MossAudioError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
    except ValueError as error:
        raise MossAudioError(f"{path}: {error}") from None
    if not isinstance(data, list):
        raise MossAudioError(f"{path}: must be a list of objects")
    for index, fields in enumerate(data):
        where = f"{path}[{index}]"
        if isinstance(fields, dict):
            yield Record(fields, where, index + 1)
        else:
            yield Unread(where, f"must be an object, not {type(fields).__name__}")


def parse_json(text: str | bytes) -> Any:
    """`json.loads` for what comes from outside: NaN becomes None, and what is infinite, nested too
    deep or not UTF-8 raises ValueError."""
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError:
        raise MossAudioError("nested too deep") from None
    except UnicodeDecodeError:
        raise MossAudioError("not UTF-8") from None


def _constant(name: str) -> None:
    if name != "NaN":
        raise MossAudioError(f"holds {name}, which is no number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise MossAudioError(f"holds {digits[:40]}, which is too large for a number")
    return number


# Made once: `json.loads` with these arguments would build one a line.
_DECODER = json.JSONDecoder(parse_constant=_constant, parse_float=_finite)


def _object(raw: str | bytes) -> dict[str, Any]:
    try:
        data = parse_json(raw)
    except MossAudioError:
        raise
    except ValueError as error:
        raise MossAudioError(f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise MossAudioError(f"not an object but {type(data).__name__}")
    return data


def read_objects(path: Path) -> Iterator[Record | Unread]:
    """The objects of a file with one a line (perhaps .gz). Raises MossAudioError."""
    for line in read_lines(path):
        if isinstance(line, Unread):
            yield line
            continue
        where = f"{path}:{line.number}"
        try:
            yield Record(_object(line.text), where, line.number, line.offset)
        except MossAudioError as error:
            yield Unread(where, str(error))


def _begins_list(path: Path) -> bool:
    """Whether a .json file is a list; the manifests of NeMo are JSON lines under that name."""
    first = next(read_lines(path), None)
    return isinstance(first, Line) and first.text.lstrip().startswith("[")


# ------------------------------------------------------------------------------------- tables


def _rows(path: Path, tabs: bool) -> Iterator[Record | Unread]:
    header: list[str] | None = None
    file = str(path)
    for row in _tab_cells(path) if tabs else _comma_cells(path):
        if isinstance(row, Unread):
            if header is None:
                raise MossAudioError(str(row))
            yield row
            continue
        number, cells = row
        where = f"{file}:{number}"
        if header is None:
            header = cells
        elif len(cells) == len(header):
            yield Record(dict(zip(header, cells, strict=True)), where, number)
        elif any(cells):
            more = "; cells that hold commas need quotation marks" if not tabs else ""
            reason = f"as many cells as the header has are needed: {len(header)}, not {len(cells)}"
            yield Unread(where, reason + more)


def _tab_cells(path: Path) -> Iterator[tuple[int, list[str]] | Unread]:
    for line in read_lines(path):
        yield line if isinstance(line, Unread) else (line.number, line.text.split("\t"))


def _comma_cells(path: Path) -> Iterator[tuple[int, list[str]] | Unread]:
    try:
        with path.open("rb") as start:
            _unmarked(start.read(3), path)
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)
            while True:
                number = reader.line_num + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Unread(f"{path}:{number}", f"not a row of a table ({error})")
                    continue
                if all(map(_is_utf8, cells)):
                    if any(cells):
                        yield number, cells
                else:
                    yield Unread(f"{path}:{number}", "not UTF-8")
    except OSError as error:
        raise _unreadable(path, error) from None


def _is_utf8(text: str) -> bool:
    """Whether a text that was decoded with `surrogateescape` was UTF-8."""
    return text.isascii() or not any("\udc80" <= char <= "\udcff" for char in text)


def _unmarked(raw: bytes, path: Path) -> bytes:
    if raw.startswith(_UTF16):
        raise MossAudioError(f"{path}: is UTF-16; save it as UTF-8")
    return raw.removeprefix(_MARK)


def _unreadable(path: Path, error: Exception) -> MossAudioError:
    if isinstance(error, FileNotFoundError):
        return MossAudioError(f"{path}: no such file")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return MossAudioError(f"{path}: cannot be read ({reason})")

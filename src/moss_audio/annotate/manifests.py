"""Lists of recordings: JSONL with `audio`, CSV or TSV with a column `audio`, and `wav.scp`.

Relative paths are looked up beside the list. All other fields travel along as provenance. A bad
line is set aside and the rest is read.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moss_audio.annotate.aside import Aside
from moss_audio.errors import MossAudioError

SUFFIXES = (".jsonl", ".csv", ".tsv", ".scp")
BAD_LINE = "bad line of a manifest"

Row = tuple[str, dict[str, Any]]  # path of the recording, provenance


def rows(path: str) -> Iterator[Row | Aside]:
    """The recordings of a list, in order. Raises MossAudioError if it is no list at all."""
    readers = {".jsonl": _jsonl, ".csv": _table, ".tsv": _table, ".scp": _scp}
    folder = Path(path).parent
    try:
        for number, found in readers[Path(path).suffix.lower()](path):
            if isinstance(found, str):
                yield Aside(path, BAD_LINE, f"line {number}: {found}")
            else:
                audio, provenance = found
                yield os.path.abspath(folder / audio), provenance
    except UnicodeDecodeError as error:
        raise MossAudioError("not text in UTF-8") from error
    except csv.Error as error:
        raise MossAudioError(f"not a table: {error}") from error


def _jsonl(path: str) -> Iterator[tuple[int, Row | str]]:
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _json_row(line)


def _json_row(line: str) -> Row | str:
    try:
        data = json.loads(line)
    except ValueError:
        return "not JSON"
    if not isinstance(data, dict):
        return f"not an object but {type(data).__name__}"
    audio = data.pop("audio", None)
    if not isinstance(audio, str) or not audio:
        return "no text under 'audio'"
    return audio, data


def _table(path: str) -> Iterator[tuple[int, Row | str]]:
    delimiter = "\t" if path.lower().endswith(".tsv") else ","
    with open(path, encoding="utf-8", newline="") as lines:
        table = csv.DictReader(lines, delimiter=delimiter)
        if "audio" not in (table.fieldnames or ()):
            raise MossAudioError("has no column 'audio' in its first line")
        for row in table:
            if row["audio"]:
                provenance = {k: v for k, v in row.items() if k and k != "audio" and v}
                yield table.line_num, (row["audio"], provenance)
            else:
                yield table.line_num, "nothing under 'audio'"


def _scp(path: str) -> Iterator[tuple[int, Row | str]]:
    """`ID PATH` lines. A command (`... |`) would have to be run, so it is refused."""
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            name, _, audio = line.strip().partition(" ")
            audio = audio.strip()
            if not audio:
                yield number, "not 'ID PATH'"
            elif audio.endswith("|"):
                yield number, "a command is not run; name a file"
            else:
                yield number, (audio, {"id": name})

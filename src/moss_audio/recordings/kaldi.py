"""Kaldi's data folders: wav.scp and text, and if there are any segments, utt2dur and utt2spk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from moss_audio.errors import MossAudioError
from moss_audio.recordings.entry import Clip, Entry, Unread, resolved, seconds
from moss_audio.recordings.tables import read_lines

_BLANK = re.compile(r"[ \t]+")


class _Row(NamedTuple):
    where: str
    key: str
    rest: str


def read_kaldi(folder: Path) -> Iterator[Entry | Unread]:
    """The utterances of a data folder in the order of `text`, with `speaker` and `duration` among
    the fields where the folder tells them. Commands in wav.scp are never run.

    Raises MossAudioError if `wav.scp` or `text` is missing.
    """
    tables: dict[str, dict[str, _Row]] = {}
    for name in ("wav.scp", "segments", "utt2dur", "utt2spk"):
        path = folder / name
        if path.is_file() or name == "wav.scp":
            rows = list(_rows(path))
            tables[name] = {row.key: row for row in rows if isinstance(row, _Row)}
            yield from (row for row in rows if isinstance(row, Unread))
    for row in _rows(folder / "text"):
        if isinstance(row, Unread):
            yield row
            continue
        clip = _utterance(row, tables, folder)
        if isinstance(clip, Unread):
            yield clip
            continue
        fields: dict[str, Any] = {"text": row.rest}
        for name, table in (("duration", "utt2dur"), ("speaker", "utt2spk")):
            if row.key in tables.get(table, {}):
                fields[name] = tables[table][row.key].rest
        yield Entry(clip, row.where, row.key, row.rest, fields)


def read_scp(path: Path) -> Iterator[Entry | Unread]:
    """The recordings of a wav.scp alone. Raises MossAudioError."""
    for row in _rows(path):
        clip = _clip(row, path.parent) if isinstance(row, _Row) else row
        if isinstance(clip, Unread) or isinstance(row, Unread):
            yield clip  # type: ignore[misc]
        else:
            yield Entry(clip, row.where, row.key, None, {"id": row.key})


def _rows(path: Path) -> Iterator[_Row | Unread]:
    """First word of a line, and the rest of it. A key that comes again is unread."""
    if not path.is_file():
        raise MossAudioError(f"{path}: missing in a Kaldi data folder")
    first: dict[str, int] = {}
    for line in read_lines(path):
        if isinstance(line, Unread):
            yield line
            continue
        where = f"{path}:{line.number}"
        key, *rest = _BLANK.split(line.text.strip(" \t"), maxsplit=1)
        if key in first:
            yield Unread(where, f"{key!r} is listed twice, first in line {first[key]}")
        else:
            first[key] = line.number
            yield _Row(where, key, rest[0] if rest else "")


def _clip(row: _Row, folder: Path) -> Clip | Unread:
    if not row.rest:
        return Unread(row.where, "not 'ID PATH'")
    if row.rest.endswith("|"):
        return Unread(row.where, "a command is never run; convert its output to a file")
    try:
        return Clip(resolved(row.rest, folder), name=row.rest)
    except MossAudioError as error:
        return Unread(row.where, str(error))


def _utterance(row: _Row, tables: dict[str, dict[str, _Row]], folder: Path) -> Clip | Unread:
    recording, start_s, end_s = row.key, None, None
    if "segments" in tables:
        cut = tables["segments"].get(row.key)
        if cut is None:
            return Unread(row.where, f"{row.key!r} has no line in segments")
        try:
            recording, start_s, end_s = _segment(cut.rest)
        except MossAudioError as error:
            return Unread(cut.where, str(error))
    named = tables["wav.scp"].get(recording)
    if named is None:
        return Unread(row.where, f"{recording!r} is not in wav.scp")
    clip = _clip(named, folder)
    return clip if isinstance(clip, Unread) else Clip(clip.audio, start_s, end_s, clip.name)


def _segment(rest: str) -> tuple[str, float | None, float | None]:
    """Recording, start and end, None for an end of -1: to the end of the recording."""
    parts = rest.split()
    if len(parts) == 4:
        raise MossAudioError("names a channel; write the channel to a file of its own")
    if len(parts) != 3:
        raise MossAudioError("expected <utterance> <recording> <start> <end>")
    start_s = seconds(parts[1], "start")
    if re.fullmatch(r"-1(\.0*)?", parts[2]):
        return parts[0], start_s, None
    end_s = seconds(parts[2], "end")
    if start_s is None or end_s is None or end_s <= start_s:
        raise MossAudioError(f"ends at {parts[2]}, not after its start")
    return parts[0], start_s, end_s

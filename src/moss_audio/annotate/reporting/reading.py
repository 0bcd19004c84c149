"""What a finished annotation folder holds, one record at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moss_audio.annotate.records import Segment
from moss_audio.errors import MossAudioError

SEGMENTS, ASIDE = "segments", "aside"


def read_segments(out: Path) -> Iterator[Segment]:
    """The segments of `segments.jsonl` or, without it, of `segments/*.jsonl` by name.

    Raises:
        MossAudioError: for a folder without either, and for a line that is no segment.
    """
    if not out.is_dir():
        raise MossAudioError(f"{out}: no such folder; name the output folder of an annotation run")
    files = _files(out, SEGMENTS)
    if not files:
        raise MossAudioError(
            f"{out}: neither {SEGMENTS}.jsonl nor {SEGMENTS}/*.jsonl is there; "
            "finish the annotation run first"
        )
    for file in files:
        for number, row in _rows(file):
            try:
                yield Segment.from_dict(row)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise MossAudioError(
                    f"{file}:{number}: not an annotated segment ({error}); run annotate again"
                ) from error


def read_aside(out: Path) -> Iterator[dict[str, Any]]:
    """Rows `{"path", "reason"}` of what was set aside; none if nothing was."""
    return _side(out, ASIDE)


def read_timing(out: Path) -> Iterator[dict[str, Any]]:
    """Rows `{"step", "audio_s", "wall_s"}`, one a shard and step, of what the work took; none once
    the work folder is deleted."""
    for file in sorted((out / "work" / "stats").glob("*/*.json")):
        for _, row in _rows(file):
            yield {**row, "step": file.parent.name}


def _side(out: Path, name: str) -> Iterator[dict[str, Any]]:
    for file in _files(out, name):
        for _, row in _rows(file):
            yield row


def _files(out: Path, name: str) -> list[Path]:
    """One file, or else the shards of a folder."""
    whole = out / f"{name}.jsonl"
    return [whole] if whole.is_file() else sorted((out / name).glob("*.jsonl"))


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise MossAudioError(
                    f"{file}:{number}: not JSON ({error}); run annotate again"
                ) from error
            if not isinstance(row, dict):
                raise MossAudioError(f"{file}:{number}: not a JSON object; run annotate again")
            yield number, row

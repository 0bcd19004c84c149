"""What a finished annotation folder holds, one record at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moss_audio.annotate.records import AudioSegment
from moss_audio.errors import MossAudioError


def read_segments(out: Path) -> Iterator[AudioSegment]:
    """The segments of `segments.jsonl` or, without it, of `segments/*.jsonl` by name.

    Raises:
        MossAudioError: for a folder without either, and for a line that is no segment.
    """
    if not out.is_dir():
        raise MossAudioError(f"{out}: no such folder; name the output folder of an annotation run")
    whole = out / "segments.jsonl"
    files = [whole] if whole.is_file() else sorted((out / "segments").glob("*.jsonl"))
    if not files:
        raise MossAudioError(
            f"{out}: neither segments.jsonl nor segments/*.jsonl is there; "
            "finish the annotation run first"
        )
    for file in files:
        for number, row in _rows(file):
            try:
                yield AudioSegment.from_dict(row)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise MossAudioError(
                    f"{file}:{number}: not an annotated segment ({error}); run annotate again"
                ) from error


def read_aside(out: Path) -> Iterator[dict[str, Any]]:
    """Rows `{"path", "reason"}` of what was set aside; none if nothing was."""
    file = out / "aside.jsonl"
    return (row for _, row in _rows(file)) if file.is_file() else iter(())


def read_timing(out: Path) -> Iterator[dict[str, Any]]:
    """Rows `{"step", "audio_s", "wall_s"}`, one a shard and step, of what the work took; none once
    the work folder is deleted."""
    for file in sorted((out / "work" / "stats").glob("*/*.json")):
        for _, row in _rows(file):
            yield {**row, "step": file.parent.name}


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line) if line.strip() else None
            except ValueError as error:
                raise MossAudioError(
                    f"{file}:{number}: not JSON ({error}); run annotate again"
                ) from error
            if not isinstance(row, dict | None):
                raise MossAudioError(f"{file}:{number}: not a JSON object; run annotate again")
            if row is not None:
                yield number, row

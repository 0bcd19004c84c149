"""Answers on disk: one JSON line each, appended as soon as it is there.

A line is used again only under the same key, which covers the model, the suite, the prompt and the
recording. A run that was killed leaves at most a torn last line, which is passed over. What failed
is written down, but tried again by the next run.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moss_audio.errors import MossAudioError
from moss_audio.result import Result, result_from_dict

FILE = "answers.jsonl"


@dataclass(frozen=True)
class Stored:
    """An answer; `seconds` of audio it is about."""

    result: Result
    seconds: float


class AnswerFile:
    """The answers of a folder."""

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if fresh:
                self.path.unlink(missing_ok=True)
            self._found = read_answers(folder)
            self._file = self.path.open("ab")
            if self._torn():
                self._file.write(b"\n")
        except OSError as error:
            raise self._unwritable(error, "choose a folder with --out") from error

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # `add` has said what could not be written
            self._file.close()

    def get(self, key: str) -> Stored | None:
        """What was answered under a key; None if nothing was, or it failed."""
        return self._found.get(key)

    def add(
        self, key: str, about: Mapping[str, Any], answer: Result | MossAudioError, seconds: float
    ) -> None:
        """Put an answer or a failure on the disk. `about` is for the reader: part, id, prompt.

        Raises:
            MossAudioError: if the disk refuses it.
        """
        line: dict[str, Any] = {"key": key, **about, "seconds": round(seconds, 4)}
        if isinstance(answer, MossAudioError):
            line["error"] = " ".join(str(answer).split())
        else:
            line["result"] = answer.to_dict()
            self._found[key] = Stored(answer, seconds)
        text = json.dumps(line, ensure_ascii=False) + "\n"
        try:
            self._file.write(text.encode("utf-8", "replace"))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            remedy = "once there is room, the same command resumes"
            raise self._unwritable(error, remedy) from error

    def _unwritable(self, error: OSError, remedy: str) -> MossAudioError:
        return MossAudioError(f"{self.path}: cannot be written ({error.strerror}); {remedy}")

    def _torn(self) -> bool:
        if self.path.stat().st_size == 0:
            return False
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"


def read_answers(folder: Path) -> dict[str, Stored]:
    """The answers in a folder by their keys; none where there is no such file."""
    found: dict[str, Stored] = {}
    path = folder / FILE
    if not path.exists():
        return found
    with path.open("rb") as file:
        for line in file:
            try:
                data = json.loads(line)
                if "result" in data:
                    result = result_from_dict(data["result"])
                    found[data["key"]] = Stored(result, float(data["seconds"]))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # torn by a kill, or by another hand: that answer is asked again
    return found

"""What a list says of one recording, whatever its format: an `Entry`, or an `Unread` line.

One set of rules for all lists, and for all who read them:

- Text is UTF-8, with or without a byte order mark; lines end with LF or CRLF and with nothing else.
- A relative path is looked up beside the list, `~` is a home folder, URLs stay as they are.
- The recording, its id and its text may go by any of the names below.
- A part is `start` and `end` in seconds, or NeMo's `offset` and `duration`; without an end (Kaldi:
  -1) it goes to the end of the recording.
- NaN, as pandas writes what is missing, is nothing; an infinite number makes a line unreadable.

A line that cannot be used is handed over as `Unread`, and reading continues: training counts it,
annotation sets it aside, evaluation refuses the list.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.files import MEDIA_SUFFIXES
from moss_audio.recordings.audio import Audio, load_audio
from moss_audio.recordings.names import is_data_uri

# Names of the field that holds a recording. The second group also stands in lists of documents,
# where only a value with the suffix of a media file is taken for a recording.
_AUDIO_ONLY = (
    "audio", "audio_filepath", "audio_path", "audio_file", "audio_url", "wav", "wav_path",
    "wav_filename",
)  # fmt: skip
_ANY_FILE = ("path", "file", "file_name", "filename", "file_path", "filepath")
AUDIO_NAMES = (*_AUDIO_ONLY, *_ANY_FILE)
TEXT_NAMES = ("text", "sentence", "transcript", "transcription", "normalized_text", "txt")
_ID_NAMES = ("id", "utt_id", "key")
# Names of the recording inside an object, such as `{"audio": {"path": ..., "start": ...}}`.
_INSIDE = (*_AUDIO_ONLY, "url", *_ANY_FILE)


@dataclass(frozen=True)
class Unread:
    """What could not be read: where it stands (`list.csv:3`), and why."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording, or its seconds `start_s` to `end_s` (None: from its beginning, to its end).

    `audio` is what `load_audio` takes, or a `TarMember`, which opens as such. `name` is the path
    or URL as the list writes it.
    """

    audio: Any
    start_s: float | None = None
    end_s: float | None = None
    name: str = ""

    @property
    def identity(self) -> str:
        """Name, size and part of a file, the same on every machine: another recording under an old
        name is noticed by its size."""
        try:
            size = os.path.getsize(self.audio)
        except OSError:
            size = -1
        return f"{self.name}:{size}:{self.start_s}:{self.end_s}"

    def load(self) -> Audio:
        """The samples. Raises AudioError naming the file."""
        return load_audio(self.audio, start=self.start_s, end=self.end_s)


@dataclass(frozen=True)
class Entry:
    """A recording that a list names.

    Attributes:
        clip: the recording or a part of it. Whether the file is there has not been looked at.
        where: the place in the list, for messages: `list.csv:3`.
        id: as the list gives it, None where it gives none.
        text: what is said in it, None where the list does not tell; not checked.
        fields: everything that the list says, by the list's own names.
        named_by: the name of the field that names the recording; empty where there is none.
    """

    clip: Clip
    where: str
    id: str | None = None
    text: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    named_by: str = ""


def entry_of(
    fields: Mapping[str, Any],
    where: str,
    folder: Path | str,
    columns: Mapping[str, str] | None = None,
) -> Entry:
    """The entry that a row of a table or an object of a JSON list stands for.

    Args:
        fields: name -> value.
        where: the place of the row.
        folder: where relative paths are looked up.
        columns: part (`audio`, `text`, `id`) -> the name that it goes by here.

    Raises:
        MossAudioError: it names no recording, or a part of one that cannot be.
    """
    chosen = columns or {}
    name = chosen.get("audio") or audio_field(fields, any_file=True)
    if name is None:
        raise MossAudioError(f"names no recording: there is none of {', '.join(AUDIO_NAMES)}")
    clip = read_clip(fields.get(name), folder, name)
    start_s, end_s = _part(fields)
    if start_s is not None or end_s is not None:
        clip = Clip(clip.audio, start_s, end_s, clip.name)
    text = _first(fields, (chosen["text"],) if "text" in chosen else TEXT_NAMES)
    id = _first(fields, (chosen["id"],) if "id" in chosen else _ID_NAMES)
    return Entry(
        clip,
        where,
        None if id in (None, "") else str(id),
        text if isinstance(text, str) else None,
        fields,
        name,
    )


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first of the fields that is neither missing nor empty; else an empty one; else None."""
    given = [fields[name] for name in names if fields.get(name) is not None]
    return next((value for value in given if value != ""), given[0] if given else None)


def audio_field(fields: Mapping[str, Any], any_file: bool = False) -> str | None:
    """The name under which `fields` hold a recording; None if they hold none.

    `any_file`: a field such as `path` names a recording whatever the file is called.
    """
    for name in AUDIO_NAMES:
        value = fields.get(name)
        if value is None or (isinstance(value, str) and not value):
            continue
        if name in _AUDIO_ONLY or any_file or is_media(value):
            return name
    # Named, but empty: still no document without audio.
    return next((name for name in _AUDIO_ONLY if name in fields), None)


def is_media(value: Any) -> bool:
    """Whether a value is the name of a media file, by its suffix."""
    return isinstance(value, str) and os.path.splitext(value)[1].lower() in MEDIA_SUFFIXES


def read_clip(value: Any, folder: Path | str, name: str = "audio") -> Clip:
    """A clip from what a list gives for it: a path, a URL, or an object with one of these or with
    `bytes`, or with `array` and `sampling_rate`, and perhaps `start` and `end`.

    Raises MossAudioError, which names the field `name`.
    """
    times: Mapping[str, Any] = {}
    while isinstance(value, Mapping):
        if "start" in value or "end" in value:
            times = value
        if value.get("bytes"):
            value = value["bytes"]
        elif value.get("array") is not None:
            value = (np.asarray(value["array"], np.float32), int(value["sampling_rate"]))
        else:
            value = next((value[n] for n in _INSIDE if value.get(n)), None)
    start_s, end_s = _part(times)
    if isinstance(value, bytes | tuple):
        return Clip(value, start_s, end_s)
    if not isinstance(value, str) or not value:
        raise MossAudioError(f"{name!r} names no path or URL")
    return Clip(resolved(value, folder), start_s, end_s, value)


def resolved(text: str, folder: Path | str) -> str:
    """A path as a list in `folder` writes it, or a URL, which stays as it is.

    Raises MossAudioError for what no file can be called.
    """
    if is_remote(text):
        return text
    path = os.path.join(folder, os.path.expanduser(text))
    try:
        if b"\0" in os.fsencode(path):
            raise MossAudioError(f"{text!r}: no file name holds a NUL character")
    except UnicodeEncodeError:
        raise MossAudioError(f"{text!r}: no file name holds a lone surrogate") from None
    return path


def is_remote(text: str) -> bool:
    """Whether a text is a URL or a data URI, not a path."""
    return "://" in text or is_data_uri(text)


def _part(fields: Mapping[str, Any]) -> tuple[float | None, float | None]:
    if "start" not in fields and "end" not in fields and "offset" not in fields:
        return None, None
    start_s, end_s = seconds(fields.get("start"), "start"), seconds(fields.get("end"), "end")
    if start_s is None and end_s is None:
        start_s = seconds(fields.get("offset"), "offset")
        length_s = None if start_s is None else seconds(fields.get("duration"), "duration")
        end_s = None if length_s is None else (start_s or 0.0) + length_s
    if end_s is not None and end_s <= (start_s or 0.0):
        raise MossAudioError(f"the part ends at {end_s:g} s, not after its start")
    return start_s, end_s


def seconds(value: Any, name: str) -> float | None:
    """A time or length in seconds, None if not given. Raises MossAudioError."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise MossAudioError(f"{name} is {value!r}, not seconds")
    return number

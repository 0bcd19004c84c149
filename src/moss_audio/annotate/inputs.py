"""What the arguments name: files, folders, patterns, lists, tar shards -> input files.

Only names and sizes are looked at; nothing is decoded here. Order is that of the arguments, then
of the names, so that the same arguments give the same list.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moss_audio.annotate.records import Aside
from moss_audio.errors import MossAudioError
from moss_audio.recordings.entry import Entry, Unread, is_remote
from moss_audio.recordings.folders import FileKey, find_files
from moss_audio.recordings.lists import LIST_SUFFIXES, read_list
from moss_audio.recordings.tars import TAR_SUFFIXES, TarMember

NOT_READABLE = "not readable as input"
BAD_LINE = "bad line of a manifest"


@dataclass(frozen=True)
class InputFile:
    """A file, or a member of a tar, that should hold a recording. Equal ones are equal work: a
    file that was changed (its size or time) is another one."""

    path: str  # absolute
    size: int
    mtime_ns: int
    member: str | None = None
    offset: int = 0  # of the member's bytes in the tar
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For messages."""
        return self.path if self.member is None else f"{self.path}:{self.member}"

    def open(self) -> Any:
        """What the audio loader takes."""
        if self.member is None:
            return self.path
        return TarMember(self.path, self.member, self.offset, self.size).open()


@dataclass(frozen=True)
class Listing:
    """Input files in order, without repeats, and the inputs that name none."""

    entries: tuple[InputFile, ...]
    asides: tuple[Aside, ...]


def list_inputs(arguments: Sequence[str], without: Path | None = None) -> Listing:
    """All recordings behind the arguments.

    Args:
        arguments: files, folders (with their subfolders), patterns, lists (see
            `moss_audio.recordings.lists`) and uncompressed tar shards, which folders are searched
            for, too.
        without: a folder that is passed over: the output's own.
    """
    entries: dict[Any, InputFile] = {}
    asides: list[Aside] = []
    key = FileKey()
    for argument in arguments:
        for found in _resolve(argument, without):
            if isinstance(found, Aside):
                asides.append(found)
            else:
                entries.setdefault((key(found.path), found.member), found)
    return Listing(tuple(entries.values()), tuple(asides))


def _resolve(argument: str, without: Path | None) -> Iterator[InputFile | Aside]:
    if is_remote(argument) and not os.path.lexists(argument):
        yield Aside(argument, NOT_READABLE, "is no file here; download it first")
        return
    for found in find_files(argument, (".tar",), without):
        if isinstance(found, Unread):
            yield Aside(os.path.abspath(found.where), NOT_READABLE, found.reason)
        else:
            yield from _file(os.path.abspath(found.path), {})


def _file(path: str, about: Mapping[str, Any]) -> Iterator[InputFile | Aside]:
    """A recording, or all those of a list or tar; `about` is their provenance so far."""
    if path.lower().endswith((*LIST_SUFFIXES, *TAR_SUFFIXES)):
        yield from _list(path, about)
        return
    try:
        status = os.stat(path)
    except OSError as error:
        reason = "not found" if isinstance(error, FileNotFoundError) else NOT_READABLE
        yield Aside(path, reason, error.strerror or str(error))
        return
    if stat.S_ISREG(status.st_mode):
        yield InputFile(path, status.st_size, status.st_mtime_ns, provenance=about)
    else:
        yield Aside(path, NOT_READABLE, "neither a file nor a folder")


def _list(path: str, about: Mapping[str, Any]) -> Iterator[InputFile | Aside]:
    try:
        for found in read_list(path):
            if isinstance(found, Unread):
                yield _unread(found, path)
            else:
                yield from _listed(found, path, about)
    except MossAudioError as error:
        yield Aside(path, NOT_READABLE, str(error).removeprefix(f"{path}: "))
    except OSError as error:
        yield Aside(path, NOT_READABLE, error.strerror or str(error))


def _unread(unread: Unread, path: str) -> Aside:
    """A line or member that cannot be used, by the path of the list or tar."""
    place = unread.where.removeprefix(path).removeprefix(":")
    if not path.lower().endswith(LIST_SUFFIXES):
        return Aside(path, NOT_READABLE, unread.reason, place or None)
    line = f"line {place}" if place.isdigit() else place
    return Aside(path, BAD_LINE, f"{line}: {unread.reason}")


def _listed(entry: Entry, path: str, about: Mapping[str, Any]) -> Iterator[InputFile | Aside]:
    audio = entry.clip.audio
    provenance = {**about, **{k: v for k, v in entry.fields.items() if k != entry.named_by}}
    if isinstance(audio, TarMember):
        at_ns = os.stat(audio.path).st_mtime_ns
        yield InputFile(audio.path, audio.size, at_ns, audio.name, audio.offset, provenance)
    elif is_remote(audio):
        yield Aside(audio, NOT_READABLE, f"named in {path}: is no file here; download it first")
    elif audio.lower().endswith(LIST_SUFFIXES):
        yield Aside(os.path.abspath(audio), NOT_READABLE, f"a list named in {path}")
    else:
        yield from _file(os.path.abspath(audio), provenance)

"""What the arguments stand for: files, folders, patterns, manifests, tar shards -> entries.

Only names and sizes are looked at; nothing is decoded here. Order is that of the arguments, then
of the names, so that the same arguments give the same list.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from moss_audio.annotate import manifests, tars
from moss_audio.annotate.aside import Aside
from moss_audio.errors import MossAudioError
from moss_audio.files import MEDIA_SUFFIXES

_URLS = ("http://", "https://", "data:")


@dataclass(frozen=True)
class Entry:
    """A file, or a member of a tar, that should hold a recording. Equal entries are equal work:
    a file that was changed (its size or time) is another entry."""

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

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def open(self) -> Any:
        """What the audio loader takes."""
        if self.member is None:
            return self.path
        return tars.Member(self.path, self.offset, self.size, self.name)


@dataclass(frozen=True)
class Listing:
    """Entries in order, none twice, and what stands for none."""

    entries: tuple[Entry, ...]
    asides: tuple[Aside, ...]


def list_inputs(arguments: Sequence[str], without: Path | None = None) -> Listing:
    """All entries behind the arguments.

    Args:
        arguments: files, folders (with their subfolders), patterns, manifests (`.jsonl`, `.csv`,
            `.tsv`, `.scp`) and uncompressed tar shards, which folders are searched for, too.
        without: a folder that is passed over: the output's own.
    """
    entries: dict[tuple[str, str | None], Entry] = {}
    asides: list[Aside] = []
    for argument in arguments:
        try:
            for found in _resolve(argument, without):
                if isinstance(found, Aside):
                    asides.append(found)
                else:
                    entries.setdefault((found.path, found.member), found)
        except MossAudioError as error:
            asides.append(Aside(argument, "not readable as input", str(error)))
        except OSError as error:
            asides.append(Aside(argument, "not readable as input", error.strerror or str(error)))
    return Listing(tuple(entries.values()), tuple(asides))


def _resolve(argument: str, without: Path | None) -> Iterator[Entry | Aside]:
    if argument.lower().startswith(_URLS):
        raise MossAudioError("is no file here; download it first")
    if os.path.isdir(argument):
        yield from _folder(argument, without)
    elif os.path.lexists(argument):
        yield from _file(argument, {})
    elif glob.has_magic(argument):
        matches = sorted(glob.glob(argument, recursive=True))
        if not matches:
            raise MossAudioError("no such file, and nothing matches it as a pattern")
        files = [match for match in matches if not os.path.isdir(match)]
        for match in files:
            yield from _file(match, {})
        if not files:  # a pattern that names folders means what is in them
            for match in matches:
                yield from _folder(match, without)
    else:
        raise MossAudioError("no such file; check the name")


def _folder(folder: str, without: Path | None) -> Iterator[Entry | Aside]:
    """Media files and tar shards of a folder and its subfolders, by name; hidden ones are not."""
    avoided = None if without is None else os.path.realpath(without)
    empty = True
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(parent, name)) != avoided
        )
        for name in sorted(files):
            suffix = os.path.splitext(name)[1].lower()
            if not name.startswith(".") and (suffix in MEDIA_SUFFIXES or suffix == ".tar"):
                empty = False
                yield from _file(os.path.join(parent, name), {})
    for error in unreadable:
        yield Aside(str(error.filename), "not readable as input", error.strerror or str(error))
    if empty and not unreadable:
        yield Aside(folder, "not readable as input", "no recordings in this folder")


def _file(path: str, provenance: Mapping[str, Any]) -> Iterator[Entry | Aside]:
    suffix = os.path.splitext(path)[1].lower()
    absolute = os.path.abspath(path)
    try:
        status = os.stat(absolute)
        if not stat.S_ISREG(status.st_mode):
            yield Aside(path, "not readable as input", "neither a file nor a folder")
        elif suffix in manifests.SUFFIXES:
            yield from _manifest(absolute)
        elif suffix in tars.SUFFIXES:
            members, problem = tars.members(absolute)
            if problem is not None:
                yield Aside(path, "not readable as input", problem)
            for member in members:
                yield Entry(
                    absolute,
                    member.size,
                    status.st_mtime_ns,
                    member.name,
                    member.offset,
                    {**provenance, **member.provenance},
                )
        else:
            yield Entry(absolute, status.st_size, status.st_mtime_ns, provenance=provenance)
    except OSError as error:
        reason = "not found" if isinstance(error, FileNotFoundError) else "not readable as input"
        yield Aside(path, reason, error.strerror or str(error))
    except MossAudioError as error:
        yield Aside(path, "not readable as input", str(error))


def _manifest(path: str) -> Iterator[Entry | Aside]:
    for row in manifests.rows(path):
        if isinstance(row, Aside):
            yield row
            continue
        audio, provenance = row
        if os.path.splitext(audio)[1].lower() in manifests.SUFFIXES:
            yield Aside(audio, "not readable as input", f"a manifest named in {path}")
        else:
            yield from _file(audio, provenance)

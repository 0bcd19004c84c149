"""Folders and patterns -> the files that they stand for. Links to folders are followed; a folder is
gone through once, by whatever way it is reached, so that a link to one above makes no loop."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import PurePath
from typing import NamedTuple

from moss_audio.files import MEDIA_SUFFIXES
from moss_audio.recordings.entry import Unread


class FoundFile(NamedTuple):
    """A file, and the folder below which its place is worth keeping in the names of outputs."""

    path: str
    base: str


def find_files(
    argument: str,
    more_suffixes: Collection[str] = (),
    without: str | os.PathLike[str] | None = None,
) -> Iterator[FoundFile | Unread]:
    """The files behind an argument: a file (whatever it is called), a folder (its media files and
    those of its subfolders), or a pattern such as `'talks/*.mp3'`; one that matches folders alone
    means what is in them.

    Args:
        argument: a path or a pattern.
        more_suffixes: files to be picked up from folders besides media.
        without: a folder that is passed over.
    """
    suffixes = (*MEDIA_SUFFIXES, *more_suffixes)
    if os.path.isdir(argument):
        yield from _folder(argument, argument, suffixes, without)
    elif os.path.lexists(argument):
        yield FoundFile(argument, os.path.dirname(argument))
    elif glob.has_magic(argument):
        base, matches = _fixed_part(argument), _matches(argument)
        files = [match for match in matches if not os.path.isdir(match)]
        for match in files:
            yield FoundFile(match, base)
        if not files:
            for match in matches:
                yield from _folder(match, base, suffixes, without)
        if not matches:
            yield Unread(argument, "no such file, and nothing matches it as a pattern")
    else:
        yield Unread(argument, "no such file; check the name")


def files_below(
    folder: str | os.PathLike[str],
    suffixes: Collection[str],
    without: str | os.PathLike[str] | None = None,
) -> Iterator[str | Unread]:
    """Files of a folder and its subfolders, by name, hidden ones left out; those behind links to
    folders come last. A folder that cannot be listed is `Unread`.

    Args:
        suffixes: endings of the names, in lower case.
        without: a folder that is passed over.
    """
    wanted = tuple(suffixes)
    errors: list[OSError] = []
    for parent, names in _walk(os.fspath(folder), without, errors):
        for name in sorted(names):
            if not name.startswith(".") and name.lower().endswith(wanted):
                yield os.path.join(parent, name)
    for error in errors:
        reason = f"cannot be listed ({error.strerror}); check who may read it"
        yield Unread(str(error.filename), reason)


def _walk(
    folder: str, without: str | os.PathLike[str] | None, errors: list[OSError]
) -> Iterator[tuple[str, list[str]]]:
    """Each folder once, with the names of its files; those behind links last, hidden ones not."""
    seen = set() if without is None else {_identity(os.fspath(without))}
    waiting = [folder]
    while waiting:
        for parent, folders, names in os.walk(waiting.pop(0), onerror=errors.append):
            identity = _identity(parent)
            if identity in seen:
                folders.clear()
                continue
            seen.add(identity)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            paths = (os.path.join(parent, name) for name in folders)
            waiting += [path for path in paths if os.path.islink(path)]  # os.walk leaves them alone
            yield parent, names


class FileKey:
    """Path -> a key that is equal for two ways to the same file through links to folders; two links
    to one file stay two."""

    def __init__(self) -> None:
        self._real = cache(os.path.realpath)

    def __call__(self, path: str) -> tuple[str, str]:
        folder, name = os.path.split(os.path.abspath(path))
        return str(self._real(folder)), name


def _folder(
    folder: str, base: str, suffixes: Collection[str], without: str | os.PathLike[str] | None
) -> Iterator[FoundFile | Unread]:
    empty = True
    for found in files_below(folder, suffixes, without):
        empty = False
        yield found if isinstance(found, Unread) else FoundFile(found, base)
    if empty:
        yield Unread(
            folder,
            "no recordings in this folder; name the files if they have unusual extensions",
        )


def _identity(folder: str) -> tuple[int, int] | str:
    try:
        status = os.stat(folder)
    except OSError:
        return folder
    return status.st_dev, status.st_ino


def _fixed_part(pattern: str) -> str:
    """The folders of a pattern before the first that is one itself."""
    fixed: list[str] = []
    for part in PurePath(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return str(PurePath(*fixed)) if fixed else ""


def _matches(pattern: str) -> list[str]:
    """What matches, in order; of several ways to the same file (through links) the shortest."""
    key = FileKey()
    shortest: dict[tuple[str, str], str] = {}
    for match in _expanded(pattern):
        known = shortest.setdefault(key(match), match)
        if (len(match), match) < (len(known), known):
            shortest[key(match)] = match
    return sorted(shortest.values())


def _expanded(pattern: str) -> Iterator[str]:
    """`glob.glob(recursive=True)`, but `**` goes through each folder once: links that lead back up
    would have it go round for ever."""
    parts = pattern.split(os.sep)
    if "**" not in parts:
        yield from glob.glob(pattern)
        return
    at = parts.index("**")
    head = os.sep.join(parts[:at]) or (os.sep if at else os.curdir)
    rest = parts[at + 1 :] or ["*"]
    for top in glob.glob(head):
        for folder, _ in _walk(top, None, []):
            for match in _expanded(os.path.join(glob.escape(folder), *rest)):
                yield match if at else match.removeprefix(os.curdir + os.sep)

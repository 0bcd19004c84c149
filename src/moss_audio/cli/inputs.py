"""What FILE arguments stand for: files, folders, patterns, URLs and stdin, each with the name
that its outputs get."""

from __future__ import annotations

import glob
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from moss_audio.cli.render import writable
from moss_audio.errors import AudioError

if TYPE_CHECKING:
    from moss_audio.recordings.entry import Unread

STDIN = "-"
_URL = re.compile(r"^(https?://|file://|data:)", re.IGNORECASE)
_UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]+')
# Longer names are refused by file systems once an extension is added.
_STEM_CHARS, _STEM_BYTES = 120, 240


@dataclass(frozen=True)
class Input:
    """One recording to listen to.

    `name` is how it was given, for messages; `source` is what the loader takes (None: stdin);
    `stem` is the relative path of its outputs, without an extension.
    """

    name: str
    source: str | None
    stem: PurePath

    @property
    def is_local(self) -> bool:
        """Whether it is a file here, neither a URL nor stdin."""
        return self.source is not None and not _URL.match(self.source)

    def may_be(self, name: str) -> bool:
        """Whether a name that an earlier run gave to a recording can be this one's: of a file it
        may lead there from another folder."""
        ours, theirs = writable(self.name), writable(name)
        if not self.is_local or ours == theirs:
            return ours == theirs
        ends = [_below(ours), _below(theirs)]
        shared = min(map(len, ends))
        return ends[0][-shared:] == ends[1][-shared:]

    def open(self) -> Any:
        """What `load_audio` takes, any number of times: stdin and pipes are kept for that."""
        from moss_audio.recordings.sources import rereadable

        return rereadable(sys.stdin.buffer if self.source is None else self.source)


@dataclass(frozen=True)
class Found:
    """The recordings behind the arguments, in order, and one line for each that has none."""

    inputs: tuple[Input, ...]
    problems: tuple[str, ...]


def is_input(argument: str) -> bool:
    """Whether an argument stands for recordings: something that exists, a pattern that matches
    something, a URL, or `-`."""
    if argument == STDIN or _URL.match(argument) or os.path.lexists(argument):
        return True
    if not glob.has_magic(argument):
        return False
    from moss_audio.recordings.folders import FoundFile, find_files

    return any(isinstance(found, FoundFile) for found in find_files(argument))


def find_inputs(arguments: Sequence[str]) -> Found:
    """Resolve FILE arguments. A file that is named twice is listened to once; every input gets a
    stem of its own, so that no output overwrites another's."""
    from moss_audio.recordings.folders import FileKey

    inputs: dict[Any, Input] = {}
    problems: list[str] = []
    key = FileKey()
    for argument in arguments:
        try:
            for found in _resolve(argument):
                if isinstance(found, Input):
                    inputs.setdefault(key(found.name) if found.is_local else found.source, found)
                else:
                    problems.append(str(found))
        except AudioError as error:
            problems.append(str(error))
    return Found(tuple(_with_own_stems(list(inputs.values()))), tuple(problems))


def _resolve(argument: str) -> Iterator[Input | Unread]:
    if argument == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise AudioError("-: stdin is a terminal; pipe a recording in, or name a file")
        yield Input("<stdin>", None, PurePath("stdin"))
    elif _URL.match(argument):
        from moss_audio.recordings.names import describe_bytes_source

        yield Input(describe_bytes_source(argument), argument, PurePath(_url_stem(argument)))
    else:
        from moss_audio.recordings.folders import FoundFile, find_files

        for found in find_files(argument):
            yield _file(*found) if isinstance(found, FoundFile) else found


def _file(path: str, base: str) -> Input:
    inside = PurePath(os.path.relpath(path, base or "."))
    if os.pardir in inside.parts:  # an output never leaves its folder
        inside = PurePath(inside.name)
    return Input(path, path, inside.with_name(_stem(inside.name)))


def _stem(name: str) -> str:
    """A file's name without its extension; what follows a dot is one only if it looks like one
    (`talk.mp3`, but not `take 1. evening`)."""
    stem, suffix = os.path.splitext(name)
    if not re.fullmatch(r"\.\w{1,5}", suffix):
        stem = name
    stem = stem[:_STEM_CHARS]
    while len(os.fsencode(stem)) > _STEM_BYTES:
        stem = stem[:-1]
    return stem or "audio"


def _url_stem(url: str) -> str:
    if url[:5].lower() == "data:":
        return "data"
    try:
        path = unquote(urlsplit(url).path)
    except ValueError:
        path = ""
    return _stem(_UNSAFE.sub("_", path.rstrip("/").rpartition("/")[2]).strip(". ") or "audio")


# ------------------------------------------------------------------- stems that never collide


def _key(stem: PurePath) -> str:
    """Equal for stems that some file system takes for the same name."""
    return unicodedata.normalize("NFC", str(stem)).casefold()


def _below(path: str) -> tuple[str, ...]:
    """The folders and the file in a path, without what leads up or to the root."""
    parts = PurePath(os.path.normpath(path)).parts
    return tuple(_key(PurePath(one)) for one in parts if one not in (os.pardir, os.sep))


def _with_own_stems(inputs: Sequence[Input]) -> list[Input]:
    """Equal stems are told apart by their folders, then by their extensions, then by numbers."""
    result = list(inputs)
    local = [i for i in _clashing(result) if result[i].is_local]
    parents = {i: os.path.dirname(os.path.abspath(str(result[i].source))) for i in local}
    if len(set(parents.values())) > 1:
        shared = Path(os.path.commonpath(list(parents.values())))
        _rename(result, local, lambda i: Path(parents[i]).relative_to(shared) / result[i].stem.name)
    _rename(
        result,
        [i for i in _clashing(result) if result[i].is_local],
        lambda i: result[i].stem.with_name(Path(str(result[i].source)).name),
    )
    taken: set[str] = set()
    for i, item in enumerate(result):
        stem, number = item.stem, 1
        while _key(stem) in taken:
            number += 1
            stem = item.stem.with_name(f"{item.stem.name}-{number}")
        taken.add(_key(stem))
        result[i] = replace(item, stem=stem)
    return result


def _clashing(inputs: Sequence[Input]) -> list[int]:
    counts = Counter(_key(item.stem) for item in inputs)
    return [i for i, item in enumerate(inputs) if counts[_key(item.stem)] > 1]


def _rename(inputs: list[Input], indices: Iterable[int], stem: Callable[[int], PurePath]) -> None:
    renamed = {i: replace(inputs[i], stem=PurePath(stem(i))) for i in indices}
    for i, item in renamed.items():
        inputs[i] = item

"""Recordings inside tar files (WebDataset shards, Lhotse's Shar), read in place.

Only uncompressed tars: in these a member's bytes lie in one piece, so that it can be opened where
it lies, without going through those before it.
"""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moss_audio.errors import MossAudioError
from moss_audio.recordings.entry import Clip, Entry, Unread
from moss_audio.recordings.tables import parse_json

TAR_SUFFIXES = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")
# What accompanies a recording under the same stem (WebDataset): small texts, kept as its fields.
_SIDE_SUFFIXES = (".json", ".txt")
_SIDE_BYTES = 65_536
_NO_RECORDINGS = (*_SIDE_SUFFIXES, ".cls", ".npy", ".npz", ".pth", ".pt", ".jpg", ".png", ".pyd")


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file inside a tar: its bytes are `offset` to `offset + size` of the tar at `path`."""

    path: str
    name: str
    offset: int
    size: int

    def open(self) -> io.RawIOBase:
        """A file object of its own, which `load_audio` takes."""
        return _MemberFile(self)

    def read(self) -> bytes:
        """All its bytes."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


def read_tar(path: str) -> Iterator[Entry | Unread]:
    """The recordings of a tar in order, with the fields of the side files that go with them. Of
    members of the same name the last counts, as when the tar is unpacked.

    Raises MossAudioError if it is not an uncompressed tar.
    """
    if not path.lower().endswith(".tar"):
        raise MossAudioError(f"{path}: compressed; unpack it to a plain .tar or to files")
    found: dict[str, TarMember | Unread] = {}
    sides: dict[str, bytes] = {}
    end = os.path.getsize(path)
    last = ""
    problem = None
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                name = posixpath.normpath(info.name)
                suffix = posixpath.splitext(name)[1].lower()
                if posixpath.basename(name).startswith("."):
                    continue
                if info.isfile():
                    last = info.name
                    if suffix in _SIDE_SUFFIXES:
                        if info.size <= _SIDE_BYTES and info.offset_data + info.size <= end:
                            sides[name] = TarMember(path, name, info.offset_data, info.size).read()
                    elif suffix not in _NO_RECORDINGS:
                        size = max(0, min(info.size, end - info.offset_data))  # less in a cut tar
                        found.pop(name, None)
                        found[name] = TarMember(path, info.name, info.offset_data, size)
                elif (info.issym() or info.islnk()) and suffix not in _NO_RECORDINGS:
                    found.pop(name, None)
                    reason = f"a link to {info.linkname!r}, which is not followed inside a tar"
                    found[name] = Unread(f"{path}:{info.name}", reason)
    except (tarfile.TarError, EOFError) as error:
        if not found:
            raise MossAudioError(f"{path}: not an uncompressed tar ({error})") from error
        problem = Unread(path, f"damaged or cut short after {last} ({error})")
    beside: dict[str, dict[str, Any]] = {}
    for name, data in sides.items():
        fields = _side_fields(f"{path}:{name}", name, data)
        if isinstance(fields, Unread):
            yield fields
        else:
            beside.setdefault(_stem(name), {}).update(fields)
    if problem is not None:
        yield problem
    for name, member in found.items():
        if isinstance(member, Unread):
            yield member
            continue
        about = beside.get(_stem(name), {})
        text = about.get("text")
        yield Entry(
            Clip(member, name=member.name),
            f"{path}:{member.name}",
            text=text if isinstance(text, str) else None,
            fields=about,
        )


def _stem(name: str) -> str:
    """What WebDataset calls the key: up to the first dot of the file's own name."""
    folder, _, base = name.rpartition("/")
    return f"{folder}/{base.partition('.')[0]}"


def _side_fields(where: str, name: str, data: bytes) -> dict[str, Any] | Unread:
    if name.lower().endswith(".txt"):
        return {"text": data.decode("utf-8-sig", "surrogateescape").strip()}
    try:
        fields = parse_json(data.removeprefix(b"\xef\xbb\xbf"))
    except MossAudioError as error:
        return Unread(where, str(error))
    except ValueError as error:
        return Unread(where, f"not JSON: {error}")
    return fields if isinstance(fields, dict) else {}


class _MemberFile(io.RawIOBase):
    """The bytes of a tar's member, as a file of their own."""

    def __init__(self, member: TarMember) -> None:
        super().__init__()
        self.name = f"{member.path}:{member.name}"
        self._file = open(member.path, "rb")  # noqa: SIM115
        self._offset, self._size, self._position = member.offset, member.size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._position)
        count = left if size is None or size < 0 else min(size, left)
        self._file.seek(self._offset + self._position)
        data = self._file.read(count)
        self._position += len(data)
        return data

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

"""Recordings inside tar files (WebDataset shards too), read in place.

Only uncompressed tars: in these a member's bytes lie in one piece, so that it can be opened where
it lies, without going through those before it.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import dataclass, field, replace
from typing import Any

from moss_audio.errors import MossAudioError

SUFFIXES = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")
# What accompanies a recording under the same stem (WebDataset): small texts, kept as provenance.
_SIDE_SUFFIXES = (".json", ".txt")
_SIDE_BYTES = 65_536
_NO_RECORDINGS = (*_SIDE_SUFFIXES, ".cls", ".npy", ".npz", ".pth", ".pt", ".jpg", ".png", ".pyd")


@dataclass(frozen=True)
class Found:
    """A member that may be a recording."""

    name: str
    offset: int
    size: int
    provenance: dict[str, Any] = field(default_factory=dict)


def members(path: str) -> tuple[list[Found], str | None]:
    """The files of a tar in order, side files turned into the provenance of what they go with;
    and what is wrong with a tar that is damaged or cut short after them.

    Raises MossAudioError if it is not an uncompressed tar.
    """
    if not path.lower().endswith(".tar"):
        raise MossAudioError(f"{path}: compressed; unpack it to a plain .tar or to files")
    found: list[Found] = []
    beside: dict[str, dict[str, Any]] = {}
    end = os.path.getsize(path)
    problem = None
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                if not info.isfile() or os.path.basename(info.name).startswith("."):
                    continue
                suffix = os.path.splitext(info.name)[1].lower()
                stem = _stem(info.name)
                if suffix in _SIDE_SUFFIXES and info.size <= _SIDE_BYTES:
                    if info.offset_data + info.size <= end:
                        extracted = tar.extractfile(info)
                        text = b"" if extracted is None else extracted.read()
                        beside.setdefault(stem, {}).update(_side(suffix, text))
                elif suffix not in _NO_RECORDINGS:
                    size = max(0, min(info.size, end - info.offset_data))  # less in a cut tar
                    found.append(Found(info.name, info.offset_data, size))
    except (tarfile.TarError, EOFError) as error:
        if not found:
            raise MossAudioError(f"{path}: not an uncompressed tar ({error})") from error
        problem = f"damaged or cut short after {found[-1].name} ({error})"
    whole = [replace(one, provenance=beside.get(_stem(one.name), {})) for one in found]
    return whole, problem


def _stem(name: str) -> str:
    """What WebDataset calls the key: up to the first dot of the file's own name."""
    folder, _, base = name.rpartition("/")
    return f"{folder}/{base.partition('.')[0]}"


def _side(suffix: str, data: bytes) -> dict[str, Any]:
    text = data.decode("utf-8", "replace")
    if suffix == ".txt":
        return {"text": text.strip()}
    try:
        fields = json.loads(text)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


class Member(io.RawIOBase):
    """The bytes `offset` to `offset + size` of a file, as a file of their own."""

    def __init__(self, path: str, offset: int, size: int, name: str) -> None:
        super().__init__()
        self.name = name
        self._file = open(path, "rb")  # noqa: SIM115
        self._offset, self._size, self._position = offset, size, 0

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

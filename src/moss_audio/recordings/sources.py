"""From whatever a caller names (path, bytes, file object, URL, data URI) to a seekable reader.

Private to the audio loader. Nothing here knows about media formats. Every failure is an
``AudioError`` of one line that names the input.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import stat
import urllib.parse
import urllib.request
import weakref
from pathlib import Path
from typing import Any

from moss_audio.errors import AudioError
from moss_audio.recordings.download import download
from moss_audio.recordings.names import describe_bytes_source, is_data_uri, is_url, one_line
from moss_audio.recordings.reader import ByteReader, FetchLimits, OpenedSource, spool

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]+)://")


def open_source(x: Any, limits: FetchLimits) -> OpenedSource:
    """Open ``x`` for reading from its first byte.

    Raises ``AudioError`` when it does not exist, cannot be read, is empty, or is too large.
    """
    name = describe_bytes_source(x)
    if isinstance(x, (bytes, bytearray, memoryview)):
        opened = OpenedSource(ByteReader(io.BytesIO(bytes(x)), name))
    elif isinstance(x, str) and is_data_uri(x):
        opened = OpenedSource(ByteReader(io.BytesIO(decode_data_uri(x, name)), name))
    elif isinstance(x, str) and is_url(x):
        opened = download(x, name, limits)
    elif isinstance(x, (str, os.PathLike)):
        opened = _open_path(x, name, limits)
    elif callable(getattr(x, "read", None)):
        opened = _open_file_object(x, name, limits)
    else:
        raise AudioError(
            f"{name}: cannot read audio from this type ({type(x).__name__}); pass a path, URL, "
            "bytes, file object, or a numpy array with its sample rate"
        )
    try:
        if opened.reader.size() == 0:
            raise AudioError(f"{name} is empty (0 bytes)")
    except Exception:
        opened.close()
        raise
    return opened


def decode_data_uri(uri: str, name: str) -> bytes:
    """The bytes that a `data:` URI holds. Raises ``AudioError`` where it is malformed."""
    header, comma, body = uri[5:].partition(",")
    if not comma:
        raise AudioError(f"{name} has no comma before its data; expected data:TYPE;base64,DATA")
    data = urllib.parse.unquote_to_bytes(body)
    if not header.lower().rstrip().endswith(";base64"):
        return data
    data = b"".join(data.split()).rstrip(b"=")
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except binascii.Error as error:
        raise AudioError(f"{name} is not valid base64: {one_line(error)}") from error


class Pipe:
    """What can be read only once (stdin, a FIFO), as a file to be read any number of times: at
    the first use it is copied, within ``limits``."""

    def __init__(self, x: Any, limits: FetchLimits | None = None) -> None:
        self.name = describe_bytes_source(x)
        self._x = x
        self._limits = limits or FetchLimits()
        self._copy: Any = None

    def _file(self) -> Any:
        if self._copy is None:
            if isinstance(self._x, (str, os.PathLike)):
                with open(local_path(self._x), "rb") as pipe:
                    self._copy = spool(pipe, self.name, self._limits)
            else:
                self._copy = spool(self._x, self.name, self._limits)
            weakref.finalize(self, self._copy.close)
        return self._copy

    def read(self, size: int = -1) -> bytes:
        return bytes(self._file().read(size))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._file().seek(offset, whence))

    def tell(self) -> int:
        return int(self._file().tell())


def rereadable(x: Any) -> Any:
    """``x``, or a ``Pipe`` of it if it can be read only once."""
    return Pipe(x) if reads_once(x) else x


def reads_once(x: Any) -> bool:
    """Whether ``x`` is a pipe: the path of a FIFO, or a file object that cannot seek."""
    if isinstance(x, (str, os.PathLike)):
        try:
            return stat.S_ISFIFO(Path(local_path(x)).stat().st_mode)
        except (OSError, ValueError):
            return False
    return callable(getattr(x, "read", None)) and not _can_seek(x)


def local_path(x: str | os.PathLike[Any]) -> str:
    """The path that ``x`` is, or that its ``file://`` URL stands for."""
    path = os.fsdecode(os.fspath(x))
    if path[:7].lower() == "file://":
        return urllib.request.url2pathname(urllib.parse.urlsplit(path).path)
    return path


def _open_path(x: str | os.PathLike[Any], name: str, limits: FetchLimits) -> OpenedSource:
    path = local_path(x)
    if not path:
        raise AudioError(f"{name}: the path is empty")
    scheme = _SCHEME.match(path)
    if scheme and not os.path.lexists(path):
        raise AudioError(f"{name}: {scheme[1]}:// is not supported; use http(s):// or a local path")
    try:
        mode = Path(path).stat().st_mode
        unfit = not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode))
        handle: Any = None if unfit else open(path, "rb")  # noqa: SIM115 - closed with the source
    except FileNotFoundError as error:
        raise AudioError(f"{name}: no such file") from error
    except PermissionError as error:
        raise AudioError(f"{name}: permission denied; check who may read it") from error
    except (OSError, ValueError) as error:
        raise AudioError(f"{name}: cannot be opened: {one_line(error)}") from error
    if handle is None:
        if stat.S_ISDIR(mode):
            raise AudioError(f"{name} is a directory; name a file in it")
        raise AudioError(f"{name} is not a regular file (a device or a socket)")
    if stat.S_ISFIFO(mode):
        with handle:
            handle = spool(handle, name, limits)
    return OpenedSource(ByteReader(handle, name), close=handle.close)


def _can_seek(x: Any) -> bool:
    return bool(x.seekable()) if hasattr(x, "seekable") else hasattr(x, "seek")


def _open_file_object(x: Any, name: str, limits: FetchLimits) -> OpenedSource:
    """The whole object from its beginning, whatever its position; the position is put back."""
    try:
        if not _can_seek(x):
            copy = spool(x, name, limits)
            return OpenedSource(ByteReader(copy, name), close=copy.close)
        before = x.tell()
        x.seek(0)
    except AudioError:
        raise
    except Exception as error:
        raise AudioError(f"{name}: cannot be read: {one_line(error)}") from error

    def put_back() -> None:
        if not getattr(x, "closed", False):
            x.seek(before)

    return OpenedSource(ByteReader(x, name), close=put_back)

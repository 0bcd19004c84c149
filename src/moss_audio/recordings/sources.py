"""From whatever a caller names (path, bytes, file object, URL, data URI) to a seekable reader.

Private to the audio loader. Nothing here knows about media formats. Every failure is an
``AudioError`` of one line that names the input.
"""

from __future__ import annotations

import base64
import binascii
import errno
import http.client
import io
import os
import queue
import re
import stat
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moss_audio.errors import AudioError

READ_BYTES = 65_536
SPOOL_MEMORY_BYTES = 16 * 1024 * 1024  # a download or a pipe beyond this goes to a temp file
MAX_NAME_CHARS = 600

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]+)://")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class FetchLimits:
    """Bounds on inputs whose size is not known beforehand (URLs, pipes).

    ``timeout_s`` bounds the whole download, name lookup included; pipes obey ``max_bytes`` only.
    """

    max_bytes: int = 1024**3
    timeout_s: float = 120.0


@dataclass
class OpenedSource:
    """An input opened for reading: its reader, and what has to be told or undone later."""

    reader: ByteReader
    warnings: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None


class ByteReader:
    """The narrow face of a file that the decoder sees: read, seek, tell, and no name.

    Without a name FFmpeg judges an input by its content alone, so bytes, files and URLs of the
    same content decode the same. Reads are clipped to the size asked for, because the decoder
    copies what it gets into a buffer of that size.
    """

    def __init__(self, handle: Any, name: str) -> None:
        self._handle = handle
        self._name = name

    def read(self, size: int) -> bytes:
        try:
            data = self._handle.read(size)
        except Exception as error:  # any object can be passed as a file; all of its faults are one
            raise AudioError(f"{self._name}: reading failed: {one_line(error)}") from error
        if data is None:
            return b""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise AudioError(f"{self._name} is open in text mode; open it with mode 'rb'")
        if len(data) > size:
            raise AudioError(f"{self._name}: read({size}) returned {len(data)} bytes")
        return bytes(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            self._handle.seek(offset, whence)
            return int(self._handle.tell())
        except Exception as error:
            raise AudioError(f"{self._name}: seeking failed: {one_line(error)}") from error

    def tell(self) -> int:
        return int(self._handle.tell())

    def size(self) -> int:
        """Size in bytes; leaves the position at the beginning."""
        size = self.seek(0, os.SEEK_END)
        self.seek(0)
        return size


def printable(text: str) -> str:
    """``text`` on one line: control characters escaped, a very long middle left out."""
    text = _UNPRINTABLE.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), text)
    if len(text) > MAX_NAME_CHARS:
        text = f"{text[:200]}...{text[-60:]}"
    return text


def one_line(error: BaseException) -> str:
    """What went wrong, as one short line (never empty)."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(" ".join(str(text).split()))


def is_url(text: str) -> bool:
    return text[:8].lower().startswith(("http://", "https://"))


def is_data_uri(text: str) -> bool:
    return text[:5].lower() == "data:"


def describe_bytes_source(x: Any) -> str:
    """A short name for ``x`` on one line. URLs lose password and query, which may be secrets."""
    if isinstance(x, (bytes, bytearray, memoryview)):
        return f"<{len(x)} bytes>"
    if isinstance(x, str):
        if is_data_uri(x):
            return f"<data URI {printable(x[5:].split(',', 1)[0][:60])}, {len(x)} characters>"
        if is_url(x):
            try:
                parts = urllib.parse.urlsplit(x)
                host = parts.netloc.rpartition("@")[2]
                return printable(f"{parts.scheme}://{host}{parts.path}")
            except ValueError:
                return printable(x)
        return printable(x) or "''"
    if isinstance(x, os.PathLike):
        return printable(os.fsdecode(os.fspath(x)))
    name = getattr(x, "name", None)
    return printable(name) if isinstance(name, str) and name else f"<{type(x).__name__}>"


def open_source(x: Any, limits: FetchLimits) -> OpenedSource:
    """Open ``x`` for reading from its first byte.

    Raises ``AudioError`` when it does not exist, cannot be read, is empty, or is too large.
    """
    name = describe_bytes_source(x)
    if isinstance(x, (bytes, bytearray, memoryview)):
        opened = _from_memory(bytes(x), name)
    elif isinstance(x, str) and is_data_uri(x):
        opened = _from_memory(_decode_data_uri(x, name), name)
    elif isinstance(x, str) and is_url(x):
        opened = _download(x, name, limits)
    elif isinstance(x, (str, os.PathLike)):
        opened = _open_path(x, name, limits)
    elif callable(getattr(x, "read", None)):
        opened = _open_file_object(x, name, limits)
    else:
        raise AudioError(
            f"{name}: cannot read audio from a {type(x).__name__}; pass a path, URL, bytes, "
            "file object, or a numpy array with its sample rate"
        )
    try:
        size = opened.reader.size()
    except AudioError:
        opened.close()
        raise
    except Exception as error:
        opened.close()
        raise AudioError(f"{name}: cannot be read: {one_line(error)}") from error
    if size == 0:
        opened.close()
        raise AudioError(f"{name} is empty (0 bytes)")
    return opened


def _from_memory(data: bytes, name: str) -> OpenedSource:
    return OpenedSource(ByteReader(io.BytesIO(data), name))


def _decode_data_uri(uri: str, name: str) -> bytes:
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


def _open_path(x: str | os.PathLike[Any], name: str, limits: FetchLimits) -> OpenedSource:
    path = os.fsdecode(os.fspath(x))
    if not path:
        raise AudioError(f"{name}: the path is empty")
    scheme = _SCHEME.match(path)
    if scheme and scheme[1].lower() == "file":
        path = urllib.request.url2pathname(urllib.parse.urlsplit(path).path)
    elif scheme and not os.path.lexists(path):
        raise AudioError(f"{name}: {scheme[1]}:// is not supported; use http(s):// or a local path")
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(f"{name} is a directory; name a file in it")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise AudioError(f"{name} is not a regular file (a device or a socket)")
        handle = open(path, "rb")  # noqa: SIM115 - closed by OpenedSource.close
    except FileNotFoundError as error:
        raise AudioError(f"{name}: no such file") from error
    except PermissionError as error:
        raise AudioError(f"{name}: permission denied; check who may read it") from error
    except (OSError, ValueError) as error:
        raise AudioError(f"{name}: cannot be opened: {one_line(error)}") from error
    if stat.S_ISFIFO(mode):
        with handle:
            return _spool(handle, name, limits)
    return OpenedSource(ByteReader(handle, name), close=handle.close)


def _open_file_object(x: Any, name: str, limits: FetchLimits) -> OpenedSource:
    """The whole object from its beginning, whatever its position; the position is put back."""
    try:
        seekable = bool(x.seekable()) if hasattr(x, "seekable") else hasattr(x, "seek")
        if not seekable:
            return _spool(x, name, limits)
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


def _spool(handle: Any, name: str, limits: FetchLimits) -> OpenedSource:
    """Copy what cannot seek (a pipe) into a temporary file, since most containers need seeks."""
    reader = ByteReader(handle, name)
    spool: Any = tempfile.SpooledTemporaryFile(max_size=SPOOL_MEMORY_BYTES)  # noqa: SIM115
    total = 0
    try:
        while data := reader.read(READ_BYTES):
            total += len(data)
            if total > limits.max_bytes:
                raise AudioError(f"{name} is larger than the limit of {limits.max_bytes} bytes")
            spool.write(data)
    except OSError as error:
        spool.close()
        raise AudioError(f"{name}: cannot be stored: {one_line(error)}") from error
    except BaseException:
        spool.close()
        raise
    return OpenedSource(ByteReader(spool, name), close=spool.close)


def _download(url: str, name: str, limits: FetchLimits) -> OpenedSource:
    """Fetch ``url`` on a thread of its own, so that the time limit also holds for a name lookup
    or a server that sends a byte now and then, neither of which a socket timeout bounds."""
    results: queue.SimpleQueue[OpenedSource | BaseException] = queue.SimpleQueue()
    cancelled = threading.Event()

    def work() -> None:
        try:
            results.put(_fetch(url, name, limits, cancelled))
        except BaseException as error:
            results.put(error)

    threading.Thread(target=work, name="moss-audio-download", daemon=True).start()
    try:
        outcome = results.get(timeout=limits.timeout_s)
    except queue.Empty:
        raise AudioError(
            f"{name}: the download took longer than the limit of {limits.timeout_s:g} s"
        ) from None
    finally:
        cancelled.set()
    if isinstance(outcome, OpenedSource):
        return outcome
    raise _download_error(name, limits, outcome) from outcome


def _download_error(name: str, limits: FetchLimits, error: BaseException) -> BaseException:
    if isinstance(error, AudioError):
        return error
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return AudioError(f"{name}: the server answered {error.code} {printable(error.reason)}")
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return AudioError(f"{name}: no answer within {limits.timeout_s:g} s")
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return AudioError(f"{name}: no disk space left for the download")
        text = one_line(reason) if isinstance(reason, BaseException) else printable(str(reason))
        return AudioError(
            f"{name}: cannot be reached ({text}); check the address and the network, "
            "or download the file and pass its path"
        )
    if isinstance(error, (http.client.HTTPException, ValueError)):
        return AudioError(f"{name}: the download failed: {one_line(error)}")
    return error


def _fetch(url: str, name: str, limits: FetchLimits, cancelled: threading.Event) -> OpenedSource:
    deadline = time.monotonic() + limits.timeout_s
    opener = urllib.request.OpenerDirector()  # only http(s): a redirect cannot leave the web
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    parts = urllib.parse.urlsplit(url.strip())
    login, _, host = parts.netloc.rpartition("@")
    safe_url = urllib.parse.quote(
        parts._replace(netloc=host, fragment="").geturl(), safe="%/:=&?~+!$,;'@()*[]"
    )
    request = urllib.request.Request(safe_url, headers={"User-Agent": "moss-audio"})
    if login:
        credentials = base64.b64encode(urllib.parse.unquote_to_bytes(login)).decode("ascii")
        # Unredirected: another host must not be told this one's password.
        request.add_unredirected_header("Authorization", f"Basic {credentials}")
    too_large = f"{name} is larger than the limit of {limits.max_bytes} bytes"
    spool: Any = tempfile.SpooledTemporaryFile(max_size=SPOOL_MEMORY_BYTES)  # noqa: SIM115
    warnings: list[str] = []
    try:
        response: Any = opener.open(request, timeout=limits.timeout_s)
        if response is None:  # a redirect to a scheme without a handler
            raise AudioError(f"{name}: redirects to an address that is not http(s)")
        with response:
            declared = response.headers.get("Content-Length", "")
            expected = int(declared) if declared.isdecimal() else None
            if expected is not None and expected > limits.max_bytes:
                raise AudioError(too_large)
            total = 0
            while data := _read_some(response, name, total, warnings):
                total += len(data)
                if total > limits.max_bytes:
                    raise AudioError(too_large)
                if cancelled.is_set() or time.monotonic() > deadline:
                    raise TimeoutError
                spool.write(data)
        if expected is not None and total < expected and not warnings:
            warnings.append(f"{name}: the download ended after {total} of {expected} bytes")
    except BaseException:
        spool.close()
        raise
    return OpenedSource(ByteReader(spool, name), warnings, spool.close)


def _read_some(response: Any, name: str, total: int, warnings: list[str]) -> bytes:
    """The next bytes; a connection that breaks after the first ones ends the file with a
    warning, since what has arrived may well decode."""
    try:
        return bytes(response.read1(READ_BYTES))
    except (ConnectionError, http.client.HTTPException) as error:
        if not total:
            raise
        warnings.append(f"{name}: the connection broke after {total} bytes ({one_line(error)})")
        return b""

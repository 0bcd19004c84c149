"""Media from the web: fetched whole, within limits, before anything is decoded.

Private to the audio loader and to the server.
"""

from __future__ import annotations

import errno
import http.client
import queue
import tempfile
import threading
import time
from typing import Any, BinaryIO

from moss_audio.errors import AudioError
from moss_audio.recordings.names import one_line
from moss_audio.recordings.reader import (
    READ_BYTES,
    SPOOL_MEMORY_BYTES,
    ByteReader,
    FetchLimits,
    OpenedSource,
)
from moss_audio.recordings.web import AllowedHosts, get


def download(url: str, name: str, limits: FetchLimits) -> OpenedSource:
    """Fetch ``url``, which is the user's own."""
    spool, warnings = fetch(url, name, limits)
    return OpenedSource(ByteReader(spool, name), warnings, spool.close)


def fetch(
    url: str, name: str, limits: FetchLimits, allowed: AllowedHosts | None = None
) -> tuple[BinaryIO, list[str]]:
    """A file with what is at ``url``, at its beginning, and lines about what is missing of it.

    It is fetched on a thread of its own, so that the time limit also holds for a name lookup or a
    server that sends a byte now and then, neither of which a socket timeout bounds. ``allowed``
    as of ``web.get``. Raises ``AudioError``; ``AddressError`` where nothing was asked for.
    """
    results: queue.SimpleQueue[tuple[BinaryIO, list[str]] | BaseException] = queue.SimpleQueue()
    cancelled = threading.Event()

    def work() -> None:
        try:
            results.put(_fetch(url, name, limits, allowed, cancelled))
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
    if isinstance(outcome, tuple):
        return outcome
    raise _download_error(name, limits, outcome) from outcome


def _download_error(name: str, limits: FetchLimits, error: BaseException) -> BaseException:
    if isinstance(error, AudioError):
        return type(error)(f"{name}: {error}")
    if isinstance(error, TimeoutError):
        return AudioError(f"{name}: no answer within {limits.timeout_s:g} s")
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return AudioError(f"{name}: no disk space left for the download")
        return AudioError(
            f"{name}: cannot be reached ({one_line(error)}); check the address and the network, "
            "or download the file and pass its path"
        )
    if isinstance(error, (http.client.HTTPException, ValueError)):
        return AudioError(f"{name}: the download failed: {one_line(error)}")
    return error


def _fetch(
    url: str, name: str, limits: FetchLimits, allowed: AllowedHosts | None,
    cancelled: threading.Event,
) -> tuple[BinaryIO, list[str]]:  # fmt: skip
    deadline = time.monotonic() + limits.timeout_s
    too_large = f"larger than the limit of {limits.max_bytes} bytes"
    warnings: list[str] = []
    spool: Any = tempfile.SpooledTemporaryFile(max_size=SPOOL_MEMORY_BYTES)  # noqa: SIM115
    try:
        with get(url, limits.timeout_s, allowed) as response:
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
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    return spool, warnings


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

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
from dataclasses import dataclass
from typing import Any, BinaryIO

from moss_audio.errors import AudioError
from moss_audio.recordings.names import one_line
from moss_audio.recordings.reader import (
    PASS_PATH,
    READ_BYTES,
    SLOWEST_DOWNLOAD,
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


@dataclass
class _State:
    """What a download and the thread that waits for it tell each other."""

    received: int = 0  # bytes
    cancelled: bool = False


def fetch(
    url: str, name: str, limits: FetchLimits, allowed: AllowedHosts | None = None
) -> tuple[BinaryIO, list[str]]:
    """A file with what is at ``url``, at its beginning, and lines about what is missing of it.

    It is fetched on a thread of its own, so that the time limit also holds for a name lookup or a
    server that sends a byte now and then, neither of which a socket timeout bounds. ``allowed``
    as of ``web.get``: what a stranger asks for gets no more time for its size. Raises
    ``AudioError``; ``AddressError`` where nothing was asked for.
    """
    results: queue.SimpleQueue[tuple[BinaryIO, list[str]] | BaseException] = queue.SimpleQueue()
    state = _State()

    def work() -> None:
        try:
            results.put(_fetch(url, name, limits, allowed, state))
        except BaseException as error:
            results.put(error)

    begun = time.monotonic()
    threading.Thread(target=work, name="moss-audio-download", daemon=True).start()
    limit_s = limits.timeout_s
    try:
        while True:
            try:
                outcome = results.get(timeout=max(0.0, begun + limit_s - time.monotonic()))
                break
            except queue.Empty:
                if allowed is None:
                    limit_s = limits.timeout_s + state.received / SLOWEST_DOWNLOAD
                if begun + limit_s <= time.monotonic():
                    raise AudioError(
                        f"{name}: the download took longer than the limit of "
                        f"{round(limit_s, 1):g} s{_remedy(allowed)}"
                    ) from None
    finally:
        state.cancelled = True
    if isinstance(outcome, tuple):
        return outcome
    raise _download_error(name, limits, outcome, _remedy(allowed)) from outcome


def _remedy(allowed: AllowedHosts | None) -> str:
    """What the user can do; a stranger has no path here."""
    return f"; {PASS_PATH}" if allowed is None else ""


def _download_error(
    name: str, limits: FetchLimits, error: BaseException, remedy: str
) -> BaseException:
    if isinstance(error, AudioError):
        return type(error)(f"{name}: {error}")
    if isinstance(error, TimeoutError):
        return AudioError(f"{name}: no answer within {limits.timeout_s:g} s{remedy}")
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return AudioError(f"{name}: no disk space left for the download")
        return AudioError(
            f"{name}: cannot be reached ({one_line(error)}); check the address and the network, "
            f"or {PASS_PATH}"
        )
    if isinstance(error, (http.client.HTTPException, ValueError)):
        return AudioError(f"{name}: the download failed: {one_line(error)}")
    return error


def _fetch(
    url: str, name: str, limits: FetchLimits, allowed: AllowedHosts | None, state: _State
) -> tuple[BinaryIO, list[str]]:
    too_large = f"larger than the limit of {limits.max_bytes} bytes{_remedy(allowed)}"
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
                state.received = total = total + len(data)
                if total > limits.max_bytes:
                    raise AudioError(too_large)
                if state.cancelled:
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

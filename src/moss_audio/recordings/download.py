"""Media from the web: fetched whole, within limits, before anything is decoded.

Private to the audio loader.
"""

from __future__ import annotations

import base64
import errno
import http.client
import queue
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from moss_audio.errors import AudioError
from moss_audio.recordings.names import one_line, printable
from moss_audio.recordings.reader import (
    READ_BYTES,
    SPOOL_MEMORY_BYTES,
    ByteReader,
    FetchLimits,
    OpenedSource,
)


def download(url: str, name: str, limits: FetchLimits) -> OpenedSource:
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

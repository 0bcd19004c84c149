"""One request's connection, which another thread can cut."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import urllib.request
from functools import partial
from typing import Any

_CONNECT_S = 10.0  # nobody who is there takes longer to answer the telephone


class CallLine:
    """What a request goes over. `cut` ends at once whatever is being waited for on it; the server
    sees that the connection is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cut = threading.Event()
        self._socket: socket.socket | None = None

    @property
    def is_cut(self) -> bool:
        return self._cut.is_set()

    def cut(self) -> None:
        """Hang up, from any thread."""
        with self._lock:
            self._cut.set()
            self._shut()

    def pause(self, seconds: float) -> None:
        """Wait so long, or until it is cut."""
        self._cut.wait(seconds)

    def opened(self, connection: socket.socket) -> None:
        """The connection is made. (That of the classes below.)"""
        with self._lock:
            self._socket = connection
            if self._cut.is_set():
                self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # without TLS' own way of parting, for which it would wait
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Dialled(http.client.HTTPConnection):
    """A connection that is made soon or not at all, and that tells its line."""

    def __init__(self, host: str, *, line: CallLine, **how: Any) -> None:
        super().__init__(host, **how)
        self._line = line

    def connect(self) -> None:
        patience = self.timeout
        self.timeout = min(_CONNECT_S, patience or _CONNECT_S)
        try:
            super().connect()
        except TimeoutError as error:
            raise ConnectionError(f"no connection within {self.timeout:g} s") from error
        self.sock.settimeout(patience)
        self._line.opened(self.sock)


class _DialledSafely(_Dialled, http.client.HTTPSConnection):
    """The same with TLS."""


class LineHandler(urllib.request.HTTPHandler):
    """Opens addresses over a line."""

    def __init__(self, line: CallLine) -> None:
        super().__init__()
        self._line = line

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Dialled, line=self._line), req)


class SafeLineHandler(urllib.request.HTTPSHandler):
    """The same with TLS."""

    def __init__(self, line: CallLine) -> None:
        super().__init__()
        self._line = line

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_DialledSafely, line=self._line), req)

"""JSON and event streams over HTTP, by the standard library: retries, time-outs, plain errors."""

from __future__ import annotations

import email.utils
import http.client
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from moss_audio.endpoint.line import CallLine, LineHandler, SafeLineHandler
from moss_audio.errors import short_reason

T = TypeVar("T")

_RETRIED = (408, 429, 500, 502, 503, 504)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LONGEST_WAIT_S = 0.5, 8.0, 60.0
_ERROR_BYTES = 65_536  # of an error's body, read for its message
_LONGEST = 300  # characters of it that are shown


class HttpError(Exception):
    """What went wrong with one request, on one line.

    Attributes:
        status: of the server's answer; None where none came, or none of use.
        timed_out: the time limit ended it.
        transient: the same request may fare better in a moment.
        wait_s: how long the server asks to wait before that.
    """

    def __init__(
        self, reason: str, status: int | None = None, *, timed_out: bool = False,
        transient: bool = False, wait_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(reason)
        self.status, self.timed_out = status, timed_out
        self.transient, self.wait_s = transient, wait_s


class BrokenOffError(HttpError):
    """The connection ended in the midst of an answer."""


@dataclass(frozen=True)
class Connection:
    """Where requests go, and how patiently. Threads may share it.

    Attributes:
        address: the URL before the path of each request, without a slash at its end.
        key: sent as a bearer token; "" sends none.
        timeout_s: the longest silence of the server that is waited through.
        retries: of a request that may fare better, with growing pauses.
    """

    address: str
    key: str = field(repr=False)
    timeout_s: float
    retries: int

    def json(self, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        """What the server answers to a POST of `body`, or to a GET. Raises HttpError."""
        with _plain_errors():
            return json.loads(self.ask(path, body, kind))

    def ask(self, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """The same, whatever it answers. Raises HttpError."""
        line = CallLine()

        def ask() -> bytes:
            with self._open(path, body, kind, line) as response, _plain_errors():
                content: bytes = response.read()
                return content

        return self.retrying(ask, line)

    def events(
        self, path: str, body: bytes, kind: str = "application/json",
        line: CallLine | None = None,
    ) -> Generator[Any, None, None]:  # fmt: skip
        """What the server sends event by event; closing the iterator hangs up, and so does cutting
        the line from another thread.

        Raises HttpError, of which BrokenOffError once the answer has begun.
        """
        over = line or CallLine()
        response = self.retrying(lambda: self._open(path, body, kind, over), over)
        try:
            with response, _plain_errors():
                if response.headers.get_content_type() != "text/event-stream":
                    raise HttpError("the answer is no event stream")
                for row in response:
                    mark, _, data = row.partition(b":")
                    if mark == b"data":  # others, such as comments, keep the connection alive
                        if data.strip() == b"[DONE]":
                            return
                        yield json.loads(data)
                raise HttpError("the answer broke off before its end", transient=True)
        except HttpError as error:
            if error.transient:
                raise BrokenOffError(str(error)) from error
            raise

    def retrying(self, ask: Callable[[], T], line: CallLine) -> T:
        """What `ask` gives; called again where its HttpError is transient, unless it was cut."""
        for attempt in range(self.retries + 1):
            try:
                return ask()
            except HttpError as error:
                if not error.transient or attempt == self.retries:
                    raise
                pause_s = min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)
                line.pause(pause_s if error.wait_s is None else error.wait_s)
                if line.is_cut:
                    raise
        raise AssertionError("unreachable")

    def _open(
        self, path: str, body: bytes | None, kind: str, line: CallLine
    ) -> http.client.HTTPResponse:
        headers = {"User-Agent": "moss-audio", "Accept": "application/json, text/event-stream"}
        if body is not None:
            headers["Content-Type"] = kind
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        with _plain_errors():
            request = urllib.request.Request(f"{self.address}{path}", body, headers)
            opener = _opener(line)
            response: http.client.HTTPResponse = opener.open(request, timeout=self.timeout_s)
            return response


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turns what the standard library raises within the block into HttpError."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise _refusal(error) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)  # urllib wraps what happens while connecting
        if isinstance(reason, TimeoutError):
            raise HttpError("no answer", timed_out=True) from error
        text = short_reason(reason) if isinstance(reason, BaseException) else str(reason)
        raise HttpError(text, transient=True) from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError("the answer is not JSON") from error
    except ValueError as error:  # an address that is none
        raise HttpError(short_reason(error)) from error


def _opener(line: CallLine) -> urllib.request.OpenerDirector:
    """Without redirects: they would make a GET of a POST, and take the key to another host."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        LineHandler(line),
        SafeLineHandler(line),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _refusal(error: urllib.error.HTTPError) -> HttpError:
    with error:
        try:
            said = message_of(json.loads(error.read(_ERROR_BYTES)))
        except (OSError, http.client.HTTPException, ValueError, RecursionError):
            said = ""
    return HttpError(
        f"{error.code}: {said or error.reason}",
        error.code,
        transient=error.code in _RETRIED,
        wait_s=_wait_s(error.headers.get("Retry-After")),
    )


def message_of(value: Any) -> str:
    """The message in what a server says of an error, whose shape differs from one to the other."""
    for name in ("error", "detail", "message"):
        while isinstance(value, Mapping) and name in value:
            value = value[name]
    return " ".join((value if isinstance(value, str) else json.dumps(value)).split())[:_LONGEST]


def _wait_s(header: str | None) -> float | None:
    """What `Retry-After` asks for, as seconds or as a date; None where it is too much or absent."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return max(0.0, seconds) if seconds <= _LONGEST_WAIT_S else None


def multipart(fields: Mapping[str, str], name: str, content: bytes, kind: str) -> tuple[bytes, str]:
    """A form with one file, `file`, and its content type."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    ]
    quoted = name.replace("\\", "_").replace('"', "%22").replace("\r", "").replace("\n", "")
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    )
    end = f"\r\n--{boundary}--\r\n"
    body = "".join(parts).encode("utf-8", "replace") + content + end.encode()
    return body, f"multipart/form-data; boundary={boundary}"

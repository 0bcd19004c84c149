"""Errors as OpenAI's clients read them: `{"error": {message, type, param, code}}` and a status."""

from __future__ import annotations

import errno
import json
import logging
import tempfile
import traceback
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from moss_audio.endpoint import EndpointError, EndpointRefusedError
from moss_audio.errors import AudioError, MossAudioError
from moss_audio.recordings.names import printable
from moss_audio.serve.trouble import trouble_of

LONGEST_RETRY_S = 120  # OpenAI's clients do not wait any longer
_BACKEND_RETRY_S = 5.0
CLIENT_GONE = 499  # no answer was sent; for the log and the metrics
_FULL = {
    errno.ENOSPC: "the server has no room on its disk for an upload",
    errno.EDQUOT: "the server has no room on its disk for an upload",
    errno.EMFILE: "the server has as many files open as it may",
    errno.ENFILE: "the server has as many files open as it may",
}
_FULL_RETRY_S = 10.0

_TYPES = {429: "rate_limit_error", 401: "authentication_error", 403: "permission_error"}
log = logging.getLogger("moss_audio.serve")


class Json(JSONResponse):
    """JSON that any text fits into: a lone surrogate becomes a question mark."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        message: one line that says what is wrong and what to do.
        code, param: as OpenAI's: a word for programs, the field that is meant.
        retry_after_s: when it is worth another try.
        closes: the connection, whose rest is not read.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(message)
        self.closes = closes
        self.status = status
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """What the client gets, also inside a stream."""
        default = "server_error" if self.status >= 500 else "invalid_request_error"
        return {
            "error": {
                "message": printable(str(self)),
                "type": _TYPES.get(self.status, default),
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> Response:
        """The answer as a whole."""
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(min(LONGEST_RETRY_S, max(1, round(self.retry_after_s))))
        if self.closes:
            headers["Connection"] = "close"
        return Json(self.body(), self.status, headers)


class ClientGone(Exception):
    """The client no longer waits for the answer."""


def as_api_error(error: Exception) -> ApiError:
    """What a client is told of any error; one of ours is logged, without what was in the request:
    only its class and where it was raised."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, EndpointError | EndpointRefusedError):
        return _of_backend(error)
    if isinstance(error, AudioError):
        return ApiError(422, str(error), code="invalid_audio", param="file")
    if isinstance(error, MossAudioError):
        return ApiError(400, str(error), code="invalid_request")
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            return ApiError(404, "there is no such path here: OpenAI's begin with /v1, and "
                            "/openapi.json lists all", code="not_found")  # fmt: skip
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            return ApiError(405, f"this path takes another method: {allowed}",
                            code="method_not_allowed")  # fmt: skip
        return ApiError(error.status_code, str(error.detail), code="invalid_request")
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{one.name} ({one.filename}:{one.lineno})" for one in reversed(frames))
    log.error("%s in %s", type(error).__name__, where)
    if isinstance(error, OSError) and error.errno in _FULL:
        said = f"{_FULL[error.errno]}: try again later"
        log.error("%s (uploads above 1 MiB are in %s)", said, tempfile.gettempdir())
        return ApiError(503, said, code="server_overloaded", retry_after_s=_FULL_RETRY_S)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return ApiError(503, "out of memory: send less at once", code="server_overloaded",
                        retry_after_s=10)  # fmt: skip
    return ApiError(500, "the server failed on this request; its log has more", code="internal")


def _of_backend(error: EndpointError | EndpointRefusedError) -> ApiError:
    """What a client is told of a backend's failure; that its request is refused, in the backend's
    words, which are not logged."""
    trouble = trouble_of(error)
    if trouble.kind == "request":
        return ApiError(400, trouble.said, code="invalid_request")
    log.warning("%s", trouble.said)
    code = "server_overloaded" if trouble.kind == "late" else "backend_unavailable"
    wait_s = _BACKEND_RETRY_S if trouble.wait_s is None else trouble.wait_s
    return ApiError(503, f"{trouble.said}: try again later", code=code, retry_after_s=wait_s)


def handle(request: Request, error: Exception) -> Response:
    """Starlette's handler of exceptions."""
    return as_api_error(error).response()

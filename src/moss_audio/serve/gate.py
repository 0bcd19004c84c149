"""What every request passes: its id, who asks, bounds on its body, the log and the metrics.

The log has the method, the path, the status and the time; never a key, a text or a sound.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moss_audio.serve.auth import ANONYMOUS, check_page, shown_key
from moss_audio.serve.bodies import ByteBudget, guarded
from moss_audio.serve.ephemeral import PREFIX
from moss_audio.serve.errors import CLIENT_GONE, ApiError, ClientGone, as_api_error, log
from moss_audio.serve.page import is_page
from moss_audio.serve.service import REALTIME, TASKS, Service

# Without a key: what watches a server is asked by machines that have none.
OPEN = ("/health", "/health/live", "/health/ready", "/version", "/metrics", "/openapi.json")
SWITCHED = 101
_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)


class Gate:
    """ASGI middleware around all endpoints.

    Args:
        app: what comes after.
        service: keys, limits and metrics.
        paths: of the endpoints; others count as one in the metrics.
    """

    def __init__(self, app: ASGIApp, service: Service, paths: frozenset[str]) -> None:
        self._app = app
        self._service = service
        self._paths = paths
        limits = service.config.limits
        self._bodies = ByteBudget(max(limits.bodies_bytes, limits.body_bytes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        live = scope["type"] == "websocket"
        began = time.monotonic()
        headers = Headers(scope=scope)
        shown = headers.get("x-request-id", "")
        request_id = shown if _ID.fullmatch(shown) else f"req_{uuid.uuid4().hex}"
        path = _route(scope)
        label = "/" if is_page(path) else path if path in self._paths else "other"
        method = scope.get("method", "GET")
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"].endswith(("response.start", "websocket.accept")):
                status = message.get("status", SWITCHED)
                message.setdefault("headers", [])
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        with self._traced(method, label, headers) as traced, self._bodies.share() as share:
            try:
                key, session = self._admit(scope, path, headers)
                scope.setdefault("state", {}).update(
                    key=key, began=began, endpoint=path, session=session
                )
                limits = self._service.config.limits
                heard = receive if live else guarded(receive, limits, share)
                await self._app(scope, heard, answer)
            except (ClientGone, ClientDisconnect):
                status = CLIENT_GONE
            except asyncio.CancelledError:  # the time to drain is over, or a second signal came
                if not self._service.draining:
                    raise
                if not status:
                    await _shutting_down().response()(scope, receive, answer)
            except Exception as error:
                told = as_api_error(error)
                if not status:
                    await told.response()(scope, receive, answer)
            finally:
                took_s = time.monotonic() - began
                if label not in OPEN:
                    self._service.metrics.responded(label, status, took_s)
                    log.info(
                        "%s %s %d %.3f s %s",
                        "WS" if live else method,
                        label,
                        status,
                        took_s,
                        request_id,
                    )
                traced(status)

    def _traced(
        self, method: str, label: str, headers: Headers
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A span for what is no question of those who watch the server."""
        if label in OPEN:
            return nullcontext(lambda _: None)
        return self._service.tracing.request(method, label, headers)

    def _admit(
        self, scope: Scope, path: str, headers: Headers
    ) -> tuple[str, Mapping[str, Any] | None]:
        """Whose request it is, and the session that its key is for. What would be refused later is
        refused before its body is read."""
        service = self._service
        if path in OPEN or is_page(path):
            return ANONYMOUS, None
        check_page(headers, service.config)
        shown = shown_key(headers, scope.get("subprotocols", ()))
        session = None
        if path == REALTIME and shown is not None and shown.startswith(PREFIX):
            key, session = service.ephemeral.read(shown)
        else:
            key = service.keys.owner(shown)
        if service.draining:
            service.metrics.refused("draining")
            raise _shutting_down()
        if len(service.connections) > service.config.limits.connections:
            service.metrics.refused("connections")
            raise ApiError(503, "the server has as many connections as it may: try again later",
                           code="server_overloaded", retry_after_s=10, closes=True)  # fmt: skip
        if scope["type"] == "http" and path == REALTIME:
            raise ApiError(426, "live sessions are WebSockets: connect to this address with ws:// "
                           "or wss://", code="upgrade_required")  # fmt: skip
        if path in TASKS or path == REALTIME:
            if service.backend is not None:
                service.backend.check()
            service.admission.check(key)
        return key, session


def _route(scope: Scope) -> str:
    """The path as this application names it, which may be mounted under another."""
    path: str = scope["path"]
    root = scope.get("root_path", "")
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _shutting_down() -> ApiError:
    return ApiError(503, "the server is shutting down", code="shutting_down", retry_after_s=10)

"""`/v1/realtime/client_secrets`: a key for one kind of session, that ends soon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from moss_audio.serve.errors import Json
from moss_audio.serve.forms import read_json
from moss_audio.serve.realtime.session import RealtimeSession
from moss_audio.serve.service import Service
from moss_audio.settings import Between


@dataclass(frozen=True)
class ExpiresAfter:
    """When a key ends: `seconds` after it was made."""

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Between(10, 7200)] = 600


@dataclass(frozen=True)
class ClientSecretRequest:
    """The body of a request. `session` is what the key's sessions are, as of `session.update`."""

    expires_after: ExpiresAfter = ExpiresAfter()
    session: Mapping[str, Any] | None = None


async def client_secrets(request: Request) -> Response:
    """A key."""
    service: Service = request.app.state.service
    asked = await read_json(request, ClientSecretRequest)
    session = dict(asked.session or {})
    model = session.get("model") or ""
    live = RealtimeSession(service.name, model, service.config.limits, "realtime", session)
    value, ends = service.ephemeral.issue(request.state.key, asked.expires_after.seconds, session)
    told = live.created()["session"]
    del told["expires_at"]  # it has not begun
    return Json({"value": value, "expires_at": ends, "session": told})

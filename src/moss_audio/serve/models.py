"""`/v1/models`: the one model, under each of its names."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from moss_audio.serve.errors import Json
from moss_audio.serve.service import Service


async def models(request: Request) -> Response:
    """All names."""
    service: Service = request.app.state.service
    data = [_model(service, name) for name in service.config.names]
    return Json({"object": "list", "data": data})


async def model(request: Request) -> Response:
    """One name; 404 for another."""
    service: Service = request.app.state.service
    return Json(_model(service, service.name(request.path_params["model"])))


def _model(service: Service, name: str) -> dict[str, Any]:
    limits = service.config.limits
    return {
        "id": name,
        "object": "model",
        "created": service.created,
        "owned_by": "moss-audio",
        # ours: what a page says before somebody sends too much
        "limits": {"body_bytes": limits.body_bytes, "audio_seconds": limits.audio_s},
    }

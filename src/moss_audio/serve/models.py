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
    return {"id": name, "object": "model", "created": service.created, "owned_by": "moss-audio"}

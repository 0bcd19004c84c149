"""What those who watch a server ask: is it alive, is it ready, which version, how busy."""

from __future__ import annotations

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from moss_audio import __version__
from moss_audio.serve.errors import Json
from moss_audio.serve.metrics import Metrics
from moss_audio.serve.service import Service

_EVERY_S = 0.5


async def live(request: Request) -> Response:
    """Whether the event loop and the model's threads run; if not, restart the process."""
    service: Service = request.app.state.service
    alive = service.threads.alive
    return Json({"status": "ok" if alive else "dead"}, 200 if alive else 503)


async def ready(request: Request) -> Response:
    """Whether a request that came now would be answered; if not, send it elsewhere."""
    service: Service = request.app.state.service
    if service.ready:
        return Json({"status": "ok"})
    if service.draining:
        return Json({"status": "draining"}, 503)
    if problem := service.backend_problem:
        return Json({"status": "backend", "message": problem}, 503)
    return Json({"status": "full"}, 503)


async def version(request: Request) -> Response:
    """The package's version."""
    return Json({"version": __version__})


async def metrics(request: Request) -> Response:
    """Counters in Prometheus' form."""
    service: Service = request.app.state.service
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


async def watch_loop(metrics: Metrics) -> None:
    """Measure how late the event loop is, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _EVERY_S
        await asyncio.sleep(_EVERY_S)
        metrics.lag(max(0.0, loop.time() - due))

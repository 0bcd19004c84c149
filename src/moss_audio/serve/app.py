"""The application: paths, and what stands around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute

from moss_audio.errors import MossAudioError
from moss_audio.serve import (
    chat,
    health,
    models,
    openapi,
    transcriptions,
    understanding,
    written,
)
from moss_audio.serve.errors import ApiError, handle
from moss_audio.serve.gate import Gate
from moss_audio.serve.page import page_routes
from moss_audio.serve.realtime.connection import realtime
from moss_audio.serve.realtime.secrets import client_secrets
from moss_audio.serve.service import REALTIME, Service

_ENDPOINTS = {
    ("get", "/v1/models"): models.models,
    ("get", "/v1/models/{model:path}"): models.model,  # names of hub ids have a slash
    ("post", "/v1/audio/transcriptions"): transcriptions.transcriptions,
    ("post", "/v1/audio/translations"): transcriptions.translations,
    ("post", "/v1/audio/events"): understanding.events,
    ("post", "/v1/audio/captions"): understanding.captions,
    ("post", "/v1/audio/questions"): understanding.questions,
    ("post", "/v1/audio/formats"): written.formats,
    ("post", "/v1/chat/completions"): chat.completions,
    ("post", "/v1/realtime/client_secrets"): client_secrets,
    ("get", "/health"): health.ready,
    ("get", "/health/live"): health.live,
    ("get", "/health/ready"): health.ready,
    ("get", "/version"): health.version,
    ("get", "/metrics"): health.metrics,
    ("get", "/openapi.json"): openapi.openapi,
}


def build(service: Service) -> Starlette:
    """The ASGI application over a service."""
    routes = [
        Route(path, endpoint, methods=[method.upper()])
        for (method, path), endpoint in _ENDPOINTS.items()
    ]
    pages = page_routes() if service.config.page else []
    paths = frozenset((REALTIME, *(path for _, path in _ENDPOINTS)))
    middleware = [Middleware(Gate, service=service, paths=paths)]
    if service.config.origins:
        middleware.insert(0, Middleware(
            CORSMiddleware, allow_origins=service.config.origins, allow_methods=["*"],
            allow_headers=["*"], expose_headers=["x-request-id", "retry-after"],
        ))  # fmt: skip

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(health.watch_loop(service.metrics))
        if service.backend is not None:
            service.backend.start()
        try:
            yield
        finally:
            watching.cancel()
            if service.backend is not None:
                service.backend.stop()

    app = Starlette(
        routes=[*routes, WebSocketRoute(REALTIME, realtime), *pages],
        middleware=middleware,
        exception_handlers=dict.fromkeys((HTTPException, ApiError, MossAudioError), handle),
        lifespan=lifespan,
    )
    app.state.service = service
    return app

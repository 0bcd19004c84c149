"""Running a server: a socket first, then the model, and an end that drains."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

import uvicorn

from moss_audio.api import MossAudio
from moss_audio.engine.allocator import keep_little
from moss_audio.engine.remote import RemoteEngine
from moss_audio.errors import MossAudioError
from moss_audio.serve.app import build
from moss_audio.serve.config import ServerConfig
from moss_audio.serve.connections import protocol, socket_protocol
from moss_audio.serve.cost import listening_cost
from moss_audio.serve.errors import log
from moss_audio.serve.service import Service
from moss_audio.serve.tracing import export_spans

_THREADS_END_S = 5.0
_LOOK_S = 0.05
_PONG_S = 120.0  # a session that is read slowly, being behind, answers late


class Server(uvicorn.Server):
    """Uvicorn that drains: the first signal refuses what is new, with 503, and lets the rest go on
    for `drain_s`, a second one ends it."""

    def __init__(self, service: Service, ready: Callable[[], None] = lambda: None) -> None:
        limits = service.config.limits
        super().__init__(
            uvicorn.Config(
                build(service),
                http=protocol(limits.header_s, limits.write_s, limits.connections),
                ws=socket_protocol(limits.header_s, limits.write_s),
                ws_max_size=limits.message_bytes,
                ws_per_message_deflate=False,
                ws_ping_timeout=_PONG_S,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # nothing here looks at a client's address
                timeout_graceful_shutdown=round(limits.drain_s),
            )
        )
        self.service = service
        service.connections = self.server_state.connections
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
            log.info("live sessions at once: %d", self.service.sessions)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        self.service.draining = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.service.draining = True
        if running := self.server_state.tasks:
            drain_s = self.service.config.limits.drain_s
            log.info("shutting down: running requests (%d) get %g s; a second signal stops them",
                     len(running), drain_s)  # fmt: skip
            until = time.monotonic() + drain_s
            # uvicorn would no longer listen: clients that come now are told why, as is a proxy
            while running and not self.force_exit and time.monotonic() < until:
                await asyncio.sleep(_LOOK_S)
            if running:
                self.config.timeout_graceful_shutdown = 0
        await super().shutdown(sockets)
        if self.force_exit:  # uvicorn leaves its task to be cancelled, which logs a traceback
            await self.lifespan.shutdown()


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address; nobody can connect before the server listens.

    Raises:
        MossAudioError: if the address is not this machine's, or in use.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, proto)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise MossAudioError(
            f"cannot listen at {host}, port {port} ({reason}): give another --host or --port"
        ) from error
    return bound


def serve(
    load: Callable[[], MossAudio], config: ServerConfig, ready: Callable[[str, str], None]
) -> None:
    """Load a model and serve it until a signal comes.

    Args:
        load: gives the model; called once the address is ours.
        config: where and for whom; without names the model is called as its backend calls it.
        ready: called with the model's name and the server's address when it answers.

    Raises:
        MossAudioError: if the address cannot be had, or the model cannot be loaded.
    """
    keep_little()
    with bind(config.host, config.port) as listening:
        export_spans()
        model = load()
        if isinstance(model.engine, RemoteEngine) and not config.names:
            config = replace(config, names=(model.engine.endpoint.model,))
        cost = listening_cost(model.engine)
        service = Service(model, config, cost.speech_s, cost.sessions)
        host = f"[{config.host}]" if ":" in config.host else config.host
        address = f"http://{host}:{listening.getsockname()[1]}/v1"
        try:
            Server(service, lambda: ready(config.names[0], address)).run(sockets=[listening])
        finally:
            service.fetcher.close()
            service.threads.close(_THREADS_END_S)

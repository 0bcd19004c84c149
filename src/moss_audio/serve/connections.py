"""Connections with limits that uvicorn has not: on how many there are, with an answer to those
beyond, and on the time for a request's head and for writing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from moss_audio.serve.errors import ApiError

_TRY_AGAIN = 1013
_SPARE = 64  # connections that get an answer, though it is a refusal; further ones get none


def protocol(header_s: float, write_s: float, most: int) -> type[H11Protocol]:
    """The protocol class for uvicorn: connections close on a client that takes longer than
    `header_s` to send the head of a request, or takes nothing of an answer for `write_s`. Of more
    than `most` connections, a few are still there to be told so, and the others close at once."""

    class TimedProtocol(H11Protocol):
        _head: asyncio.TimerHandle | None = None
        _write: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect_head()
            if len(self.connections) > most + _SPARE:
                transport.abort()

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            if before is not None and before.response_complete and self._head is None:
                self._expect_head()  # the first bytes of a further request
            super().data_received(data)
            if self.cycle is not before or (before and not before.response_complete):
                _cancel(self._head)
                self._head = None

        def pause_writing(self) -> None:
            super().pause_writing()
            self._write = self._write or self.loop.call_later(write_s, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            _cancel(self._write)
            self._write = None

        def connection_lost(self, exc: Exception | None) -> None:
            _cancel(self._head)
            _cancel(self._write)
            super().connection_lost(exc)

        def handle_websocket_upgrade(self, event: Any) -> None:
            _cancel(self._head)
            _cancel(self._write)
            super().handle_websocket_upgrade(event)

        def send_400_response(self, msg: str) -> None:
            body = json.dumps(ApiError(400, msg, code="invalid_http").body()).encode()
            headers = [(b"content-type", b"application/json"), (b"connection", b"close"),
                       (b"content-length", b"%d" % len(body))]  # fmt: skip
            for part in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(part) or b"")
            self.transport.close()

        def _expect_head(self) -> None:
            self._head = self.loop.call_later(header_s, self.transport.abort)

    return TimedProtocol


def socket_protocol(header_s: float, write_s: float) -> type[WebSocketsSansIOProtocol]:
    """The protocol class of WebSockets for uvicorn: they close where there is no handshake within
    `header_s`, and on a client that takes nothing for `write_s`, with 1013; when the server ends,
    it is their sessions that close them."""

    quiet = logging.getLogger("uvicorn.error.socket")
    quiet.setLevel(logging.WARNING)

    class TimedSocket(WebSocketsSansIOProtocol):
        _head: asyncio.TimerHandle | None = None
        _write: asyncio.TimerHandle | None = None

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            # they would log every message, the key in the head, and what is behind the path
            self.conn.debug = False
            self.logger = quiet

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._head = self.loop.call_later(header_s, self.transport.abort)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # a head that cannot be read (a line too long, too many of them) has its answer, which
            # uvicorn does not send
            if self.conn.handshake_exc is not None and not self.transport.is_closing():
                self.transport.write(b"".join(self.conn.data_to_send()))
                self.handshake_complete = self.close_sent = True
                self.transport.close()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._write = self._write or self.loop.call_later(write_s, self._too_slow)

        def resume_writing(self) -> None:
            super().resume_writing()
            _cancel(self._write)
            self._write = None

        def connection_lost(self, exc: Exception | None) -> None:
            _cancel(self._head)
            _cancel(self._write)
            super().connection_lost(exc)

        def shutdown(self) -> None:
            if not self.handshake_complete:
                super().shutdown()

        async def send(self, message: Any) -> None:
            await super().send(message)
            # which uvicorn forgets where a handshake was refused, and logs an error
            self.handshake_complete = self.handshake_complete or self.close_sent
            if self.handshake_complete:
                _cancel(self._head)

        def _too_slow(self) -> None:
            with contextlib.suppress(InvalidState):  # it is closing already
                self.conn.send_close(_TRY_AGAIN, "the client does not read what it is sent")
                self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = self.disconnected = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": _TRY_AGAIN})
            self.writable.set()
            self.transport.close()  # once what was written is read
            self._write = self.loop.call_later(write_s, self.transport.abort)

    return TimedSocket


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()

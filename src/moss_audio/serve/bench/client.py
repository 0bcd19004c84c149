"""OpenAI's realtime interface from the other side: a session that transcribes."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from moss_audio.serve.bench.rest import LackingError

# What events about the text of an item begin with.
TRANSCRIPTION = "conversation.item.input_audio_transcription."
HYPOTHESES = "item.input_audio_transcription.hypothesis"
_PACKET_S = 0.1
_SCHEMES = {"http": "ws", "https": "wss"}


def live_url(url: str) -> str:
    """The address of live transcription at a server, of which `url` ends in `/v1`."""
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/") + "/realtime"
    return urlunsplit((scheme, parts.netloc, path, "intent=transcription", ""))


class LiveClient:
    """A session. Iterating over it gives the events of the server, until that closes it."""

    def __init__(self, socket: ClientConnection, rate: int) -> None:
        self._socket, self._rate = socket, rate

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, rate: int, *, model: str = "", turns: Mapping[str, Any] | None = None,
        exact: bool = False, include: Sequence[str] = (), key: str = "", timeout_s: float = 60.0,
        waits: bool = True,
    ) -> AsyncIterator[LiveClient]:  # fmt: skip
        """A session.

        Args:
            url: of the server, with `/v1`.
            rate: Hz of the samples that will be appended, 16 bits, one channel.
            model: as the server calls it; "": the first that it has.
            turns: how the server is to find them; None: the client commits.
            exact: hear turns just as files (of ours).
            include: what events are to have, or what events there are to be.
            key: sent as a bearer token; "": none.
            timeout_s: for the connection, and for the beginning of the session.
            waits: until the server has taken all this.

        Raises:
            LackingError: if this is not OpenAI's realtime interface.
            OSError, InvalidHandshake: of `websockets`, if there is no connection.
        """
        headers = {"Authorization": f"Bearer {key}"} if key else None
        async with connect(
            live_url(url), additional_headers=headers, compression=None, max_size=None,
            open_timeout=timeout_s, ping_interval=None, proxy=None,
        ) as socket:  # fmt: skip
            client = cls(socket, rate)
            sound = {
                "format": {"type": "audio/pcm", "rate": rate},
                "transcription": {"model": model} | ({"exact": True} if exact else {}),
                "turn_detection": turns,
            }
            session = {"type": "transcription", "audio": {"input": sound}}
            if include:
                session["include"] = list(include)
            await client._send("session.update", session=session)
            if waits:
                await asyncio.wait_for(client._begun(), timeout_s)
            yield client

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        async for message in self._socket:
            yield json.loads(message)

    async def append(self, data: bytes) -> None:
        """Send bytes of sound, cut anywhere."""
        audio = base64.b64encode(data).decode()
        await self._send("input_audio_buffer.append", audio=audio)

    async def say(self, pcm: np.ndarray, at: float) -> float:
        """Send samples `[n]` int16 at the pace of speech: each packet when its last sample would
        have been heard, if the first is at `at` of the monotonic clock.

        Returns:
            Seconds that a packet was late, at most.
        """
        late_s = 0.0
        size = round(_PACKET_S * self._rate)
        for first in range(0, len(pcm), size):
            packet = pcm[first : first + size]
            due = at + (first + len(packet)) / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self.append(packet.tobytes())
            late_s = max(late_s, time.monotonic() - due)
        return late_s

    async def commit(self) -> None:
        """End a turn."""
        await self._send("input_audio_buffer.commit")

    async def mark(self) -> None:
        """Ask for `session.updated`, which comes when all that was sent before is heard."""
        await self._send("session.update", session={"type": "transcription"})

    def cut(self) -> None:
        """End the connection without a word."""
        self._socket.transport.abort()

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"type": kind, **fields}))

    async def _begun(self) -> None:
        while True:
            event = json.loads(await self._socket.recv())
            if event.get("type") == "session.updated":
                return
            if event.get("type") != "session.created":
                said = json.dumps(event.get("error", event))[:200]
                raise LackingError(f"live streams: not OpenAI's realtime interface ({said})")

"""Reading the body of a request: not too large, not too slowly, and not too many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Message, Receive

from moss_audio.serve.config import MIB, Limits
from moss_audio.serve.errors import ApiError

_DISCARD_S = 5.0  # a body that is too large is read on for a while, so that the answer is seen
_SMALL = MIB  # a body of so much is read whatever others send


class ByteBudget:
    """Bytes of all bodies that are being read. To be used in one event loop.

    Args:
        most: of them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    @contextmanager
    def share(self) -> Iterator[ByteShare]:
        """What one request holds of them."""
        share = ByteShare(self)
        try:
            yield share
        finally:
            share.free()

    @property
    def spent(self) -> bool:
        """Whether more is held than may be."""
        return self.held > self._most


class ByteShare:
    """Bytes of a body, of a budget."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget, self._held = budget, 0

    def take(self, count: int) -> bool:
        """Hold so many more. Whether they may be held."""
        self._held += count
        self._budget.held += count
        return self._held <= _SMALL or not self._budget.spent

    def free(self) -> None:
        """Hold nothing."""
        self._budget.held -= self._held
        self._held = 0


def guarded(receive: Receive, limits: Limits, share: ByteShare) -> Receive:
    """`receive` of a request, which raises ApiError: 413 for a body of more than
    `limits.body_bytes`, 408 for one that does not come, or comes too slowly, 503 where too much of
    others is being read."""
    began = time.monotonic()
    total = 0
    whole = False

    async def guard() -> Message:
        nonlocal total, whole
        if whole:  # what comes now is the end of the connection, whenever that is
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), limits.body_s)
        except TimeoutError:
            raise ApiError(408, "the body of the request did not come", code="timeout",
                           closes=True) from None  # fmt: skip
        count = len(message.get("body", b""))
        total += count
        fits = share.take(count)
        whole = not message.get("more_body", False)
        if whole:
            share.free()
        passed = time.monotonic() - began
        if not whole and passed > limits.body_s and total < limits.body_rate * passed:
            raise ApiError(408, "the body of the request comes too slowly", code="timeout",
                           closes=True)  # fmt: skip
        large, cut = total > limits.body_bytes, not whole
        if cut and (large or not fits):
            share.free()
            await _discard(receive)
            whole = True
        if large:
            raise ApiError(
                413, f"the request is larger than {limits.body_bytes / MIB:g} MiB: send less",
                code="request_too_large", param="file", closes=cut,
            )  # fmt: skip
        if cut and not fits:
            raise ApiError(
                503, "the server is reading as much of other requests as it may: try again later",
                code="server_overloaded", retry_after_s=10, closes=True,
            )  # fmt: skip
        return message

    return guard


async def _discard(receive: Receive) -> None:
    try:
        async with asyncio.timeout(_DISCARD_S):
            while (await receive()).get("more_body", False):
                pass
    except TimeoutError:
        pass

"""Reading the body of a request: not too large, and not too slowly."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Message, Receive

from moss_audio.serve.config import MIB, Limits
from moss_audio.serve.errors import ApiError

_DISCARD_S = 5.0  # a body that is too large is read on for a while, so that the answer is seen


def guarded(receive: Receive, limits: Limits) -> Receive:
    """`receive` of a request, which raises ApiError: 413 for a body of more than
    `limits.body_bytes`, 408 for one that does not come, or comes too slowly."""
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
        total += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        passed = time.monotonic() - began
        if not whole and passed > limits.body_s and total < limits.body_rate * passed:
            raise ApiError(408, "the body of the request comes too slowly", code="timeout",
                           closes=True)  # fmt: skip
        if total > limits.body_bytes:
            cut = not whole
            if cut:
                await _discard(receive)
                whole = True
            raise ApiError(
                413, f"the request is larger than {limits.body_bytes / MIB:g} MiB: send less",
                code="request_too_large", param="file", closes=cut,
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

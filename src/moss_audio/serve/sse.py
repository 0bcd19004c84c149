"""Server-sent events: items of a job as lines that begin with `data:`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

from moss_audio.serve.errors import as_api_error
from moss_audio.serve.service import first_of, unless_gone
from moss_audio.serve.work import Job

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event(data: Any) -> str:
    """One event: JSON, or a text as it is."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"data: {text}\n\n"


async def stream(
    request: Request,
    job: Job,
    messages: Callable[[Any], Iterable[Any]],
    end: Callable[[], Iterator[Any]] = lambda: iter(()),
) -> StreamingResponse:
    """A job's items as events; a comment line every ten seconds in which there is none.

    Args:
        messages: the events of an item.
        end: those after the last.

    Raises:
        Exception: of the job, where it comes before the first item. A later one is an event.
    """
    items = await unless_gone(request, first_of(job.items(beats=True)))

    async def lines() -> AsyncIterator[bytes]:
        try:
            async for item in items:
                for line in [": waiting\n\n"] if item is None else map(event, messages(item)):
                    yield line.encode("utf-8", "replace")
            for message in end():
                yield event(message).encode("utf-8", "replace")
        except Exception as error:
            yield event(as_api_error(error).body()).encode("utf-8", "replace")
        finally:
            job.cancel()

    return StreamingResponse(lines(), media_type="text/event-stream", headers=_HEADERS)

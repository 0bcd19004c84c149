"""What a failure of the backend means, in words without its address and without what was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from moss_audio.endpoint import BrokenAnswerError, EndpointError, EndpointRefusedError
from moss_audio.endpoint.http import HttpError

_OF_THE_CLIENT = (400, 413, 415, 422)


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a backend.

    Attributes:
        kind: "gone" (nobody is there, or it fails), "late" (it is busy, or does not answer in
            time), "wrong" (it will not be right before somebody changes a setting), or "request"
            (it refuses what the client asked).
        said: a sentence without its end.
        wait_s: how long it asks to wait; None where it does not say.
    """

    kind: Literal["gone", "late", "wrong", "request"]
    said: str
    wait_s: float | None = None


def trouble_of(error: EndpointError | EndpointRefusedError) -> Trouble:
    """What an error of the endpoint's client means for those who ask this server."""
    cause = error.__cause__
    if isinstance(error, BrokenAnswerError):
        return Trouble("gone", "the backend broke its answer off")
    if not isinstance(cause, HttpError):
        return Trouble("gone", "the backend gave an answer that cannot be used")
    status = cause.status
    if status in _OF_THE_CLIENT:
        return Trouble("request", f"the backend refuses the request ({cause})")
    if status in (401, 403):
        return Trouble("wrong", "the backend does not take the key of this server")
    if status == 404:
        return Trouble("wrong", "the backend does not have the model")
    if status in (429, 503):
        return Trouble("late", "the backend has more work than it can do", cause.wait_s)
    if cause.timed_out:
        return Trouble("late", "the backend does not answer in time")
    if status is not None:
        return Trouble("gone", f"the backend fails ({status})")
    if cause.transient:
        return Trouble("gone", "the backend cannot be reached")
    return Trouble("wrong", "the backend is no OpenAI-compatible server")

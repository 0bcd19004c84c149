"""The one client of servers that speak OpenAI's protocol; it needs nothing but the standard
library."""

from moss_audio.endpoint.client import (
    BrokenAnswerError,
    Endpoint,
    EndpointClient,
    EndpointError,
    EndpointRefusedError,
    Structured,
    json_object,
)

__all__ = [
    "BrokenAnswerError",
    "Endpoint",
    "EndpointClient",
    "EndpointError",
    "EndpointRefusedError",
    "Structured",
    "json_object",
]

"""Clients of servers that speak OpenAI's protocol, for all tools and writers that ask one."""

from __future__ import annotations

import os
from typing import Any

from moss_audio.errors import MissingDependencyError


def connect(
    base_url: str, key_variable: str, purpose: str, *, timeout_s: float, retries: int = 2
) -> Any:
    """A client; nothing is asked yet.

    Args:
        base_url: the endpoint, e.g. `http://localhost:8000/v1`.
        key_variable: the environment variable that holds the key; local servers want none.
        purpose: what it is for, in the error.
        timeout_s: for one answer.
        retries: of a request that failed on the way.

    Raises MissingDependencyError without the package openai.
    """
    try:
        from openai import OpenAI
    except ImportError as error:
        raise MissingDependencyError("openai", "annotate", purpose) from error
    return OpenAI(
        base_url=base_url,
        api_key=os.environ.get(key_variable) or "none",
        timeout=timeout_s,
        max_retries=retries,
    )

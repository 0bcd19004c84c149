"""One line for whatever a caller names, and for what went wrong with it."""

from __future__ import annotations

import os
import re
import urllib.parse
from typing import Any

MAX_NAME_CHARS = 600

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    """``text`` on one line: control characters escaped, a very long middle left out."""
    text = _UNPRINTABLE.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), text)
    if len(text) > MAX_NAME_CHARS:
        text = f"{text[:200]}...{text[-60:]}"
    return text


def one_line(error: BaseException) -> str:
    """What went wrong, as one short line (never empty)."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(" ".join(str(text).split()))


def is_url(text: str) -> bool:
    return text[:8].lower().startswith(("http://", "https://"))


def is_data_uri(text: str) -> bool:
    return text[:5].lower() == "data:"


def describe_bytes_source(x: Any) -> str:
    """A short name for ``x`` on one line. URLs lose password and query, which may be secrets."""
    if isinstance(x, (bytes, bytearray, memoryview)):
        return f"<{len(x)} bytes>"
    if isinstance(x, str):
        if is_data_uri(x):
            return f"<data URI {printable(x[5:].split(',', 1)[0][:60])}, {len(x)} characters>"
        if is_url(x):
            try:
                parts = urllib.parse.urlsplit(x)
                host = parts.netloc.rpartition("@")[2]
                return printable(f"{parts.scheme}://{host}{parts.path}")
            except ValueError:
                return printable(x)
        return printable(x) or "''"
    if isinstance(x, os.PathLike):
        return printable(os.fsdecode(os.fspath(x)))
    name = getattr(x, "name", None)
    return printable(name) if isinstance(name, str) and name else f"<{type(x).__name__}>"

"""Lines for the person at the terminal. All of them go to stderr; stdout is for results."""

from __future__ import annotations

import sys

# Exit codes beside 0, 1 and 2.
INTERRUPTED = 130
PIPE_CLOSED = 141


def complain(text: str, kind: str | None = "error") -> None:
    """One line on stderr, whatever `text` holds: `error: ...`."""
    line = " ".join(str(text).split())
    print(f"{kind}: {line}" if kind else line, file=sys.stderr, flush=True)


def plural(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

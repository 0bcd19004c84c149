"""How the recipes end: a line on what was written, or one on what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable

from moss_audio.errors import MossAudioError


def run(work: Callable[[], str], interrupted: str = "interrupted") -> int:
    """Do the work and print what it returns; returns the exit status.

    A MossAudioError, and Ctrl-C, give one line (`interrupted`).
    """
    try:
        print(work())
    except MossAudioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    return 0

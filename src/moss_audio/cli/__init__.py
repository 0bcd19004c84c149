"""The `moss-audio` command. Thin: parse, call, print; a file a group of commands.

Exit codes: 0 all went well; 1 an input, a model or an output failed; 2 wrong usage; 130 Ctrl-C;
141 the reader of the output went away. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from moss_audio.cli.messages import INTERRUPTED, PIPE_CLOSED

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (the process's own by default) and return the exit code."""
    if arguments is None:
        _forgiving_streams()
    code = 0
    try:
        from moss_audio.cli.app import run

        code = run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:  # before or after a command; within one, the app says more
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return PIPE_CLOSED
    except OSError as error:
        _silence_stdout()
        if code == 0:  # a command that failed has said why
            print(f"error: cannot write to stdout: {error.strerror or error}", file=sys.stderr)
        return code or 1
    return code


def _forgiving_streams() -> None:
    """A file name or a transcript that the terminal cannot show is escaped, not a crash; in a file
    or a pipe, results are UTF-8 whatever the locale, as in the files of --output-dir."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
            if stream is sys.stdout and not stream.isatty():
                reconfigure(encoding="utf-8", errors="backslashreplace")


def _silence_stdout() -> None:
    """Python flushes stdout once more at exit; without this it would complain a second time."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):  # a captured stdout has no file descriptor
        pass

"""Where results go: to stdout as they come, or to files in a folder."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from moss_audio.cli.inputs import Input
from moss_audio.cli.messages import plural
from moss_audio.cli.render import PLAIN, Rendering
from moss_audio.errors import MossAudioError
from moss_audio.result import Result

Existing = Literal["ask", "overwrite", "skip"]

# After one of these every later file would fail as well.
_HOPELESS = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.EPERM)


class HopelessOutputError(MossAudioError):
    """Nothing more can be written: going on would waste the work."""


class Output(Protocol):
    """`pending` leaves out what is done already; `put` delivers one input's results."""

    def pending(self, inputs: Sequence[Input]) -> list[Input]: ...

    def put(self, item: Input, results: Sequence[Result]) -> None: ...


class Stdout:
    """Text or JSON lines on stdout, each file's as soon as it is done."""

    def __init__(self, rendering: Rendering, n_inputs: int) -> None:
        (self._format,) = rendering.formats
        self._rendering = rendering
        # Headers help a reader; a program that reads a pipe would have to remove them.
        self._headers = n_inputs > 1 and self._format != "json" and sys.stdout.isatty()
        self._count = 0

    def pending(self, inputs: Sequence[Input]) -> list[Input]:
        return list(inputs)

    def put(self, item: Input, results: Sequence[Result]) -> None:
        if self._format == "json":
            text = self._rendering.json_line(item.name, results)
        else:
            text = self._rendering.text(results, self._format)
        if self._headers:
            text = ("\n" if self._count else "") + f"==> {item.name} <==\n{text}"
        self._count += 1
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise HopelessOutputError(
                f"cannot write to stdout: {error.strerror or error}"
            ) from error


class Folder:
    """`<folder>/<stem>.<extension>`, one file a format, each whole or not at all."""

    def __init__(self, folder: Path, rendering: Rendering, existing: Existing) -> None:
        self._folder = folder
        self._rendering = rendering
        self._existing = existing
        make_folder(folder)

    def paths(self, item: Input) -> list[tuple[Path, str]]:
        """Where an input's results go, with the format of each."""
        return [
            (_with_extension(self._folder / item.stem, self._rendering.extension(name)), name)
            for name in self._rendering.formats
        ]

    def pending(self, inputs: Sequence[Input]) -> list[Input]:
        """Inputs with something left to write. Raises MossAudioError when files are in the way
        and nothing was said about them."""
        if self._existing == "overwrite":
            return list(inputs)
        if self._existing == "skip":
            return [i for i in inputs if not all(path.exists() for path, _ in self.paths(i))]
        there = [path for item in inputs for path, _ in self.paths(item) if path.exists()]
        if there:
            raise MossAudioError(
                f"{plural(len(there), 'result')} exist already ({there[0]}"
                f"{', ...' if there[1:] else ''}): add --skip-existing to go on, or --overwrite"
            )
        return list(inputs)

    def put(self, item: Input, results: Sequence[Result]) -> None:
        from moss_audio.files import write_atomic

        # Rendered first: a result that a format refuses leaves no half of its files.
        rendered = [(path, self._rendering.text(results, name)) for path, name in self.paths(item)]
        for path, text in rendered:
            try:
                make_folder(path.parent)
                write_atomic(path, text)
            except MossAudioError as error:
                if getattr(error.__cause__, "errno", None) in _HOPELESS:
                    raise HopelessOutputError(str(error)) from error.__cause__
                raise


def _with_extension(path: Path, extension: str) -> Path:
    return path.with_name(f"{path.name}.{extension}")


def make_folder(folder: Path) -> None:
    """Create a folder and check that it takes files. Raises MossAudioError, before any work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise MossAudioError(f"{folder}: is a file; name a folder with --output-dir") from error
    except OSError as error:
        raise MossAudioError(
            f"{folder}: cannot be created ({error.strerror}); choose a writable folder "
            "with --output-dir"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MossAudioError(f"{folder}: is not writable; choose another with --output-dir")


def check_stdout(rendering: Rendering, n_inputs: int) -> None:
    """Raises MossAudioError for formats that would run into each other on stdout."""
    if len(rendering.formats) > 1:
        raise MossAudioError("several formats do not fit on stdout: add --output-dir")
    if n_inputs > 1 and rendering.formats[0] not in (PLAIN, "json"):
        raise MossAudioError(
            f"several files as {rendering.formats[0]} do not fit on stdout: add --output-dir"
        )

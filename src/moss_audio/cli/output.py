"""Where results go: to stdout as they come, or to files in a folder."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

from rich.console import Console

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
    """`pending` leaves out what is done already; `put` delivers one input's results. `pieces`
    delivers them as they come: whatever it yields is out; None where they have to be whole."""

    def pending(self, inputs: Sequence[Input]) -> list[Input]: ...

    def pieces(self, item: Input, parts: Iterator[Result]) -> Iterator[None] | None: ...

    def put(self, item: Input, results: Sequence[Result]) -> None: ...


class Stdout:
    """Text or JSON lines on stdout, each file's as soon as it is done."""

    def __init__(self, rendering: Rendering, n_inputs: int) -> None:
        (self._format,) = rendering.formats
        shown = Console(file=sys.stdout)
        styled = shown.is_terminal and shown.color_system is not None
        self._rendering = replace(rendering, dim_thinking=styled)
        # Headers help a reader; a program that reads a pipe would have to remove them.
        self._headers = n_inputs > 1 and self._format != "json" and sys.stdout.isatty()
        self._count = 0

    def pending(self, inputs: Sequence[Input]) -> list[Input]:
        return list(inputs)

    def put(self, item: Input, results: Sequence[Result]) -> None:
        if self._format == "json":
            text = self._rendering.json_line(item.name, results)
        else:
            text = self._rendering.text(results, self._format, item.name)
        self._write(self._header(item) + text)

    def pieces(self, item: Input, parts: Iterator[Result]) -> Iterator[None] | None:
        lines = self._rendering.lines(parts)
        return None if lines is None else self._each(item, lines)

    def _each(self, item: Input, lines: Iterator[str]) -> Iterator[None]:
        self._write(self._header(item))
        for line in lines:
            self._write(line)
            yield

    def _header(self, item: Input) -> str:
        self._count += 1
        gap = "\n" if self._count > 1 else ""
        return f"{gap}==> {item.name} <==\n" if self._headers else ""

    def _write(self, text: str) -> None:
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
            return [item for item in inputs if not self._is_done(item)]
        there = [path for item in inputs for path, _ in self.paths(item) if path.exists()]
        if there:
            raise MossAudioError(
                f"{plural(len(there), 'result')} already exist ({there[0]}"
                f"{', ...' if there[1:] else ''}): add --skip-existing or --overwrite"
            )
        return list(inputs)

    def _is_done(self, item: Input) -> bool:
        """Whether all of an input's files are there. Raises MossAudioError for a JSON file of
        another task or recording; other formats do not say whose they are."""
        paths = self.paths(item)
        for path, name in paths:
            if name == "json" and path.exists():
                stored = path.read_text(encoding="utf-8", errors="replace")
                other = self._rendering.is_other(stored, item.may_be)
                if other is not None:
                    raise MossAudioError(
                        f"{path} holds {other}: choose another --output-dir, or add --overwrite"
                    )
        return all(path.exists() for path, _ in paths)

    def pieces(self, item: Input, parts: Iterator[Result]) -> Iterator[None] | None:
        return None  # a file is written whole

    def put(self, item: Input, results: Sequence[Result]) -> None:
        from moss_audio.files import write_atomic

        # Rendered first: a result that a format refuses leaves no half of its files.
        rendered = [
            (path, self._rendering.text(results, name, item.name))
            for path, name in self.paths(item)
        ]
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
        raise MossAudioError("several formats cannot share stdout: add --output-dir")
    if n_inputs > 1 and rendering.formats[0] not in (PLAIN, "json"):
        raise MossAudioError(
            f"several files as {rendering.formats[0]} cannot share stdout: add --output-dir"
        )

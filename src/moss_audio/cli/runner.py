"""Goes through recordings: each result is delivered as soon as it is known, parts of long ones too;
bad ones are reported and passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from moss_audio.cli.inputs import Found, Input
from moss_audio.cli.messages import complain, plural
from moss_audio.cli.output import HopelessOutputError, Output
from moss_audio.cli.progress import LONG_S, ProgressBar
from moss_audio.errors import MossAudioError
from moss_audio.result import Result

if TYPE_CHECKING:
    from moss_audio.listen import Heard

_UNKNOWN_S = 150.0  # taken for the length of what does not state it

# Called with each input, what was opened for it, and its results.
Draw = Callable[[Input, Any, Sequence[Result]], None]


@dataclass(frozen=True)
class Listening:
    """One command's work: `load` gives the model, `query` what it is asked about an opened input.

    `span`: the part of each input, in seconds. `parts`: parts of a long recording can be shown.
    """

    load: Callable[[], Any]
    query: Callable[[Any, Any], Any]
    draw: Draw | None = None
    span: tuple[float | None, float | None] = (None, None)
    parts: bool = False


def listen(found: Found, output: Output, work: Listening, *, tell: bool = False) -> int:
    """Hear all inputs; returns the exit code. `tell` adds a summary of a clean run, too;
    what was skipped is always told.

    Raises:
        MossAudioError: if the model cannot be loaded, or nothing more can be written.
        KeyboardInterrupt: on Ctrl-C, with a line that says what is done.
    """
    for problem in found.problems:
        complain(problem)
    todo = output.pending(found.inputs)
    skipped = len(found.inputs) - len(todo)
    run = _Hearing(todo, output, work)
    try:
        if todo:
            run.hear()
    except KeyboardInterrupt:
        left = len(todo) - run.done - run.failed
        raise KeyboardInterrupt(
            f"interrupted: {plural(run.done, 'file')} done, {left} not"
        ) from None
    except HopelessOutputError as error:
        raise MossAudioError(f"{error} ({plural(run.done, 'file')} done)") from error
    failed = run.failed + len(found.problems)
    total = len(found.inputs) + len(found.problems)
    if skipped or (total > 1 and (failed or tell)):
        parts = [f"{run.done} of {plural(total, 'file')} done"]
        parts += [f"{skipped} skipped"] if skipped else []
        parts += [f"{failed} failed"] if failed else []
        complain(", ".join(parts), kind=None)
    return 1 if failed else 0


class _Hearing:
    """The inputs that are heard, and what became of them so far."""

    def __init__(self, todo: Sequence[Input], output: Output, work: Listening) -> None:
        self.done = self.failed = 0
        self._todo, self._output, self._work = todo, output, work
        self._opened: dict[int, Any] = {}  # kept for drawing
        self._lengths: list[float] = []  # seconds of what has been asked about

    def hear(self) -> None:
        first_s = _length_s(self._todo[0], self._work.span)
        wanted = len(self._todo) > 1 or first_s is None or first_s >= LONG_S
        with ProgressBar(len(self._todo), "loading the model", wanted=wanted) as bar:
            model = self._work.load()

            def progress(done_s: float, _: float | None) -> None:
                bar.move(self._files_in(done_s))

            bar.move(0, self._todo[0].name if len(self._todo) == 1 else f"{len(self._todo)} files")
            found = model.listen(self._queries(model), parts=self._work.parts, progress=progress)
            for index, heard in groupby(found, key=lambda one: one.index):
                self._deliver(index, heard, bar)

    def _queries(self, model: Any) -> Iterator[Any]:
        for index, item in enumerate(self._todo):
            self._lengths.append(_length_s(item, self._work.span) or _UNKNOWN_S)
            source = item.open()
            if self._work.draw is not None:
                self._opened[index] = source
            yield self._work.query(model, source)

    def _files_in(self, seconds: float) -> float:
        """How many files so many seconds are."""
        for index, length in enumerate(self._lengths):
            if seconds < length:
                return index + seconds / length
            seconds -= length
        return len(self._lengths)

    def _deliver(self, index: int, heard: Iterator[Heard], bar: ProgressBar) -> None:
        item = self._todo[index]
        try:
            results, out = self._shown(item, heard, bar)
            with bar.aside():
                for line in dict.fromkeys(line for one in results for line in one.warnings):
                    complain(line if item.name in line else f"{item.name}: {line}", kind="warning")
                if not out:
                    self._output.put(item, results)
                if self._work.draw is not None:
                    self._work.draw(item, self._opened.pop(index), results)
        except HopelessOutputError:
            raise
        except MossAudioError as error:
            with bar.aside():
                text = str(error)
                complain(text if item.name in text else f"{item.name}: {text}")
            self.failed += 1
        else:
            self.done += 1

    def _shown(
        self, item: Input, heard: Iterator[Heard], bar: ProgressBar
    ) -> tuple[tuple[Result, ...], bool]:
        """The results of an input, and whether they are out already, part by part."""
        last = next(heard)
        out = False

        def parts() -> Iterator[Result]:
            nonlocal last
            while not last.done:
                with bar.aside():  # until the next is asked for, this one is written
                    yield last.results[0]
                last = next(heard)

        if not last.done:
            pieces = self._output.pieces(item, parts())
            out = pieces is not None
            steps: Iterator[Any] = parts() if pieces is None else pieces
            with bar.aside():
                next(steps, None)
            for _ in steps:
                pass
        if last.error is not None:
            raise last.error
        return last.results, out


def _length_s(item: Input, span: tuple[float | None, float | None]) -> float | None:
    """Seconds that are heard of an input, as the file states its own. None for what would have to
    be fetched or read first; 0 for a bad file, which is reported when its turn comes."""
    from moss_audio.recordings import audio_duration

    if not item.is_local:
        return None
    try:
        duration = audio_duration(item.source or "")
    except MossAudioError:
        return 0.0
    if duration is None:
        return None
    start, end = span
    return max(0.0, min(duration, duration if end is None else end) - (start or 0.0))

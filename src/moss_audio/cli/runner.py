"""Goes through recordings: some at a time, each result delivered before the next are heard, bad
ones reported and passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from moss_audio.cli.inputs import Found, Input
from moss_audio.cli.messages import complain, plural
from moss_audio.cli.output import HopelessOutputError, Output
from moss_audio.cli.progress import LONG_S, Bar
from moss_audio.errors import MossAudioError
from moss_audio.result import Result

# Recordings heard together, so that their batches are full and sorted by length; but no more
# than this much audio, since results come only when all of a group is done.
_GROUP_BATCHES = 4
_GROUP_S = 600.0
_UNKNOWN_S = 150.0  # taken for the length of what does not state it

Row = Sequence[Result] | MossAudioError
# (model, what the loader takes, progress callback) -> for each input its results, or its error
Hear = Callable[[Any, list[Any], Callable[[float, float | None], None]], list[Row]]


@dataclass(frozen=True)
class Listening:
    """One command's work: `load` gives the model, `hear` calls it, `after` is called with each
    input, what was opened for it, and its results."""

    load: Callable[[], Any]
    hear: Hear
    after: Callable[[Input, Any, Sequence[Result]], None] = lambda item, source, results: None


@dataclass
class _Count:
    done: int = 0
    failed: int = 0


def listen(found: Found, output: Output, work: Listening, *, tell: bool = False) -> int:
    """Hear all inputs; returns the exit code. `tell` adds a summary of a clean run, too.

    Raises:
        MossAudioError: if the model cannot be loaded, or nothing more can be written.
        KeyboardInterrupt: on Ctrl-C, with a line that says what is done.
    """
    count = _Count()
    for problem in found.problems:
        complain(problem)
        count.failed += 1
    todo = output.pending(found.inputs)
    skipped = len(found.inputs) - len(todo)
    try:
        if todo:
            _hear_all(todo, output, work, count)
    except KeyboardInterrupt:
        left = len(todo) + len(found.problems) - count.done - count.failed
        raise KeyboardInterrupt(
            f"interrupted: {plural(count.done, 'file')} done, {left} not"
        ) from None
    except HopelessOutputError as error:
        raise MossAudioError(f"{error} ({plural(count.done, 'file')} done)") from error
    total = len(found.inputs) + len(found.problems)
    if total > 1 and (count.failed or tell):
        parts = [f"{count.done} of {plural(total, 'file')} done"]
        parts += [f"{skipped} skipped"] if skipped else []
        parts += [f"{count.failed} failed"] if count.failed else []
        complain(", ".join(parts), kind=None)
    return 1 if count.failed else 0


def _hear_all(todo: Sequence[Input], output: Output, work: Listening, count: _Count) -> None:
    durations = [_duration_s(item) for item in todo] if len(todo) == 1 else []
    long = any(duration is None or duration >= LONG_S for duration in durations)
    with Bar(len(todo), "loading the model", wanted=long or len(todo) > 1) as bar:
        model = work.load()
        before = 0
        for group in _groups(todo, _group_size(model)):
            bar.move(before, group[0].name if len(group) == 1 else f"{len(group)} files")
            start, share = before, len(group)

            def progress(
                done: float, all_s: float | None, start: int = start, share: int = share
            ) -> None:
                if all_s:
                    bar.move(start + share * min(1.0, done / all_s))

            opened, rows = _hear_group(model, group, work, progress)
            with bar.aside():
                for item, source, row in zip(group, opened, rows, strict=True):
                    _deliver(item, source, row, output, work, count)
            before += len(group)
            bar.move(before)


def _hear_group(
    model: Any, group: Sequence[Input], work: Listening, progress: Any
) -> tuple[list[Any], list[Row]]:
    opened = [item.open() for item in group]
    try:
        return opened, work.hear(model, opened, progress)
    except MossAudioError as error:
        if len(group) == 1:
            return opened, [error]
    # One of them stopped all: each by itself shows which, and lets the others through.
    rows: list[Row] = []
    for source in opened:
        try:
            rows.extend(work.hear(model, [source], lambda done, total: None))
        except MossAudioError as error:
            rows.append(error)
    return opened, rows


def _deliver(
    item: Input, source: Any, row: Row, output: Output, work: Listening, count: _Count
) -> None:
    try:
        if isinstance(row, MossAudioError):
            raise row
        for line in dict.fromkeys(line for result in row for line in result.warnings):
            complain(line if item.name in line else f"{item.name}: {line}", kind="warning")
        output.put(item, row)
        work.after(item, source, row)
    except HopelessOutputError:
        raise
    except MossAudioError as error:
        text = str(error)
        complain(text if item.name in text else f"{item.name}: {text}")
        count.failed += 1
    else:
        count.done += 1


def _group_size(model: Any) -> int:
    return max(1, _GROUP_BATCHES * int(model.engine.batch_size))


def _groups(inputs: Sequence[Input], size: int) -> Iterator[list[Input]]:
    group: list[Input] = []
    seconds = 0.0
    for item in inputs:
        duration = _duration_s(item) or _UNKNOWN_S
        if group and (len(group) >= size or seconds + duration > _GROUP_S):
            yield group
            group, seconds = [], 0.0
        group.append(item)
        seconds += duration
    if group:
        yield group


def _duration_s(item: Input) -> float | None:
    """Seconds as the file states them. None for what would have to be fetched or read first;
    0 for a bad file, which is reported when its turn comes."""
    from moss_audio.recordings import audio_duration

    if not item.is_local:
        return None
    try:
        return audio_duration(item.source or "")
    except MossAudioError:
        return 0.0

"""Progress of a run: a live table on a terminal, a plain line now and then elsewhere.

Workers report nothing, wherever they are: their times are in files beside their results, which
are read from time to time.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moss_audio.annotate.store import AnnotationStore

_LOOK_S = 0.5
_SAY_S = 30.0  # between plain lines
_SHARE = 0.05  # of the time at most is spent on looking


@dataclass
class StepProgress:
    """Progress of one step of a phase."""

    todo: int  # shards, when the phase began
    done: int = 0
    items: int = 0
    audio_s: float = 0.0
    wall_s: float = 0.0
    asides: Counter[str] = field(default_factory=Counter)


class Watch:
    """Reads new files beside the results."""

    def __init__(self, store: AnnotationStore, todo: Mapping[str, int]) -> None:
        self.steps = {name: StepProgress(count) for name, count in todo.items()}
        self._folders = {name: store.work / "stats" / name for name in todo}
        self._seen = {name: self._files(name) for name in todo}

    def look(self) -> dict[str, StepProgress]:
        """The steps as they are now."""
        for name, step in self.steps.items():
            fresh = self._files(name) - self._seen[name]
            for file in sorted(fresh):
                row = _read(self._folders[name] / file[0])
                if row is not None:
                    self._seen[name].add(file)
                    step.done += 1
                    step.items += row["items"]
                    step.audio_s += row["audio_s"]
                    step.wall_s += row["wall_s"]
                    step.asides.update(row["asides"])
        return self.steps

    def _files(self, name: str) -> set[tuple[str, int]]:
        """Names and times: a step that is done again writes a file of the same name."""
        folder = self._folders[name]
        found = folder.glob("[0-9]*.json") if folder.is_dir() else ()
        return {(path.name, path.stat().st_mtime_ns) for path in found}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row if isinstance(row, dict) else None


class LiveView:
    """Shows the progress of a run on stderr."""

    def note(self, text: str) -> None:
        """A line before what comes next."""
        print(f"note: {text}", file=sys.stderr, flush=True)

    @contextmanager
    def phase(self, store: AnnotationStore, todo: Mapping[str, int]) -> Iterator[None]:
        """Shows a phase while it lasts; `todo`: step -> how many shards it still has to do."""
        watch = Watch(store, todo)
        over = threading.Event()
        show = _show_table if sys.stderr.isatty() else _show_lines
        thread = threading.Thread(target=show, args=(watch, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _show_lines(watch: Watch, over: threading.Event) -> None:
    said, began, last = "", time.monotonic(), False
    while not last:
        last = over.wait(_SAY_S)
        text = _line(watch.look())
        if text != said:
            print(f"{text} [{time.monotonic() - began:.0f} s]", file=sys.stderr, flush=True)
        said = text


def _line(steps: Mapping[str, StepProgress]) -> str:
    busy = {name: step for name, step in steps.items() if step.todo}
    shards = ", ".join(f"{name} {step.done}/{step.todo}" for name, step in busy.items())
    heard_s = max((step.audio_s for step in busy.values()), default=0.0)
    asides = _counts(sum((step.asides for step in busy.values()), Counter()))
    told = f"shards: {shards}; {heard_s / 3600:.2f} h"
    return f"{told}; set aside: {asides}" if asides else told


def _show_table(watch: Watch, over: threading.Event) -> None:
    from rich.console import Console
    from rich.live import Live

    wait, last = _LOOK_S, False
    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:
        while not last:
            last = over.wait(wait)
            began = time.monotonic()
            live.update(_table(watch.look()), refresh=True)
            wait = max(_LOOK_S, (time.monotonic() - began) / _SHARE)


def _table(steps: Mapping[str, StepProgress]) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for head in ("step", "", "shards", "items", "hours", "x real time", "set aside"):
        table.add_column(head, justify="left" if head in ("step", "", "set aside") else "right")
    for name, step in steps.items():
        if step.todo:
            bar = ProgressBar(total=step.todo, completed=step.done, width=24)
            # Seconds of audio a second of work, in one worker.
            rate = f"{step.audio_s / step.wall_s:.0f}" if step.wall_s else ""
            table.add_row(
                name, bar, f"{step.done}/{step.todo}", str(step.items),
                f"{step.audio_s / 3600:.2f}", rate, _counts(step.asides),
            )  # fmt: skip
    return table


def _counts(asides: Counter[str]) -> str:
    return ", ".join(f"{count} {why}" for why, count in sorted(asides.items()))

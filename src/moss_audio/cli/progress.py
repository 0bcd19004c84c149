"""The progress bar: on stderr, on a terminal, and only where there is something to wait for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LONG_S = 120.0  # a single recording of this length is worth a bar


class ProgressBar:
    """A bar over `total` seconds or files. Without a terminal every method does nothing."""

    def __init__(self, total: float, label: str, *, wanted: bool) -> None:
        self._progress: Any = None
        self._total = total
        self._label = label
        self._wanted = wanted and sys.stderr.isatty()
        self._task: Any = None

    def __enter__(self) -> ProgressBar:
        if self._wanted:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                Progress,
                TaskProgressColumn,
                TextColumn,
                TimeRemainingColumn,
            )

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._progress.add_task(self._label, total=max(self._total, 1e-9))
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def move(self, done: float, label: str | None = None) -> None:
        """Set what is done so far, and what is being done now."""
        if self._progress is not None:
            changes = {} if label is None else {"description": label}
            self._progress.update(self._task, completed=done, **changes)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While other lines are printed: the bar would otherwise be torn apart by them."""
        if self._progress is None:
            yield
            return
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

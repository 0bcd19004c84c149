"""What experiments of several arms and seeds share: where they start, and how figures are told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev


def start_folder(out: Path, markers: bool, change: Callable[[Path], None] | None = None) -> Path:
    """A copy of nano in `out` whose prompt has time markers, or has none; with a `change` of the
    copy, made once."""
    from moss_audio.files import write_atomic
    from moss_audio.model.checkpoint import embedded_folder

    folder = out / ("start" if markers else "start-without-markers")
    if folder.exists():
        return folder
    made = folder.with_name(folder.name + ".part")
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(embedded_folder(), made)
    settings = json.loads((made / "processor_config.json").read_text())
    settings["enable_time_marker"] = markers
    write_atomic(made / "processor_config.json", json.dumps(settings, indent=2))
    if change is not None:
        change(made)
    made.rename(folder)
    return folder


def spread(values: Sequence[float | None], digits: int) -> str:
    """The mean of the values that there are, and their standard deviation in brackets."""
    known = [value for value in values if value is not None]
    if not known:
        return "none"
    deviation = stdev(known) if len(known) > 1 else 0.0
    return f"{mean(known):.{digits}f} ({deviation:.{digits}f})"

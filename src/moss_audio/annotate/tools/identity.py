"""What a tool's version is made of: the package, its settings and its weights."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from moss_audio import settings

_ENDS_BYTES = 1 << 20
_DIGITS = 12


def package_version(name: str) -> str:
    """The version of an installed package, "absent" without it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def weights_digest(path: str | Path) -> str:
    """Of a file, or of all files of a folder: names, sizes, and the first and last megabyte.

    Whole checkpoints are gigabytes and every worker asks; weights that differ do so at their
    ends too. A name that is no path (a hub id) stands for itself.
    """
    root = Path(path)
    if root.is_file():
        files = [root]
    else:
        files = sorted(p for p in root.rglob("*") if p.is_file())
    if not files:
        return settings.digest([str(path)], _DIGITS)
    state = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        state.update(f"{file.relative_to(root.parent)}:{size}\n".encode())
        with file.open("rb") as stream:
            state.update(stream.read(_ENDS_BYTES))
            stream.seek(max(0, size - _ENDS_BYTES))
            state.update(stream.read(_ENDS_BYTES))
    return state.hexdigest()[:_DIGITS]

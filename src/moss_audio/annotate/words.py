"""The word lists of the data engine, `words.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


def words(table: str) -> Any:
    """A table of the file; entries that are texts hold words separated by spaces."""
    return _tables()[table]


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "words.toml").read_text(encoding="utf-8"))

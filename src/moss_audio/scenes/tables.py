"""The tables of words, wordings and sources that lie beside the code."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def tables(name: str) -> dict[str, Any]:
    """A TOML file of this package, such as `templates.toml`."""
    return tomllib.loads((files(__package__) / name).read_text(encoding="utf-8"))

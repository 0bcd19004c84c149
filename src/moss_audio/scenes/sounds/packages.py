"""Packages of recorded sounds: where they lie, on what terms, and which file is what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from moss_audio.scenes.tables import tables

# Those that scenes are made of where none are named.
DEFAULT = ("sonic-pi-samples", "sound-theme-freedesktop")


@dataclass(frozen=True)
class SoundSource:
    """A Debian package of sounds: where they lie, and on what terms they may be used.

    `labels`: what is heard, and the patterns of the files in which it is, between spaces.
    """

    name: str
    folders: tuple[Path, ...]
    licence: str
    provenance: str
    labels: tuple[tuple[str, str], ...] = ()


@cache
def sound_sources() -> dict[str, SoundSource]:
    """All packages that are known, installed or not, by name."""
    return {
        name: SoundSource(
            name,
            tuple(Path(folder) for folder in table["folders"]),
            table["licence"],
            table["provenance"],
            tuple(table["labels"].items()),
        )
        for name, table in tables("sounds/packages.toml").items()
    }

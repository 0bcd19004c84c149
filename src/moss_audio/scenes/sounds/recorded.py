"""Recorded sounds from Debian packages: where they lie, on what terms, and which file is what, by
label and split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import numpy as np

from moss_audio.scenes.voices.base import to_16k
from moss_audio.settings import packaged

_SUFFIXES = frozenset({".flac", ".oga", ".ogg", ".wav"})

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
        for name, table in packaged(__package__, "packages.toml").items()
    }


def files_by_label(split: str, sources: Sequence[SoundSource]) -> dict[str, list[Path]]:
    """Files of each label for a split ("test-unseen" or another); sorted, so deterministic.

    Where a label has three files or more, about a quarter is held out for "test-unseen"; a label
    with fewer is never in "test-unseen". Equal files count as one (a theme has the same sound under
    several names), so none is in two splits.
    """
    out: dict[str, list[Path]] = {}
    for label, files in _labelled(sources).items():
        ranked = sorted(files, key=lambda p: hashlib.sha256(p.stem.encode()).digest())
        held = max(1, len(files) // 4) if len(files) >= 3 else 0
        mine = ranked[:held] if split == "test-unseen" else ranked[held:]
        if mine:
            out[label] = sorted(mine)
    return out


def all_files(sources: Sequence[SoundSource]) -> list[Path]:
    """Every file that has a label, in order."""
    return sorted(p for files in _labelled(sources).values() for p in files)


def name_of(path: Path, sources: Sequence[SoundSource]) -> str:
    """How the truth names a file: its package or theme and its own name."""
    for source in sources:
        for folder in source.folders:
            if source.name not in DEFAULT and path.is_relative_to(folder):
                return f"{source.name}/{path.relative_to(folder).as_posix()}"
    return f"{path.parent.parent.name}/{path.name}"


def digest(path: Path) -> str:
    """What tells equal files: the start of the SHA-256 of its bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _labelled(sources: Sequence[SoundSource]) -> dict[str, list[Path]]:
    """Label -> files of all splits."""
    out: dict[str, list[Path]] = {}
    for source in sources:
        own = _files(source)
        for label, patterns in source.labels:
            globs = patterns.split()
            out.setdefault(label, []).extend(
                path for path, name in own if any(fnmatch(name, glob) for glob in globs)
            )
    return _distinct(out)


def _files(source: SoundSource) -> list[tuple[Path, str]]:
    """Files with their path below the source's folder, without ending; sorted."""
    found = []
    for folder in source.folders:
        for path in folder.rglob("*"):
            # spoken descriptions of pictures lie among the sounds of one package
            if path.suffix in _SUFFIXES and "_desc" not in path.stem:
                found.append((path, path.relative_to(folder).with_suffix("").as_posix()))
    return sorted(found)


def _distinct(labels: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """Leave out files that are byte for byte one that came before, of any label."""
    seen: set[str] = set()
    out: dict[str, list[Path]] = {}
    for label in sorted(labels):
        for path in sorted(labels[label]):
            mark = digest(path)
            if mark not in seen:
                seen.add(mark)
                out.setdefault(label, []).append(path)
    return out


def read(path: Path) -> np.ndarray:
    """A sound file as mono float32 [n] at 16 kHz.

    Not by the package's loader: it averages channels where this sums their power, and a folder of
    scenes that is made again has to come out the same.
    """
    import av

    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
        blocks = [
            out.to_ndarray().reshape(-1)
            for frame in container.decode(audio=0)
            for out in resampler.resample(frame)
        ]
    return to_16k(np.concatenate(blocks), rate)

"""Where the spoken lines of three free games lie, and how their sound is stored.

The games are in Debian's main section under licences of their own, which allow distribution and
modification. No line of theirs comes with this package.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.recordings import load_audio
from moss_audio.scenes.missing import MissingDebianPackageError
from recipes.dialogue import rnc

_PCM_HZ = 11_025  # of the lines that are stored as plain 8-bit samples


@dataclass(frozen=True)
class Line:
    """A spoken line; `load` gives its samples, float32 [n] at 16 kHz."""

    name: str
    load: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Game:
    """A game with speech. `files`, below the folder of Debian's package, are all that is read."""

    name: str
    package: str
    files: tuple[str, ...]
    licence: str
    provenance: str
    read: Callable[[Path], Iterator[Line]]

    def lines(self, root: Path = Path("/")) -> list[Line]:
        """All lines, by name. `root` is where the package was installed or unpacked.

        Raises MissingDebianPackageError without the package, MossAudioError for broken files.
        """
        folder = root / "usr/share/scummvm" / self.package
        if not all((folder / name).exists() for name in self.files):
            raise MissingDebianPackageError((self.package,), f"The dialogue of {self.name!r}")
        try:
            return sorted(self.read(folder), key=lambda line: line.name)
        except (struct.error, IndexError):
            raise MossAudioError(f"{folder}: not the files that the package holds") from None


def _pcm(data: bytes) -> np.ndarray:
    return load_audio((np.frombuffer(data, np.uint8), _PCM_HZ)).samples


def _part(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _sky(folder: Path) -> Iterator[Line]:
    """An index of 8-byte entries (number, place, size), and the sounds, packed, in one file."""
    index, sounds = (folder / "sky.dnr").read_bytes(), folder / "sky.dsk"
    (count,) = struct.unpack_from("<I", index)
    for at in range(4, 4 + 8 * count, 8):
        (number,) = struct.unpack_from("<H", index, at)
        if not 50_000 <= number < 60_000:  # the rest are pictures, texts and music
            continue
        place = int.from_bytes(index[at + 2 : at + 5], "little")
        size = int.from_bytes(index[at + 5 : at + 8], "little") & 0x3FFFFF
        offset = (place & 0x7FFFFF) * (16 if place >> 23 else 1)

        def load(offset: int = offset, size: int = size) -> np.ndarray:
            data = _part(sounds, offset, size)[22:]  # behind a header that all files have
            return _pcm(rnc.unpack(data) if data[:4] == rnc.SIGNATURE else data)

        yield Line(f"sky-{number}", load)


def _queen(folder: Path) -> Iterator[Line]:
    """A table of names, places and sizes, and the sounds as MP3, in one file."""
    path = folder / "queen.1c"
    with path.open("rb") as file:
        head = file.read(15)
        if head[:4] != b"QTBL":
            raise MossAudioError(f"{path}: no table of its parts at the beginning")
        (count,) = struct.unpack_from(">H", head, 13)
        table = file.read(21 * count)
    for at in range(0, 21 * count, 21):
        raw, _, offset, size = struct.unpack_from(">12sBII", table, at)
        name = raw.split(b"\0")[0].decode("ascii", "replace")
        if not name.endswith(".SB"):
            continue

        def load(offset: int = offset, size: int = size) -> np.ndarray:
            return load_audio(io.BytesIO(_part(path, offset, size))).samples

        yield Line(f"queen-{name.removesuffix('.SB')}", load)


def _drascula(folder: Path) -> Iterator[Line]:
    """Plain 8-bit samples, a file a line."""
    for path in (folder / "en").glob("*.ALS"):

        def load(path: Path = path) -> np.ndarray:
            return _pcm(path.read_bytes())

        yield Line(f"drascula-{path.stem}", load)


GAMES = {
    game.name: game
    for game in (
        Game(
            "sky", "beneath-a-steel-sky", ("sky.dnr", "sky.dsk"),
            "Beneath a Steel Sky licence (free)", "Revolution Software, 1994", _sky,
        ),
        Game(
            "queen", "flight-of-the-amazon-queen", ("queen.1c",),
            "Flight of the Amazon Queen licence (free)",
            "John Passfield and Steven Stamatiadis, 1995", _queen,
        ),
        Game(
            "drascula", "drascula", ("en",),
            "Drascula licence (free)", "Alcachofa Soft, 1996 to 2008", _drascula,
        ),
    )
}  # fmt: skip

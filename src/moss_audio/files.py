"""What folders are searched for, a hash of one, locks, and files that are there whole or not at
all."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from moss_audio.errors import MossAudioError

# What is picked up from a folder. A file that is named itself may be called anything.
MEDIA_SUFFIXES = frozenset((
    ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".asf", ".au", ".avi",
    ".caf", ".dts", ".flac", ".flv", ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov",
    ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg", ".mpga", ".mts", ".oga", ".ogg", ".ogv", ".opus",
    ".ra", ".rm", ".snd", ".spx", ".ts", ".tta", ".vob", ".w64", ".wav", ".wave", ".weba",
    ".webm", ".wma", ".wmv", ".wv",
))  # fmt: skip
MODEL_SUFFIXES = (".json", ".safetensors", ".txt", ".jinja")  # what a checkpoint consists of
_BLOCK_BYTES = 1 << 22


def folder_hash(folder: Path) -> str:
    """A hash of the names and contents of a model folder's files: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in MODEL_SUFFIXES and p.is_file()):
        digest.update(f"{path.name}:{path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def write_atomic(path: str | os.PathLike[str], data: str | bytes, *, sync: bool = True) -> None:
    """Writes text (as UTF-8) or bytes so that `path` holds the old file or the whole new one.

    `sync` waits until the disk has it, so that this holds through a power failure too; without it
    many small files that can be made again are written faster. Otherwise as `replaced`.
    """
    content = data.encode("utf-8", "replace") if isinstance(data, str) else data
    with replaced(path, sync=sync) as temporary:
        temporary.write_bytes(content)


def try_lock(file: int | IO[Any]) -> bool:
    """Locks an open file or folder until it is closed or the process ends, however it ends.

    False where another process holds it; True on a system without such locks.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def replaced(path: str | os.PathLike[str], *, sync: bool = True) -> Iterator[Path]:
    """A new empty file beside `path` to be written; at the end it takes the place of `path`.

    On any failure it is removed, and `path` stays what it was. A link is followed, an existing
    file keeps its permissions, a new one gets those that the user's umask leaves, also where a
    library writes it for its owner alone. Raises MossAudioError naming the path when the system
    refuses.
    """
    try:
        with swapped(path, sync=sync) as temporary:
            yield temporary
    except OSError as error:
        raise MossAudioError(
            f"cannot write {os.fspath(path)!r}: {error.strerror or error}; "
            "choose a place that can be written"
        ) from error


@contextmanager
def swapped(path: str | os.PathLike[str], *, sync: bool = True) -> Iterator[Path]:
    """`replaced` for a caller with words of its own: raises what the system does (OSError)."""
    target = Path(os.path.realpath(path))
    # File systems bound names in bytes, of which a character has up to four.
    name = os.fsencode(target.name)[:200].decode(errors="ignore")
    temporary = target.with_name(f".{name}.{secrets.token_hex(6)}.tmp")
    # Opened by hand rather than with tempfile, so that the user's umask applies.
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        mode = (target if target.exists() else temporary).stat().st_mode & 0o7777
        yield temporary
        os.chmod(temporary, mode)
        if sync:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

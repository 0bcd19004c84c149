"""A result takes its place as a folder: always the old one or the new one, never a mixture.

A folder is a dozen files that belong together, and a run may be killed between any two of them.
So the new one is written beside its place, and the two folders change places in one step. Where
the system cannot do that (a mounted volume, an old file system), the files are moved one by one
while config.json is missing: a folder without it is refused, and the same command writes it again.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moss_audio.errors import MossAudioError
from moss_audio.files import try_lock
from moss_audio.model.checkpoint import INDEX_FILE, PARTS_FILE
from moss_audio.model.nano.parts import DECODER_FILE, ENCODER_FILE, TRAINED_FILE

_STAGING = ".moss-audio.tmp"  # the end of a name that nobody else gives
_CONFIG = "config.json"
_PARTS = (INDEX_FILE, PARTS_FILE, ENCODER_FILE, DECODER_FILE, TRAINED_FILE)
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD; RENAME_EXCHANGE, on macOS RENAME_SWAP


@contextmanager
def replaced_folder(output: Path) -> Iterator[Path]:
    """A new empty folder to be filled; at the end it takes the place of `output`.

    Of an `output` that is there the weights of an earlier result go; all other files and folders
    in it stay, for a run's checkpoints may lie there. On a failure `output` stays what it was.

    Raises:
        MossAudioError: one line naming the folder, where the system refuses.
    """
    output = Path(os.path.realpath(output))
    staging = output.with_name(f".{output.name}{_STAGING}")
    if os.path.ismount(output) or (output.exists() and not os.access(output.parent, os.W_OK)):
        staging = output / _STAGING
    try:
        with _claimed(staging, output):
            yield staging
            for path in staging.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            if not output.exists():
                staging.rename(output)
            else:
                _take_place(staging, output)
    except OSError as error:
        raise MossAudioError(f"cannot write {output}: {error.strerror or error}") from error


@contextmanager
def _claimed(staging: Path, output: Path) -> Iterator[None]:
    """An empty folder at `staging` for this process alone: two that wrote there would make one
    folder of both. What a killed run left in it goes; at the end, so does the folder."""
    staging.mkdir(parents=True, exist_ok=True)
    held = os.open(staging, os.O_RDONLY)
    try:
        if not try_lock(held):
            raise MossAudioError(
                f"{output}: another process is writing there; wait for it, or name another folder"
            )
        try:
            for path in staging.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            yield
        finally:
            shutil.rmtree(staging, ignore_errors=True)  # what is left, or the old folder
    finally:
        os.close(held)


def _take_place(staging: Path, output: Path) -> None:
    fresh = [path.name for path in staging.iterdir()]
    others = [p for p in output.iterdir() if p.name not in fresh and not _is_weights(p)]
    if staging.parent != output and not any(os.path.ismount(p) for p in others):
        for path in others:
            _link(path, staging / path.name)
        os.chmod(staging, output.stat().st_mode & 0o7777)
        if _exchange(staging, output):
            return
    (output / _CONFIG).unlink(missing_ok=True)
    for path in output.iterdir():
        if path.name not in fresh and _is_weights(path):
            path.unlink()
    for name in sorted(fresh, key=lambda name: name == _CONFIG):  # it comes last
        os.replace(staging / name, output / name)


def _is_weights(path: Path) -> bool:
    """Whether a file is part of the weights of an earlier result, in either layout."""
    return path.is_file() and (path.match("model*.safetensors") or path.name in _PARTS)


def _link(source: Path, target: Path) -> None:
    """The same file or folder at another place, without a copy where the file system can."""
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True, copy_function=_link_file)
    else:
        _link_file(source, target)


def _link_file(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system cannot."""
    try:
        system = ctypes.CDLL(None)
    except (OSError, TypeError):  # not POSIX
        return False
    names = os.fsencode(one), os.fsencode(other)
    if hasattr(system, "renameat2"):
        return bool(system.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0)
    if hasattr(system, "renamex_np"):
        return bool(system.renamex_np(*names, _EXCHANGE) == 0)
    return False

"""Where everything lies in the output folder, and how it gets there whole.

    OUT/segments/00000.jsonl  the result: a segment a line with all that is known of it
    OUT/train.jsonl           conversations to train on; paths are relative to OUT
    OUT/audio/00000/ID.flac   each segment's sound, 16 kHz mono
    OUT/aside.jsonl           what was set aside, and why
    OUT/summary.json          counts and hours
    OUT/config.yaml           every field of the last run's configuration
    OUT/work/                 what a later run resumes from; may be deleted once all is done
      plan/00000.jsonl          what belongs to a shard
      recordings/00000.jsonl    what of it is used this time
      STEP/00000-KEY.jsonl      a step's results for a shard
      stats/STEP/00000-KEY.json what they took: never part of a result

KEY covers all that the results depend on: the step's fingerprint and the keys of what it is made
from. A file of that name is whole and current; there is nothing else to check or to keep in step.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moss_audio.errors import MossAudioError
from moss_audio.files import swapped, try_lock

FULL = (errno.ENOSPC, errno.EDQUOT)


def line_of(row: Mapping[str, Any]) -> str:
    """A row of a JSONL file, which reads back as it is: a name that is not UTF-8 (a lone surrogate)
    is written as an escape. Raises ValueError for what JSON cannot hold (NaN, infinity)."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False, default=_number)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(row, ensure_ascii=True, allow_nan=False, default=_number)
    return text + "\n"


def _number(value: Any) -> Any:
    """Scalars and arrays of numpy, which tools may return."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise ValueError(f"{type(value).__name__} has no place in JSON")


class StoreError(MossAudioError):
    """The output folder cannot be written or read: no other shard would fare better."""


class AnnotationStore:
    """The output folder. Cheap to make and to hand to other processes."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self.work = self.root / "work"
        self.plan = self.work / "plan"
        self.train = self.root / "train.jsonl"
        self.aside = self.root / "aside.jsonl"
        self.summary = self.root / "summary.json"
        # Of what the outputs were last made; absent while they are not of what is done.
        self.mark = self.work / "finished.json"

    def recordings(self, shard: int) -> Path:
        """The recordings of a shard that are used, each with the entry that it came from."""
        return self.work / "recordings" / f"{shard:05d}.jsonl"

    def sorted_out(self, shard: int) -> Path:
        """What of a shard is set aside before it is cut: unreadable, too short, a duplicate."""
        return self.work / "recordings" / f"{shard:05d}-aside.jsonl"

    def step(self, step: str, shard: int, key: str) -> Path:
        """A step's results for a shard."""
        return self.work / step / f"{shard:05d}-{key}.jsonl"

    def stats(self, step: str, shard: int, key: str) -> Path:
        """What these took."""
        return self.work / "stats" / step / f"{shard:05d}-{key}.json"

    def segments(self, shard: int) -> Path:
        """A shard of the result."""
        return self.root / "segments" / f"{shard:05d}.jsonl"

    def audio(self, shard: int) -> Path:
        """Folder of a shard's sounds."""
        return self.root / "audio" / f"{shard:05d}"

    def put(self, path: Path, data: bytes | str) -> None:
        """Write a file whole or not at all. Raises StoreError, one line with the remedy."""
        self.put_lines(path, [data])

    def put_rows(self, path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write a JSONL file whole or not at all."""
        self.put_lines(path, map(line_of, rows))

    def put_lines(self, path: Path, lines: Iterable[str | bytes], *, sync: bool = True) -> int:
        """Write lines as they come, so that they need no memory; the file appears when all are
        there. Returns how many there were. `sync`: outlives a loss of power, too."""
        count = 0
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with swapped(path, sync=sync) as temporary, temporary.open("wb") as file:
                for line in lines:
                    count += 1
                    file.write(line if isinstance(line, bytes) else line.encode("utf-8", "replace"))
        return count

    def sync(self, folder: Path) -> None:
        """Make what was written to a folder without `sync` outlive a loss of power."""
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            with writing(path), path.open("rb") as file:
                os.fsync(file.fileno())

    def keep_rows(self, path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        """`put_rows`, unless the file holds just these already."""
        text = "".join(map(line_of, rows))
        raw = text.encode("utf-8", "replace")
        if not (path.exists() and path.read_bytes() == raw):
            self.put(path, raw)

    def rows(self, path: Path) -> Iterator[dict[str, Any]]:
        """The rows of a JSONL file of ours.

        Raises MossAudioError if another hand has damaged it.
        """
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise StoreError(
                        f"{path}:{number}: damaged; delete the file and run again"
                    ) from error
                yield row

    def make(self) -> None:
        """Create the folder. Raises MossAudioError, before any work."""
        try:
            self.work.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise MossAudioError(f"{self.root}: is a file; name a folder") from error
        except OSError as error:
            raise MossAudioError(
                f"{self.root}: cannot be created ({error.strerror}); choose a writable folder"
            ) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One run at a time. The system releases it when the process ends, however it ends."""
        with writing(self.work / "lock"):
            file = (self.work / "lock").open("a+")
        with file:
            if not try_lock(file):
                raise MossAudioError(
                    f"{self.root}: another run is writing here; wait for it, or end it"
                )
            yield


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the system's errors while `path` is written into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StoreError(
                f"the disk is full ({path.parent}): free some space; the same command resumes"
            ) from error
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); check the folder, then the "
            "same command resumes"
        ) from error

"""Who does which shard: the workers of a run, of whatever kind, claim them one after the other.

A claim is a file in a folder that all workers share: only one of them can create it. A worker that
gives up says why in a file there.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moss_audio.errors import MossAudioError

_STOP = "stop.json"
_ROOM = 65_536  # reserved, so that a worker can still report that the disk is full


class Claims:
    """The claims of one run on one kind of work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self) -> None:
        """Forget those of earlier runs. For the process that starts the workers."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / _STOP).write_bytes(b" " * _ROOM)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the claims while the workers run; raises at the end what made one give up."""
        self.begin()
        yield
        self.check()
        shutil.rmtree(self.folder, ignore_errors=True)

    def take(self, shard: int) -> bool:
        """Whether the shard is now this worker's."""
        try:
            with (self.folder / f"{shard:05d}").open("x") as file:
                file.write(f"{socket.gethostname()} {os.getpid()}\n")
        except FileExistsError:
            return False
        return True

    def begun(self, name: str) -> int:
        """Count a start of what `name` stands for; returns how many there were so far."""
        with (self.folder / f"begun-{name}").open("ab") as file:
            file.write(b".")
            file.flush()
            return os.fstat(file.fileno()).st_size

    def taken_by(self, pid: int) -> list[int]:
        """Shards that a process of this machine took."""
        mark = f"{socket.gethostname()} {pid}\n"
        files = self.folder.glob("[0-9]*")
        return sorted(int(f.name) for f in files if f.read_text(encoding="utf-8") == mark)

    def stop(self, kind: str, text: str) -> None:
        """Tell the other workers to stop. Overwrites in place: needs no free space."""
        raw = json.dumps({"kind": kind, "text": text}).encode()[:_ROOM]
        with (self.folder / _STOP).open("r+b") as file:
            file.write(raw.ljust(_ROOM))

    def stopped(self) -> dict[str, Any] | None:
        """What a worker said when it gave up."""
        try:
            raw = (self.folder / _STOP).read_bytes().strip()
            return json.loads(raw) if raw else None
        except (OSError, ValueError):
            return None

    def work(self, do: Callable[[int], None], shards: Sequence[int]) -> None:
        """Take shards until none is left, or a worker gave up."""
        for shard in shards:
            if self.stopped() is not None:
                return
            if self.take(shard):
                self.guard(do, shard)

    def guard(self, do: Callable[[int], None], shard: int) -> None:
        """`do(shard)`, unless a worker gave up. What `do` raises is recorded, not raised;
        Ctrl-C passes through."""
        if self.stopped() is not None:
            return
        try:
            do(shard)
        except MossAudioError as error:
            self.stop("error", str(error))
        except MemoryError:
            self.stop("error", "out of memory: use fewer --workers or a smaller run.batch")
        except Exception:
            self.stop("bug", traceback.format_exc())

    def check(self) -> None:
        """Raises what made a worker give up: MossAudioError, or RuntimeError with a traceback."""
        word = self.stopped()
        if word is not None:
            if word["kind"] == "error":
                raise MossAudioError(word["text"])
            raise RuntimeError(f"a worker failed:\n{word['text']}")

"""The narrow face of an input that the decoder sees, in Python and from C.

Private to the audio loader.
"""

from __future__ import annotations

import os
import queue
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from moss_audio.errors import AudioError
from moss_audio.recordings.names import one_line

READ_BYTES = 65_536
SPOOL_MEMORY_BYTES = 16 * 1024 * 1024  # a download or a pipe beyond this goes to a temp file
SLOWEST_DOWNLOAD = 65_536  # bytes a second; one that comes faster is never broken off
PASS_PATH = "download the file and pass its path"


@dataclass(frozen=True)
class FetchLimits:
    """Bounds on inputs whose size is not known beforehand (URLs, pipes).

    ``timeout_s`` bounds the whole download, name lookup included; one of the user's own may take
    longer by what its bytes take at ``SLOWEST_DOWNLOAD``. Pipes obey ``max_bytes`` only.
    """

    max_bytes: int = 1024**3
    timeout_s: float = 120.0


@dataclass
class OpenedSource:
    """An input opened for reading: its reader, and what has to be told or undone later."""

    reader: ByteReader
    warnings: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None


class ByteReader:
    """The narrow face of a file that the decoder sees: read, seek, tell, and no name.

    Without a name FFmpeg judges an input by its content alone, so bytes, files and URLs of the
    same content decode the same. Reads are clipped to the size asked for, because the decoder
    copies what it gets into a buffer of that size.
    """

    def __init__(self, handle: Any, name: str) -> None:
        self._handle = handle
        self._name = name

    def read(self, size: int) -> bytes:
        try:
            data = self._handle.read(size)
        except Exception as error:  # any object can be passed as a file; all of its faults are one
            raise AudioError(f"{self._name}: reading failed: {one_line(error)}") from error
        if data is None:
            return b""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise AudioError(f"{self._name} is open in text mode; open it with mode 'rb'")
        if len(data) > size:
            raise AudioError(f"{self._name}: read({size}) returned {len(data)} bytes")
        return bytes(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            self._handle.seek(offset, whence)
            return int(self._handle.tell())
        except Exception as error:
            raise AudioError(f"{self._name}: seeking failed: {one_line(error)}") from error

    def tell(self) -> int:
        return int(self._handle.tell())

    def size(self) -> int:
        """Size in bytes; leaves the position at the beginning."""
        size = self.seek(0, os.SEEK_END)
        self.seek(0)
        return size


class CallbackReader:
    """A ``ByteReader`` for C code that calls back, in which no exception is lost.

    PyAV keeps an ``Exception`` that a callback raises, but drops every other one (Ctrl-C, what a
    caller's signal handler raises), and the read then looks like damage in the file. Here all are
    kept, and raised when a ``with`` around the call into C ends.

    A ``try`` in a Python function would be too late: pending signals are handled on entering it.
    So C gets builtins to call: a generator, which is entered inside its ``try``, and a queue.
    """

    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader
        self._failure: BaseException | None = None
        self._seeks: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._answers = [self._answer(reader.read, b""), self._answer(self._position, 0)]
        for answers in self._answers:
            next(answers)
        self.read = self._answers[0].send  # size -> bytes
        self.tell = self._answers[1].__next__  # -> position
        self.seek = self._seeks.put  # (offset, whence) -> None; done before what is asked next

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if self._failure is not None:
            raise self._failure

    def release(self) -> None:
        """Drop the generators, which refer to this object; C must not call any more."""
        for answers in self._answers:
            answers.close()
        self._answers = []

    def _answer(self, ask: Callable[[Any], Any], nothing: Any) -> Generator[Any, Any, None]:
        answer = nothing
        while True:
            try:
                while True:
                    asked = yield answer
                    answer = nothing
                    if self._failure is None:
                        self._seek()
                        answer = ask(asked)
            except GeneratorExit:
                return
            except BaseException as error:
                self._failure = error
                answer = nothing

    def _seek(self) -> None:
        while not self._seeks.empty():
            offset = self._seeks.get()
            # FFmpeg counts from the start, but for -1, which asks for the last byte.
            self._reader.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)

    def _position(self, _: object) -> int:
        return self._reader.tell()


def spool(handle: Any, name: str, limits: FetchLimits) -> Any:
    """A seekable copy of what cannot seek (a pipe), since most containers need seeks: in memory,
    or in a temporary file. Raises ``AudioError`` when it is larger than the limit."""
    reader = ByteReader(handle, name)
    copy: Any = tempfile.SpooledTemporaryFile(max_size=SPOOL_MEMORY_BYTES)  # noqa: SIM115
    total = 0
    try:
        while data := reader.read(READ_BYTES):
            total += len(data)
            if total > limits.max_bytes:
                raise AudioError(
                    f"{name} is larger than the limit of {limits.max_bytes} bytes for a pipe: "
                    "save it as a file and pass its path"
                )
            copy.write(data)
    except OSError as error:
        copy.close()
        raise AudioError(f"{name}: cannot be stored: {one_line(error)}") from error
    except BaseException:
        copy.close()
        raise
    return copy

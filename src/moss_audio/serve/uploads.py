"""Sound that clients send: bytes of a form, or base64. What they write is never a path or an
address."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
from collections.abc import Sequence
from typing import Any, BinaryIO

from moss_audio.errors import AudioError
from moss_audio.recordings import audio_duration
from moss_audio.recordings.names import is_data_uri, printable
from moss_audio.recordings.sources import decode_data_uri
from moss_audio.serve.config import Limits
from moss_audio.serve.errors import ApiError

# A container that does not say how long it is has at least so many bytes a second, most likely.
_LEAST_RATE = 1000


class Upload:
    """Bytes of a client as a file that `load_audio` reads, under the name that the client gave."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = printable(name) or "file"
        self._file = file
        self.n_bytes = file.seek(0, io.SEEK_END)
        file.seek(0)

    @classmethod
    def of(cls, data: bytes, name: str) -> Upload:
        """Bytes in memory."""
        return cls(io.BytesIO(data), name)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    @property
    def closed(self) -> bool:
        """Whether its request has ended; a thread may still be reading it then."""
        return self._file.closed

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def from_base64(data: Any, param: str) -> Upload:
    """The clip of an `input_audio` part.

    Raises:
        ApiError: if it is not base64.
    """
    if not isinstance(data, str):
        raise ApiError(400, f"{param}: give the file's bytes in base64", param=param)
    try:
        return Upload.of(base64.b64decode("".join(data.split()), validate=True), param)
    except (binascii.Error, ValueError):
        raise ApiError(400, f"{param}: this is not base64", param=param) from None


def from_data_uri(uri: Any, param: str) -> Upload:
    """The clip of an `audio_url` part.

    Raises:
        ApiError: for anything but a `data:` URI, since no address is fetched.
    """
    if not isinstance(uri, str) or not is_data_uri(uri):
        raise ApiError(
            400, f"{param}: addresses are not fetched; send the clip itself, as a data: URI or in "
            "an input_audio part", code="url_not_allowed", param=param,
        )  # fmt: skip
    try:
        return Upload.of(decode_data_uri(uri, param), param)
    except AudioError as error:
        raise ApiError(400, str(error), param=param) from None


async def measure(clips: Sequence[Upload], limits: Limits) -> float:
    """Seconds of sound in clips, as their containers say.

    Raises:
        AudioError: for what is not audio.
        ApiError: 413 for more than `limits.audio_s`.
    """
    total = 0.0
    for clip in clips:
        known = await asyncio.to_thread(audio_duration, clip)  # type: ignore[arg-type]
        total += min(limits.audio_s, clip.n_bytes / _LEAST_RATE) if known is None else known
    check_seconds(total, limits)
    return total


def check_seconds(seconds: float, limits: Limits) -> None:
    """Raises ApiError, 413, for more sound than is allowed."""
    if seconds > limits.audio_s:
        raise ApiError(413, f"more than {limits.audio_s:g} s of sound: send a part of it",
                       code="audio_too_long", param="file")  # fmt: skip

"""Sound that clients send: bytes of a form, or base64. What they write is never a path, and an
address only of a host that the operator named."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO

from moss_audio.errors import AudioError
from moss_audio.recordings import FetchLimits, audio_duration
from moss_audio.recordings.download import fetch
from moss_audio.recordings.names import printable
from moss_audio.recordings.sources import decode_data_uri
from moss_audio.recordings.web import AddressError, AllowedHosts
from moss_audio.serve.config import Limits
from moss_audio.serve.errors import ApiError

# A container that does not say how long it is has at least so many bytes a second, most likely.
_LEAST_RATE = 1000
_SEND = "addresses are not fetched; send the clip itself, as a data: URI or in an input_audio part"


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


def base64_bytes(data: Any, param: str) -> bytes:
    """What a client wrote in base64; white space in it does not count.

    Raises:
        ApiError: if it is not base64.
    """
    if not isinstance(data, str):
        raise ApiError(400, f"{param}: give the bytes of sound in base64, as a text",
                       code="invalid_value", param=param)  # fmt: skip
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, f"{param}: this is not base64", code="invalid_value",
                       param=param) from None  # fmt: skip


def from_base64(data: Any, param: str) -> Upload:
    """The clip of an `input_audio` part.

    Raises:
        ApiError: if it is not base64.
    """
    return Upload.of(base64_bytes(data, param), param)


def from_data_uri(uri: str, param: str) -> Upload:
    """The clip of an `audio_url` part with a `data:` URI.

    Raises:
        ApiError: if it is malformed.
    """
    try:
        return Upload.of(decode_data_uri(uri, param), param)
    except AudioError as error:
        raise ApiError(400, str(error), param=param) from None


@dataclass(frozen=True)
class RemoteClip:
    """The clip of an `audio_url` part with an address. `param` is its place in the request."""

    url: str
    param: str


class Fetcher:
    """Fetches what clients name by address, where the operator allows it.

    Args:
        hosts: that may be asked; none: no address is fetched.
        limits: on bytes, on time, and on how many requests are served at once.
    """

    def __init__(self, hosts: Sequence[str], limits: Limits) -> None:
        self._allowed = AllowedHosts.of(hosts)
        self._limits = limits
        # threads of their own: a slow host keeps nobody waiting who has sent his clip
        self._pool = ThreadPoolExecutor(limits.fetches, "fetch")

    async def uploads(self, clips: Sequence[Upload | RemoteClip]) -> list[Upload]:
        """The clips, those with an address fetched.

        Raises:
            ApiError: for an address that is not allowed or cannot be fetched; 413 for more than
                `limits.body_bytes`.
        """
        remote = [clip for clip in clips if isinstance(clip, RemoteClip)]
        if not remote:
            return [clip for clip in clips if isinstance(clip, Upload)]
        for clip in remote:
            self._check(clip)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._fetched, clips)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fetched(self, clips: Sequence[Upload | RemoteClip]) -> list[Upload]:
        left = self._limits.body_bytes
        until = time.monotonic() + self._limits.fetch_s
        found: list[Upload] = []
        for clip in clips:
            if isinstance(clip, RemoteClip):
                clip = self._one(clip, FetchLimits(left, max(0.1, until - time.monotonic())))
                left = max(1, left - clip.n_bytes)
            found.append(clip)
        return found

    def _check(self, clip: RemoteClip) -> None:
        """Refuse what need not be resolved to be refused."""
        try:
            if not self._allowed.names:
                raise AddressError(_SEND)
            self._allowed.check(clip.url)
        except AddressError as error:
            raise _not_fetched(AddressError(f"{clip.param}: {error}"), clip) from None

    def _one(self, clip: RemoteClip, limits: FetchLimits) -> Upload:
        try:
            file, warnings = fetch(clip.url, clip.param, limits, self._allowed)
            if warnings:
                file.close()
                raise AudioError(warnings[0])
        except AudioError as error:
            raise _not_fetched(error, clip) from None
        return Upload(file, clip.param)


def _not_fetched(error: AudioError, clip: RemoteClip) -> ApiError:
    code = "url_not_allowed" if isinstance(error, AddressError) else "url_not_fetched"
    return ApiError(400, str(error), code=code, param=clip.param)


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

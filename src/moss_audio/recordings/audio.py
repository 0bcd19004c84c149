"""Any recording -> mono float32 at 16 kHz. The only loader of the package.

An input is a path, ``bytes``, a binary file object, an ``http(s)`` URL, a ``data:`` URI, an array
or tensor with its rate, a row of a Hugging Face data set, or an ``Audio``. Whatever FFmpeg decodes
is accepted, the audio of videos included; channels are averaged, unless they cancel each other.

Whole or in blocks, the samples are the same: ``load_audio`` joins what ``stream_audio`` gives.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from moss_audio.errors import AudioError
from moss_audio.recordings.arrays import ArraySource, describe_array, is_array, with_rate
from moss_audio.recordings.decode import MediaSource
from moss_audio.recordings.names import describe_bytes_source
from moss_audio.recordings.reader import FetchLimits
from moss_audio.recordings.resample import to_16k
from moss_audio.recordings.sources import open_source, reads_once
from moss_audio.units import MAX_TIME_S, SAMPLE_RATE


@dataclass(frozen=True, eq=False)
class Audio:
    """A loaded clip.

    ``samples`` [n] float32, mono, 16 kHz. ``source`` names the input in messages. ``warnings``
    are lines for the user; ``flawed`` is whether one says that samples are lost or wrong (cut
    short, damaged), not just how they were heard. ``start_s`` is where in its source it begins.
    """

    samples: np.ndarray
    source: str
    warnings: tuple[str, ...] = ()
    start_s: float = 0.0
    flawed: bool = False

    def __post_init__(self) -> None:
        samples = self.samples
        if not isinstance(samples, np.ndarray) or samples.dtype != np.float32 or samples.ndim != 1:
            raise AudioError(
                f"{self.source}: Audio.samples must be a 1-D float32 array at 16 kHz; "
                "load_audio((array, rate)) makes one"
            )

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE


AudioInput = str | os.PathLike[str] | bytes | BinaryIO | np.ndarray | tuple[Any, int] | Audio | Path


def describe_source(x: AudioInput) -> str:
    """A name for ``x`` on one line, for messages: the path, the URL without password and query,
    ``<1234 bytes>``, the array's shape. Never fails."""
    if isinstance(x, Audio):
        return x.source
    if is_array(x):
        return describe_array(x)
    x = with_rate(x)
    if isinstance(x, tuple):
        if len(x) == 2 and is_array(x[0]):
            return describe_array(x[0])
        return f"<tuple of {len(x)}>"
    return describe_bytes_source(x)


def load_audio(
    x: AudioInput,
    *,
    sample_rate: int | None = None,
    start: float | None = None,
    end: float | None = None,
    track: int | None = None,
    limits: FetchLimits | None = None,
) -> Audio:
    """Load ``x``, or its seconds ``start`` to ``end``, as mono float32 at 16 kHz.

    Args:
        x: path, bytes, file object, URL, data URI, array or (array, rate), Audio, or
            {"array", "sampling_rate"}. Arrays (tensors on the CPU, too) are [n], [channels, n] or
            [n, channels] (the shorter axis is the channels), floats with full scale 1 or
            int8/uint8/int16/int32.
        sample_rate: Hz of a bare array; for nothing else.
        start, end: seconds; an end beyond the last sample means the last sample. A part is the
            slice ``round(start * 16000)`` to ``round(end * 16000)`` of the whole: bit for bit
            for PCM and FLAC at 16 kHz; within float rounding at other rates once ``start`` is
            late enough to seek; within a container's time stamps for lossy ones. Times are the
            container's, as a player shows them: what starts late, or again after a gap, has
            silence before it.
        track: which audio track of a media file that has several, from 1; None takes the main
            one, and a line in ``warnings`` says so.
        limits: bounds for URLs and pipes.

    A file that is cut short or damaged gives what can be decoded, and says so in ``warnings``.

    Raises:
        AudioError: one line naming the input: not found, a directory, no permission, not media,
            no audio stream, empty, NaN or infinite, an absurd rate, a failed download, a part
            that lies outside.
    """
    if isinstance(x, Audio) and sample_rate is None and start is None and end is None:
        if not len(x.samples):
            raise AudioError(f"{x.source} holds no audio samples")
        return x
    stream = stream_audio(
        x, sample_rate=sample_rate, start=start, end=end, track=track, limits=limits
    )
    blocks = list(stream)
    samples = np.empty(sum(map(len, blocks)), np.float32)
    position = len(samples)
    while blocks:  # from the last on, each freed once copied: no second copy of a long recording
        block = blocks.pop()
        position -= len(block)
        samples[position : position + len(block)] = block
    return Audio(samples, stream.source, tuple(stream.warnings), stream.start_s, stream.flawed)


def stream_audio(
    x: AudioInput,
    *,
    block_s: float = 30.0,
    sample_rate: int | None = None,
    start: float | None = None,
    end: float | None = None,
    track: int | None = None,
    limits: FetchLimits | None = None,
) -> AudioStream:
    """Iterate over ``x`` in blocks [block_s * 16000] float32 (the last one is shorter), which
    join to exactly ``load_audio``'s samples. Memory depends on ``block_s``, not on the length.

    Arguments and errors are ``load_audio``'s. Arguments are checked at once; the input is opened
    when the first block is asked for. The iterator's ``warnings`` are complete at its end.
    """
    if not (isinstance(block_s, Real) and math.isfinite(block_s) and SAMPLE_RATE * block_s >= 1):
        raise AudioError(f"{describe_source(x)}: block_s {block_s} must be a positive time")
    return AudioStream(x, block_s, sample_rate, start, end, track, limits or FetchLimits())


class AudioStream(Iterator[np.ndarray]):
    """Blocks of one input, made by ``stream_audio``. ``source``, ``flawed`` and ``start_s`` as in
    ``Audio``; ``warnings`` grows while reading; ``layout`` is, from the first block on, the rate
    and channels that a media file's header states (0: only decoding tells). ``close`` (or a
    ``with``) ends it early."""

    def __init__(
        self,
        x: AudioInput,
        block_s: float,
        sample_rate: int | None,
        start: float | None,
        end: float | None,
        track: int | None,
        limits: FetchLimits,
    ) -> None:
        self.source = describe_source(x)
        self.warnings: list[str] = []
        self.layout = (0, 0)
        self.flawed = isinstance(x, Audio) and x.flawed
        self._track = track
        check_part(start, end, track, self.source)
        first = round((start or 0.0) * SAMPLE_RATE)
        last = None if end is None else round(end * SAMPLE_RATE)
        self.start_s = first / SAMPLE_RATE
        if isinstance(x, Audio):
            self.warnings.extend(x.warnings)
            self.start_s += x.start_s
        self._array = _array_source(x, sample_rate)
        if self._array is not None and (track or 1) > 1:
            raise AudioError(f"{self.source} has 1 audio track, no track {track}")
        block_samples = max(1, round(block_s * SAMPLE_RATE))
        self._blocks = _reblock(self._pieces(x, first, last, limits), block_samples)

    def _pieces(
        self, x: Any, first: int, last: int | None, limits: FetchLimits
    ) -> Iterator[np.ndarray]:
        if self._array is not None:
            yield from to_16k(self._array, first, last)
            self.warnings.extend(self._array.warnings)
            self.flawed |= self._array.flawed
            return
        opened = open_source(x, limits)
        try:
            self.warnings.extend(opened.warnings)
            self.flawed = bool(opened.warnings)
            media = MediaSource(opened.reader, self.source, self._track)
            self.layout = (media.sample_rate, media.channels)
            try:
                yield from to_16k(media, first, last)
            finally:
                media.close()
                self.warnings.extend(media.warnings)
                self.flawed |= media.flawed
        finally:
            opened.close()

    def __next__(self) -> np.ndarray:
        return next(self._blocks)

    def close(self) -> None:
        self._blocks.close()

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def audio_duration(x: AudioInput, *, limits: FetchLimits | None = None) -> float | None:
    """Seconds of ``x`` as its container states them, or its packets where the container does not,
    without decoding; of an array or an Audio, exactly. None for a live recording, whose container
    does not know, and for a pipe, which reading would use up.

    Raises ``AudioError`` when ``x`` cannot be opened as audio. A URL is downloaded for it.
    """
    if isinstance(x, Audio):
        return x.duration_s
    array = _array_source(x, None)
    if array is not None:
        return array.duration_s()
    if reads_once(x):
        return None
    opened = open_source(x, limits or FetchLimits())
    try:
        media = MediaSource(opened.reader, describe_source(x))
        try:
            return media.duration_s()
        finally:
            media.close()
    finally:
        opened.close()


def check_part(start: Any, end: Any, track: Any, name: str = "audio") -> None:
    """Raise ``AudioError`` for what cannot be the ``start``, ``end`` and ``track`` of any input."""
    for label, value in (("start", start), ("end", end)):
        if value is None:
            continue
        if not isinstance(value, Real) or isinstance(value, bool):
            raise AudioError(f"{name}: {label} {value!r} must be a number of seconds")
        if not 0 <= value <= MAX_TIME_S:  # type: ignore[operator]  # NaN is not, either
            raise AudioError(f"{name}: {label} {value} must be seconds from 0 to {MAX_TIME_S:g}")
    if end is not None and round(end * SAMPLE_RATE) <= round((start or 0.0) * SAMPLE_RATE):
        raise AudioError(
            f"{name}: the part would end at {end:g} s, but begin at {start or 0.0:g} s: give an "
            "end after the start"
        )
    if track is not None and (not isinstance(track, int) or track is True or track < 1):
        raise AudioError(f"{name}: track {track!r} must be a number from 1 on")


def _array_source(x: Any, sample_rate: Any) -> ArraySource | None:
    """The source for samples in memory; None for encoded media."""
    name = describe_source(x)
    if isinstance(x, Audio):
        if sample_rate not in (None, SAMPLE_RATE):
            raise AudioError(f"{name}: sample_rate {sample_rate} given, but Audio is at 16000 Hz")
        return ArraySource(x.samples, SAMPLE_RATE, name)
    x = with_rate(x)
    if isinstance(x, tuple):
        if len(x) != 2 or not is_array(x[0]):
            raise AudioError(f"{name}: a tuple must be (array, sample rate)")
        x, rate = x
        if sample_rate is not None and sample_rate != rate:
            raise AudioError(f"{name}: two sample rates given, {rate} and {sample_rate}")
        sample_rate = rate
    if not is_array(x):
        if sample_rate is not None:
            raise AudioError(
                f"{name}: sample_rate is for bare arrays; a media file carries its own"
            )
        return None
    if sample_rate is None:
        raise AudioError(f"{name}: an array needs its rate; pass (array, rate) or sample_rate=")
    return ArraySource(x, sample_rate, name)


def _reblock(pieces: Iterator[np.ndarray], block_samples: int) -> Any:
    """Pieces of any size -> blocks of ``block_samples`` (the last one shorter)."""
    waiting: list[np.ndarray] = []
    n_waiting = 0
    try:
        for piece in pieces:
            while n_waiting + len(piece) >= block_samples:
                cut = block_samples - n_waiting
                yield np.concatenate([*waiting, piece[:cut]])
                waiting, n_waiting, piece = [], 0, piece[cut:]
            if len(piece):
                waiting.append(piece)
                n_waiting += len(piece)
        if waiting:
            yield np.concatenate(waiting)
    finally:
        pieces.close()  # type: ignore[attr-defined]

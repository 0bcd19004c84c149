"""Telephone and low-rate codecs: a sound is encoded and decoded by FFmpeg's libraries (PyAV).

The containers carry what a codec delays, and the decoder drops it: what comes back lies where it
was. The length is that of the input.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.units import SAMPLE_RATE

# Name -> container, FFmpeg's encoder, its rate in Hz, bit rates to draw from (none: fixed).
_CODECS: dict[str, tuple[str, str, int, tuple[int, ...]]] = {
    "alaw": ("wav", "pcm_alaw", 8_000, ()),
    "mulaw": ("wav", "pcm_mulaw", 8_000, ()),
    "mp3": ("mp3", "libmp3lame", SAMPLE_RATE, (16_000, 24_000, 32_000, 48_000)),
    "opus": ("ogg", "libopus", 48_000, (6_000, 8_000, 12_000, 16_000, 24_000)),
}


CODECS = tuple(_CODECS)


def bit_rates(name: str) -> tuple[int, ...]:
    """Rates a codec is used at, in bits a second; empty for one of a single rate."""
    return _CODECS[name][3]


def through(samples: np.ndarray, name: str, bit_rate: int | None = None) -> np.ndarray:
    """Encode and decode. float32 [n] at 16 kHz, clipped to full scale -> float32 [n].

    Raises MossAudioError if the installed PyAV has no such encoder.
    """
    import soxr

    container, encoder, rate, _ = _CODECS[name]
    x = np.clip(samples, -1.0, 1.0).astype(np.float32)
    if not x.size:
        return x
    sent = (
        x
        if rate == SAMPLE_RATE
        else np.asarray(soxr.resample(x, SAMPLE_RATE, rate, quality="HQ"), np.float32)
    )
    try:
        heard, heard_rate = _decode(_encode(sent, container, encoder, rate, bit_rate))
    except (ValueError, OSError) as error:  # PyAV's own errors are kinds of these
        raise MossAudioError(
            f"codec {name!r}: PyAV cannot use FFmpeg's {encoder} ({error}); leave it out of "
            "effects.codecs"
        ) from error
    if heard_rate != SAMPLE_RATE:
        heard = np.asarray(soxr.resample(heard, heard_rate, SAMPLE_RATE, quality="HQ"), np.float32)
    return np.pad(heard[: x.size], (0, max(0, x.size - heard.size)))


def _encode(x: np.ndarray, container: str, encoder: str, rate: int, bits: int | None) -> io.BytesIO:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream: Any = out.add_stream(encoder, rate=rate)
        stream.layout = "mono"
        if bits:
            stream.bit_rate = bits
        pcm = np.rint(np.clip(x, -1, 1) * 32767.0).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    buffer.seek(0)
    return buffer


def _decode(buffer: io.BytesIO) -> tuple[np.ndarray, int]:
    import av

    with av.open(buffer, "r") as source:
        rate = int(source.streams.audio[0].rate)
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
        frames = [out for frame in source.decode(audio=0) for out in resampler.resample(frame)]
        blocks = [f.to_ndarray().reshape(-1) for f in [*frames, *resampler.resample(None)]]
    return np.concatenate(blocks).astype(np.float32), rate


def mu_law(samples: np.ndarray) -> np.ndarray:
    """A telephone's companding to 8 bits and back (ITU-T G.711's curve). `[n]` within [-1, 1]."""
    coded = np.sign(samples) * np.log1p(255 * np.abs(samples)) / np.log1p(255)
    coded = np.round(coded * 127) / 127
    return np.asarray(np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(255)) / 255)

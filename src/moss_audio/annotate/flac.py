"""Sound -> bytes of FLAC or another codec, mono, 16 kHz: equal samples give equal bytes."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import numpy as np

from moss_audio.units import SAMPLE_RATE

_FULL_SCALE = 32768.0  # what the loader divides 16-bit samples by: PCM at 16 kHz passes unchanged


def pcm(samples: np.ndarray) -> np.ndarray:
    """Float [n] -> int16 [n], clipped at full scale."""
    scaled = np.rint(samples.astype(np.float64) * _FULL_SCALE)
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2")


def encode(samples: np.ndarray) -> bytes:
    """A FLAC file of mono float32 samples [n] at 16 kHz."""
    return encoded(pcm(samples), "flac", "flac", block=4096)


def encoded(whole: np.ndarray, container: str, codec: str, *, block: int, bits: int = 0) -> bytes:
    """A file of mono int16 samples [n] at 16 kHz, the same for the same samples.

    `block` samples are handed over at a time; `bits` a second, where the codec takes a rate.
    """
    import av

    file = io.BytesIO()
    # Without "bitexact" FFmpeg draws a random stream number and writes its version.
    with av.open(file, "w", format=container, options={"fflags": "+bitexact"}) as out:
        stream: Any = out.add_stream(codec, rate=SAMPLE_RATE, layout="mono", format="s16")
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        if bits:
            stream.bit_rate = bits
        for start in range(0, len(whole), block):
            part = np.ascontiguousarray(whole[None, start : start + block])
            frame = av.AudioFrame.from_ndarray(part, "s16", "mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            frame.time_base = Fraction(1, SAMPLE_RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()

"""A segment's sound inside a page: encoded for a player, as a waveform, as a mel spectrogram."""

from __future__ import annotations

import base64
from fractions import Fraction

import av
import numpy as np

from moss_audio.annotate.flac import encoded
from moss_audio.plot import mel_picture
from moss_audio.units import SAMPLE_RATE

OPUS_BITS_PER_S = 24_000
N_MELS = 64
_WAVE_COLUMNS = 1600
_MEL_COLUMNS = 960
_RANGE_LOG10 = 5.0  # of mel power below the loudest value: 50 dB
_LEVELS = 64
# From quiet to loud; close to black at one end and to white at the other, so that it reads in
# grey as well, on a light page and on a dark one.
_RAMP = (
    (8, 12, 28),
    (24, 52, 96),
    (38, 108, 150),
    (92, 168, 168),
    (188, 214, 168),
    (252, 246, 214),
)


def opus_uri(samples: np.ndarray) -> str:
    """Mono float32 at 16 kHz [n] as a `data:` URI of Opus in Ogg; equal samples, equal text."""
    whole = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    data = encoded(whole, "ogg", "libopus", block=SAMPLE_RATE, bits=OPUS_BITS_PER_S)
    return _uri("audio/ogg; codecs=opus", data)


def waveform_path(samples: np.ndarray) -> str:
    """An SVG path of the lowest and highest sample of each column, x 0 to 1600, y -100 to 100."""
    if not len(samples):
        return f"M0 0H{_WAVE_COLUMNS}"
    columns = min(_WAVE_COLUMNS, len(samples))
    edges = np.linspace(0, len(samples), columns, endpoint=False).astype(int)
    scale = 98 / max(float(np.abs(samples).max()), 1e-3)
    high = np.round(-np.maximum.reduceat(samples, edges) * scale).astype(int)
    low = np.round(-np.minimum.reduceat(samples, edges) * scale).astype(int)
    xs = np.round(np.linspace(0, _WAVE_COLUMNS, columns)).astype(int)
    upper = "L".join(f"{x} {y}" for x, y in zip(xs, high, strict=True))
    lower = "L".join(f"{x} {y}" for x, y in zip(xs[::-1], low[::-1], strict=True))
    return f"M{upper}L{lower}Z"


def spectrogram_uri(samples: np.ndarray) -> str:
    """Mel power over time as a `data:` URI of a PNG: 64 bands, the lowest at the bottom."""
    mel = mel_picture(samples, N_MELS, _MEL_COLUMNS)
    # Against full scale for what is very quiet, so that silence stays dark.
    loudest = max(float(mel.max()), -4.0)
    level = np.clip((mel - loudest) / _RANGE_LOG10 + 1, 0, 1)
    pixels = np.round(level[::-1] * (_LEVELS - 1)).astype(np.uint8)
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt = mel.shape[1], N_MELS, "pal8"  # type: ignore[attr-defined]
    codec.time_base = Fraction(1, 1)
    codec.options = {"compression_level": "9", "pred": "none"}
    frame = av.VideoFrame.from_ndarray((np.ascontiguousarray(pixels), _palette()), "pal8")  # type: ignore[arg-type]
    packets = [*codec.encode(frame), *codec.encode(None)]  # type: ignore[attr-defined]
    return _uri("image/png", b"".join(bytes(packet) for packet in packets))


def _palette() -> np.ndarray:
    """[256, 4] uint8 alpha, red, green, blue: `_RAMP` in `_LEVELS` steps."""
    at = np.linspace(0, len(_RAMP) - 1, _LEVELS)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0] = 255
    for channel in range(3):
        ramp = [color[channel] for color in _RAMP]
        palette[:_LEVELS, channel + 1] = np.round(np.interp(at, range(len(_RAMP)), ramp))
    return palette


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"

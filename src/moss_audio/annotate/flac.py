"""Sound -> FLAC bytes, 16 bits, mono, 16 kHz: the same samples give the same bytes."""

from __future__ import annotations

import io

import numpy as np

from moss_audio.units import SAMPLE_RATE

_FULL_SCALE = 32768.0  # what the loader divides 16-bit samples by: PCM at 16 kHz passes unchanged
_FRAME_SAMPLES = 4096


def pcm(samples: np.ndarray) -> np.ndarray:
    """Float [n] -> int16 [n], clipped at full scale."""
    scaled = np.rint(samples.astype(np.float64) * _FULL_SCALE)
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2")


def encode(samples: np.ndarray) -> bytes:
    """A FLAC file of mono float32 samples [n] at 16 kHz."""
    import av

    whole = pcm(samples)
    file = io.BytesIO()
    with av.open(file, "w", format="flac", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono", format="s16")
        stream.codec_context.options = {"flags": "+bitexact"}
        for start in range(0, len(whole), _FRAME_SAMPLES):
            part = np.ascontiguousarray(whole[start : start + _FRAME_SAMPLES])
            frame = av.AudioFrame.from_ndarray(part[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()

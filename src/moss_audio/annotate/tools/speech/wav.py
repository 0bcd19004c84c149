"""Samples as the bytes of a WAV file, for endpoints that take files."""

from __future__ import annotations

import io
import wave

import numpy as np

from moss_audio.units import SAMPLE_RATE


def wav_bytes(samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> bytes:
    """Mono float32 `[n]` as a 16-bit WAV file; what is beyond full scale is clipped."""
    pcm = np.clip(np.rint(samples * 32767.0), -32768, 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(pcm.tobytes())
    return buffer.getvalue()

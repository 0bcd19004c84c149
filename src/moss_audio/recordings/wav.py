"""16-bit WAV files for those who take no samples."""

from __future__ import annotations

import io
import wave

import numpy as np

from moss_audio.units import SAMPLE_RATE


def to_pcm16(samples: np.ndarray) -> np.ndarray:
    """Float samples `[n]` as 16-bit ones; what is beyond full scale is clipped."""
    return np.clip(np.rint(samples * 32767.0), -32768, 32767).astype("<i2")


def wav_bytes(samples: np.ndarray, rate: int = SAMPLE_RATE) -> bytes:
    """A mono file of samples `[n]` at `rate` Hz: of 16 bits as they are, or floats."""
    pcm = samples if samples.dtype == np.int16 else to_pcm16(samples)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.astype("<i2").tobytes())
    return buffer.getvalue()

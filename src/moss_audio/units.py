"""The one formula between samples, mel frames, audio tokens and seconds (spec, section 1)."""

from __future__ import annotations

SAMPLE_RATE = 16_000
HOP_SAMPLES = 160  # 10 ms
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_SAMPLES  # 100
STEM_STRIDES = 3  # the encoder's stem halves the time axis three times
FRAMES_PER_TOKEN = 2**STEM_STRIDES  # 8 frames, 80 ms
MAX_TIME_S = 1e8  # three years; a later time is a mistake, and would overflow time stamps
TOKENS_PER_SECOND = FRAMES_PER_SECOND / FRAMES_PER_TOKEN  # 12.5


def num_frames(n_samples: int) -> int:
    """Mel frames of a clip of `n_samples` samples at 16 kHz."""
    return n_samples // HOP_SAMPLES


def num_tokens(n_frames: int) -> int:
    """Audio tokens of a clip of `n_frames` mel frames: halved (rounding up) three times."""
    length = n_frames
    for _ in range(STEM_STRIDES):
        length = (length - 1) // 2 + 1 if length > 0 else 0
    return length


def num_tokens_of_samples(n_samples: int) -> int:
    """Audio tokens of a clip of `n_samples` samples at 16 kHz."""
    return num_tokens(num_frames(n_samples))


def seconds_to_samples(seconds: float) -> int:
    """Samples at 16 kHz nearest to `seconds`."""
    return round(seconds * SAMPLE_RATE)


def samples_to_seconds(n_samples: int) -> float:
    """Duration of `n_samples` samples at 16 kHz, in seconds."""
    return n_samples / SAMPLE_RATE

"""Any recording -> mono float32 at 16 kHz: the only reader of sound in the package."""

from moss_audio.recordings.arrays import is_array
from moss_audio.recordings.audio import (
    Audio,
    AudioInput,
    AudioStream,
    FetchLimits,
    audio_duration,
    check_part,
    describe_source,
    load_audio,
    stream_audio,
)

__all__ = [
    "Audio",
    "AudioInput",
    "AudioStream",
    "FetchLimits",
    "audio_duration",
    "check_part",
    "describe_source",
    "is_array",
    "load_audio",
    "stream_audio",
]

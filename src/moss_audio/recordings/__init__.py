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
from moss_audio.recordings.names import is_url

__all__ = [
    "Audio",
    "AudioInput",
    "AudioStream",
    "FetchLimits",
    "audio_duration",
    "check_part",
    "describe_source",
    "is_array",
    "is_url",
    "load_audio",
    "stream_audio",
]

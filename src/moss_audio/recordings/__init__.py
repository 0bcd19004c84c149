"""Any recording -> mono float32 at 16 kHz: the only reader of sound in the package."""

from moss_audio.recordings.audio import (
    Audio,
    AudioInput,
    AudioStream,
    FetchLimits,
    audio_duration,
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
    "describe_source",
    "load_audio",
    "stream_audio",
]

"""Speech engines, a plugin a file; each imports what it needs only when it is opened."""

from __future__ import annotations

from typing import Any

from moss_audio.errors import MossAudioError
from moss_audio.scenes.voices.base import SynthesisedSpeech, UnalignedError, Voice, VoiceInfo

ENGINES = ("hibari", "piper", "flite", "espeak", "festival")

__all__ = [
    "ENGINES",
    "SynthesisedSpeech",
    "UnalignedError",
    "Voice",
    "VoiceInfo",
    "open_voice",
    "voice_info",
]


def open_voice(engine: str, seed: int = 0) -> Voice:
    """Load an engine by name, one of ENGINES; `seed` fixes the noise an engine draws itself.

    Raises MissingDependencyError if what the engine needs is not installed.
    """
    kind = _class_of(engine)
    if engine == "flite":
        from moss_audio.scenes.voices.isolated import IsolatedVoice

        return IsolatedVoice(kind, kind.info, seed)
    voice: Voice = kind(seed)
    return voice


def voice_info(engine: str) -> VoiceInfo:
    """Where an engine comes from, whether it is installed or not."""
    info: VoiceInfo = _class_of(engine).info
    return info


def _class_of(engine: str) -> Any:
    match engine:
        case "hibari":
            from moss_audio.scenes.voices.hibari import HibariVoice

            return HibariVoice
        case "piper":
            from moss_audio.scenes.voices.piper import PiperVoice

            return PiperVoice
        case "flite":
            from moss_audio.scenes.voices.flite import FliteVoice

            return FliteVoice
        case "espeak":
            from moss_audio.scenes.voices.espeak import EspeakVoice

            return EspeakVoice
        case "festival":
            from moss_audio.scenes.voices.festival import FestivalVoice

            return FestivalVoice
    raise MossAudioError(f"no voice engine {engine!r}; use one of {', '.join(ENGINES)}")

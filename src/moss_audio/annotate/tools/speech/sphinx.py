"""Pocketsphinx, whose package carries an English model: transcripts and word times, offline.

An old recogniser, and a weak one: it errs independently of neural ones, which is what a second
opinion is for. Its output has neither case nor punctuation. As an aligner it has 10 ms steps; words
are spelled as they are spoken (numbers in words). Those that the dictionary lacks get a
pronunciation learnt from it (`pronounce`) and the attribute `pronounced`; those without a letter
to pronounce get times between their neighbours and the attribute `interpolated`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.annotate.flac import pcm
from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import SpeechTool
from moss_audio.annotate.tools.speech.pronounce import LetterToSound, read_dictionary
from moss_audio.annotate.tools.speech.timing import AlignerTool, Marks, Times
from moss_audio.errors import MissingDependencyError, MossAudioError
from moss_audio.longform import is_silent
from moss_audio.text import normalize_words
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
    search.reinit_feat()
    search.start_utt()
    search.process_raw(pcm(samples).tobytes(), full_utt=True)
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
    defaults = SphinxConfig
    config: SphinxConfig

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
        text = " ".join(span.label for span in spans)
        return self.found(text=text, spans=spans, values={"language": "en"})


@dataclass(frozen=True)
class SphinxAlignConfig:
    """How wide the search is; the package's own beams lose one clip in ten."""

    beam: float = 1e-200
    # Above this share of words that cannot be pronounced the text is not for this aligner.
    most_unpronounceable: float = 0.2


class SphinxAligner(AlignerTool):
    """Aligns by pocketsphinx."""

    name = "align-sphinx"
    language = "en"
    packages = ("pocketsphinx",)
    defaults = SphinxAlignConfig
    config: SphinxAlignConfig

    def __init__(self, config: SphinxAlignConfig | None = None) -> None:
        super().__init__(config)
        self._sounds: LetterToSound | None = None
        self._learnt: set[str] = set()

    def load(self) -> Any:
        """The acoustic model and the dictionary."""
        beam = self.config.beam
        # The lattice search after the first pass does not know the end of the text.
        return decoder(lm=None, bestpath=False, beam=beam, wbeam=beam, pbeam=beam)

    def align(self, samples: np.ndarray, text: str) -> tuple[Times, Marks]:
        tokens: list[tuple[int, str]] = []
        marks: Marks = {}
        words = text.split()
        silent = 0
        for index, word in enumerate(words):
            parts = normalize_words(word)
            known = [self._know(part) for part in parts]
            if not parts or None in known:
                silent += bool(parts)
                continue
            if any(known):
                marks[index] = {"pronounced": True}
            tokens += [(index, part) for part in parts]
        if not tokens or silent > self.config.most_unpronounceable * len(words):
            return {}, {}
        try:
            self.model.set_align_text(" ".join(part for _, part in tokens))
            heard = [w for w in decode(self.model, samples) if plain_word(w[0])]
        except RuntimeError:  # e.g. fewer frames than phones
            return {}, {}
        if len(heard) != len(tokens):
            return {}, {}
        times: Times = {}
        limit = len(samples) / SAMPLE_RATE
        for (index, _), (_, start, end) in zip(tokens, heard, strict=True):
            times[index] = (times.get(index, (start, end))[0], min(end, limit))
        return times, marks

    def _know(self, word: str) -> bool | None:
        """Whether a word's pronunciation is guessed; None if it has none."""
        if word in self._learnt:
            return True
        if self.model.lookup_word(word) is not None:
            return False
        if self._sounds is None:
            from pocketsphinx import get_model_path

            path = Path(get_model_path("en-us/cmudict-en-us.dict"))
            self._sounds = LetterToSound(read_dictionary(path))
        phones = self._sounds(word)
        if not phones:
            return None
        self.model.add_word(word, " ".join(phones), update=False)
        self._learnt.add(word)
        return True

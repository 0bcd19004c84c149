"""Word and character error rate: substitutions, deletions and insertions over reference length.

Definition: Levenshtein alignment of the normalised texts (jiwer); English and other spaced text
normalised as in the Whisper paper, appendix C (whisper-normalizer). Chinese: NFKC (full-width
forms become ASCII), traditional characters to simplified (OpenCC t2s), lower case, punctuation
and symbols dropped. Numerals are not converted: "3" and "三" differ.

Deviation from whisper-normalizer, on both sides: an ellipsis ("..", "...", "…") is a space. The
English normaliser looks at periods two by two and leaves one of three as a word of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

from moss_audio.errors import MissingDependencyError, MossAudioError
from moss_audio.metrics.counts import Counts
from moss_audio.text import is_cjk

Normalizer = Literal["english", "basic", "none", "chinese"]

_ELLIPSIS = re.compile(r"(?:\.{2,}|[\u2025\u2026])[.\u2025\u2026]*")


@dataclass(frozen=True)
class ErrorCounts(Counts):
    """Edit errors of a hypothesis; `references` is the number of reference words or characters."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    hits: int = 0
    references: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors over references; may exceed 1. Without any reference, the number of errors."""
        return self.errors / max(1, self.references)


def word_errors(
    reference: str, hypothesis: str, *, normalizer: Normalizer = "english"
) -> ErrorCounts:
    """Word errors of one text; add the results of a corpus, then take `rate` (WER).

    `normalizer`: "english" (spelling, contractions, numbers, fillers as Whisper's), "basic" (case
    and punctuation of any spaced language), "none" (split at white space), "chinese" (one word a
    Han character, Latin words and digit runs whole: the mixed error rate). An empty reference
    counts every hypothesis word as an insertion. Raises MossAudioError for another normaliser,
    MissingDependencyError without the `eval` extra.
    """
    texts = [normalize(text, normalizer) for text in (reference, hypothesis)]
    if normalizer == "chinese":
        texts = [_space_characters(text) for text in texts]
    return _counts(_jiwer().process_words(*texts))


def text_errors(reference: str, hypothesis: str, *, characters: bool | None = None) -> ErrorCounts:
    """Character errors of Chinese text, spaces left out, or word errors of English text.

    `characters` says which; None looks whether the reference is mostly Chinese, Japanese or Korean
    characters.
    """
    if counted_by_characters(reference) if characters is None else characters:
        texts = [normalize(text, "chinese").replace(" ", "") for text in (reference, hypothesis)]
        return _counts(_jiwer().process_characters(*texts))
    return word_errors(reference, hypothesis)


def counted_by_characters(text: str) -> bool:
    """Whether a text is mostly in a script that is counted by characters."""
    letters = [char for char in text if char.isalpha()]
    return 2 * sum(map(is_cjk, letters)) > len(letters)


def normalize(text: str, normalizer: Normalizer) -> str:
    """`text` as it is compared: normalised, on one line, single spaces. Errors: `word_errors`."""
    return " ".join(_normalizer(normalizer)(text).split())


def _counts(output: Any) -> ErrorCounts:
    hits, substitutions, deletions = output.hits, output.substitutions, output.deletions
    return ErrorCounts(
        substitutions, deletions, output.insertions, hits, hits + substitutions + deletions
    )


def _space_characters(text: str) -> str:
    return " ".join("".join(f" {c} " if is_cjk(c) else c for c in text).split())


def _jiwer() -> Any:
    try:
        import jiwer
    except ImportError as error:
        raise MissingDependencyError("jiwer", "eval", "computing error rates") from error
    return jiwer


@lru_cache(maxsize=4)
def _normalizer(name: Normalizer) -> Callable[[str], str]:
    if name == "none":
        return str
    if name == "chinese":
        return _chinese()
    if name not in get_args(Normalizer):
        known = ", ".join(get_args(Normalizer))
        raise MossAudioError(f"unknown text normaliser {name!r}: use one of {known}")
    try:
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError as error:
        raise MissingDependencyError(
            "whisper-normalizer", "eval", "computing error rates"
        ) from error
    made = EnglishTextNormalizer() if name == "english" else BasicTextNormalizer()
    return lambda text: str(made(_ELLIPSIS.sub(" ", text)))


def _chinese() -> Callable[[str], str]:
    try:
        from opencc import OpenCC
    except ImportError as error:
        raise MissingDependencyError("opencc", "eval", "Chinese error rates") from error
    to_simplified = OpenCC("t2s")

    def normalized(text: str) -> str:
        text = unicodedata.normalize("NFKC", text).lower()
        text = str(to_simplified.convert(text))
        return "".join(" " if unicodedata.category(c)[0] in "PSZC" else c for c in text)

    return normalized

"""A clip of speech cut close to its words, as a voice detector or a push-to-talk button cuts it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from moss_audio.data.conversation import texts_of
from moss_audio.data.raw import RawExample, Truth
from moss_audio.errors import MossAudioError
from moss_audio.result import Word, moved
from moss_audio.tasks.times import without_stamps
from moss_audio.text import normalize_words
from moss_audio.units import SAMPLE_RATE


def speaks(entry: RawExample) -> bool:
    """Whether somebody speaks in the only clip of an entry, in which no other sound is known. Of a
    clip with a text this holds where the text is a transcript."""
    if len(entry.clips) != 1 or any(entry.sounds):
        return False
    if entry.truth is None:
        return any(entry.words)
    if entry.truth.scene is not None:
        return entry.truth.scene.kind in ("speech", "human") and not entry.truth.scene.events
    return bool(entry.truth.text) and entry.truth.question is None


def only_speech(entry: RawExample, transcribed: bool) -> bool:
    """Whether somebody speaks in an entry, and nothing is asked but what is said.

    Args:
        entry: a finished conversation counts where every answer says the clip's words.
        transcribed: whether a truth is asked for its transcript, in the task's own wording.
    """
    return speaks(entry) and (transcribed if entry.truth is not None else _says_words(entry))


def words_of(entry: RawExample, transcribed: bool) -> tuple[Word, ...]:
    """The words of an entry whose times can all be moved together; () where they cannot."""
    scene = None if entry.truth is None else entry.truth.scene
    if scene is not None:  # whatever is asked of it follows from its truth
        return tuple(scene.words) if speaks(entry) else ()
    if not only_speech(entry, transcribed):
        return ()
    if any(re.search(r"\d", text) for text in texts_of(entry.messages or ())):
        return ()  # a finished answer that may tell times
    given = entry.words[0] if entry.words else ()
    return given if entry.truth is None else entry.truth.words or given


def _says_words(entry: RawExample) -> bool:
    said = _letters(" ".join(word.text for word in entry.words[0]))
    answers = [m for m in entry.messages or () if m["role"] == "assistant"]
    return all(_letters(without_stamps(" ".join(texts_of([m])))) == said for m in answers)


def _letters(text: str) -> str:
    return "".join(normalize_words(text))


def bounds(
    words: Sequence[Word], n_samples: int, most_s: float, rng: np.random.Generator
) -> tuple[int, int]:
    """First and last sample (exclusive) of a clip that keeps at most `most_s` seconds before its
    first and after its last word, at 16 kHz. Raises MossAudioError for words beyond the clip."""
    before, after = rng.uniform(0.0, most_s, 2)
    start_s, end_s = min(w.start for w in words), max(w.end for w in words)
    first = max(0, int((start_s - before) * SAMPLE_RATE))
    last = min(n_samples, int((end_s + after) * SAMPLE_RATE) + 1)
    if first >= last or max(w.start for w in words) > n_samples / SAMPLE_RATE:
        raise MossAudioError(
            f"'words' from {start_s:.2f} to {end_s:.2f} s lie beyond the clip of "
            f"{n_samples / SAMPLE_RATE:.2f} s: give seconds from the clip's own start"
        )
    return first, last


def earlier(entry: RawExample, first: int, last: int) -> RawExample:
    """The entry after only the samples from `first` to `last` of its clip were kept."""

    def shift(t: float) -> float:
        return min(max(0.0, t - first / SAMPLE_RATE), (last - first) / SAMPLE_RATE)

    truth: Truth | None = entry.truth
    if truth is not None:
        truth = moved(truth, shift)
        if truth.scene is not None:
            truth = replace(truth, scene=replace(truth.scene, num_samples=last - first))
    return replace(entry, truth=truth, words=moved(entry.words, shift))

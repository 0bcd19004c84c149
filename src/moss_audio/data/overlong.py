"""Cutting the end off an over-long clip, only where nothing that the answer tells is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from moss_audio.data.conversation import texts_of
from moss_audio.data.example import Example
from moss_audio.units import FRAMES_PER_TOKEN, HOP_SAMPLES, SAMPLE_RATE, num_tokens_of_samples

_CLOCK = re.compile(r"\b(\d+):(\d\d(?:\.\d+)?)\b")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def shortened(example: Example, excess_tokens: int) -> Example | str:
    """The example with its only clip shorter by at least `excess_tokens` audio tokens, or why not.

    Allowed only if the words of the clip are known (and its sounds, unless the task is to
    transcribe), all of them end before the cut, and no number in the conversation could be a time
    or a length beyond it.
    """
    if len(example.clips) != 1:
        return f"{len(example.clips)} clips"
    heard_only = example.task.startswith("transcribe")
    if not example.words or not (example.sounds or heard_only):
        return "what sounds in its audio, and when, is not known"
    (clip,) = example.clips
    kept_tokens = num_tokens_of_samples(len(clip)) - excess_tokens
    if kept_tokens < 1:
        return "the text alone is too long"
    kept = clip[: kept_tokens * FRAMES_PER_TOKEN * HOP_SAMPLES]
    end_s = len(kept) / SAMPLE_RATE
    known = [w.end for words in example.words for w in words]
    known += [e.end for sounds in example.sounds for e in sounds]
    last_s = max([*known, *_times(example)], default=0.0)
    if last_s > end_s:
        return f"the answer reaches {last_s:.2f} s, the cut would be at {end_s:.2f} s"
    return replace(example, clips=(kept,))


def _times(example: Example) -> Iterator[float]:
    """Every number in the conversation, taken for seconds."""
    for text in texts_of(example.messages):
        for minutes, seconds in _CLOCK.findall(text):
            yield int(minutes) * 60 + float(seconds)
        for number in _NUMBER.findall(_CLOCK.sub(" ", text)):
            yield float(number)

"""How certain the model was of the words of a transcript and the labels of a timeline, from its
tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from moss_audio.result import Segment, Transcript, Word
from moss_audio.tasks.times import blank_stamps
from moss_audio.text import split_thinking


class _Answer:
    """An answer's text, read from front to back, and the tokens that it consists of.

    Args:
        text: with its thinking and time stamps.
        tokens: where each ends in `text`, and its log-probability.
    """

    def __init__(self, text: str, tokens: Sequence[tuple[int, float]]) -> None:
        _, said, _ = split_thinking(text)
        self._text = blank_stamps(text)
        self._at = max(0, text.rfind(said))
        ends = [end for end, _ in tokens]
        # a token that ends within a character belongs to that of the next whole one
        whole = [*ends, len(text)]
        for place in range(len(ends) - 1, 0, -1):
            if ends[place] == ends[place - 1]:
                whole[place] = whole[place + 1]
        self._spans = [
            (first, last, logprob)
            for first, last, (_, logprob) in zip([0, *ends], whole, tokens, strict=False)
        ]
        self._first = 0  # span, before which nothing is looked for

    def read(self, text: str) -> list[float]:
        """The log-probabilities of the tokens of what comes next in the answer, word by word;
        nothing of a word that is not there."""
        found = []
        for word in text.split():
            begin = self._text.find(word, self._at)
            if begin < 0:
                continue
            self._at = end = begin + len(word)
            while self._first < len(self._spans) and self._spans[self._first][1] <= begin:
                self._first += 1
            for first, last, logprob in self._spans[self._first :]:
                if first >= end:
                    break
                found += [logprob] * (last > begin)
        return found


def with_confidence(transcript: Transcript, tokens: Sequence[tuple[int, float]]) -> Transcript:
    """The transcript with `Word.probability`, `Segment.avg_logprob` and its own `avg_logprob`.

    Args:
        tokens: of each token of `transcript.raw`, where it ends in it, and its log-probability.
    """
    answer = _Answer(transcript.raw, tokens)
    words: list[Word] = []
    segments: list[Segment] = []
    everything: list[float] = []
    for segment in transcript.segments:
        of_words = [answer.read(word.text) for word in segment.words]
        own = [one for found in of_words for one in found] or answer.read(segment.text)
        timed = [
            replace(word, probability=_mean(map(math.exp, found)))
            for word, found in zip(segment.words, of_words, strict=True)
        ]
        segments.append(replace(segment, words=tuple(timed), avg_logprob=_mean(own)))
        words += timed
        everything += own
    if not segments:
        everything = answer.read(transcript.text)
    return replace(
        transcript,
        segments=tuple(segments),
        words=tuple(words) if transcript.words else (),
        avg_logprob=_mean(everything),
    )


def label_probabilities(
    text: str, tokens: Sequence[tuple[int, float]], labels: Sequence[str]
) -> list[float | None]:
    """How likely the model held each of `labels`, given all that it had written before.

    A label is read off its times and sound at once, so that the product over its tokens tells more
    than their mean: the rest of a name is nearly certain once it has begun.

    Args:
        text: the answer, with its thinking.
        tokens: where each ends in it, and its log-probability.
        labels: as written, in the order of the answer; one that is not there has None.
    """
    answer = _Answer(text, tokens)
    found = [answer.read(label) for label in labels]
    return [math.exp(min(0.0, sum(one))) if one else None for one in found]


def with_no_speech(
    transcript: Transcript, tokens: Sequence[tuple[int, float | None]]
) -> Transcript:
    """The transcript with `Segment.no_speech_prob`, the same for all its segments.

    Args:
        tokens: of each token of `transcript.raw`, where it ends in it, and the log-probability
            that the answer ended in its place.
    """
    text = blank_stamps(transcript.raw)
    begin = max(0, text.rfind(split_thinking(text)[1]))
    ended = None
    for end, value in tokens:
        if text[begin:end].strip():
            ended = value
            break
    if ended is None:
        return transcript
    probability = math.exp(min(0.0, ended))
    segments = tuple(replace(one, no_speech_prob=probability) for one in transcript.segments)
    return replace(transcript, segments=segments)


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None

"""How certain the model was of the words of a transcript and the labels of a timeline, from its
tokens, and whether that is speech that it knows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from moss_audio.model.known_speech import KnownSpeech
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
        return [logprob for _, logprob in self.pieces(text)]

    def pieces(self, text: str) -> list[tuple[str, float]]:
        """The same, each with the token's own text."""
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
                found += [(self._text[first:last], logprob)] * (last > begin)
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


# A token at least this likely counts as sure.
SURE = 0.7
# Of fewer tokens nothing can be said: so many are written of some three seconds of speech.
FEWEST_TOKENS = 10


@dataclass
class SureTokens:
    """How many tokens of a transcript's text were sure, window by window.

    A token counts where it stands first: whoever repeats himself is sure of it, in any language.
    """

    sure: int = 0
    all: int = 0

    def add(self, transcript: Transcript, tokens: Sequence[tuple[int, float]]) -> None:
        """Count the text of one answer; time stamps and signs do not count.

        Args:
            tokens: of each token of `transcript.raw`, where it ends in it, and its log-probability.
        """
        first: dict[str, float] = {}
        for text, logprob in _Answer(transcript.raw, tokens).pieces(transcript.text):
            piece = text.strip().lower()
            if any(map(str.isalnum, piece)):
                first.setdefault(piece, logprob)
        self.sure += sum(logprob >= math.log(SURE) for logprob in first.values())
        self.all += len(first)

    def warning(self, known: KnownSpeech) -> str | None:
        """A line for a person, where fewer were sure than of speech in the language: by more than a
        standard deviation, so that little text, which tells little, has to be worse."""
        expected = known.sure_share * self.all
        deviation = math.sqrt(expected * (1 - known.sure_share))
        if self.all < FEWEST_TOKENS or self.sure >= expected - deviation:
            return None
        return (
            f"little of this reads like {known.language} speech, and the text may be made up: this "
            f"checkpoint knows {known.language} only; use --model with one that knows more"
        )


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None

"""Transcription, plain or with sentence or word times.

Wording: the released checkpoints' own, used to the letter since they were trained on it; the
word-level wording is the sentence-level one with words. The answer with times is
`[0.32]hello[0.71][0.71]there[1.02]`, seconds with two decimals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from moss_audio.errors import MossAudioError
from moss_audio.metrics.asr import text_errors
from moss_audio.metrics.timestamps import aas
from moss_audio.result import Segment, Transcript, Word
from moss_audio.tasks.base import (
    WARN_LOOP,
    Score,
    Task,
    answer_part,
    centiseconds,
    check_duration,
    joined_notes,
)
from moss_audio.tasks.confidence import with_confidence
from moss_audio.tasks.times import (
    WARN_NO_STAMPS,
    WARN_OVERLAP,
    StampedText,
    cut_runaway,
    read_stamped,
    without_overlap,
    without_stamps,
)
from moss_audio.text import detect_repetition, is_cjk, join_words, normalize_words, single_line

PROMPT = "Transcribe the audio."
PROMPT_SENTENCE = (
    "Transcribe the audio into sentence-level timestamps using the format [xx.xx]text[yy.yy], "
    "where xx.xx and yy.yy are timestamps with centisecond precision rounded to two decimal "
    "places. Concatenate consecutive segments without breaks. For example: "
    "[0.00]hello there[2.01][2.01]the weather is nice today[4.32]. Do not include any additional "
    "content such as explanations, headings, or annotations."
)
PROMPT_WORD = PROMPT_SENTENCE.replace("sentence-level", "word-level").replace(
    "[0.00]hello there[2.01][2.01]the weather is nice today[4.32]",
    "[0.00]hello[0.42][0.42]there[0.80]",
)

# Words are gathered into segments: a new one after a pause, an end of sentence, or this long.
SEGMENT_GAP_S = 0.8
SEGMENT_MAX_S = 15.0
_SENTENCE_END = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f")
# A stamp this far off earns nothing in the score.
SHIFT_LIMIT_S = 1.0

# In a clip of a syllable or two a model may invent a sentence. Nobody speaks as fast as this.
_BRIEF_S, MOST_WORDS_A_SECOND = 1.0, 12.0

WARN_RATE = "more words than can be said in so short a clip were left out"
WARN_PHRASES = "several words shared one pair of time stamps, which was divided among them"
WARN_STAMPS = "time stamps in a plain transcript were removed"

Level = Literal["sentence", "word"]


@dataclass(frozen=True)
class Transcribe(Task[Transcript]):
    """Speech to text; `timestamps` is None, "sentence" or "word".

    Raises MossAudioError for another value.
    """

    windowed: ClassVar[bool] = True

    timestamps: Level | None = None

    def __post_init__(self) -> None:
        if self.timestamps not in (None, "sentence", "word"):
            raise MossAudioError(
                f"timestamps must be None, 'sentence' or 'word', got {self.timestamps!r}"
            )

    @property
    def name(self) -> str:
        return "transcribe" if self.timestamps is None else f"transcribe_{self.timestamps}"

    @property
    def prompt(self) -> str:
        return {None: PROMPT, "sentence": PROMPT_SENTENCE, "word": PROMPT_WORD}[self.timestamps]

    def render_answer(self, truth: Transcript) -> str:
        """The answer to train on. Square brackets in the text become round ones, and spaces
        inside a word go, so that the answer reads back. Silence is an empty answer.

        Raises MossAudioError when the truth has text but not the times asked for.
        """
        if self.timestamps is None:
            return single_line(truth.text)
        units = _units(truth, self.timestamps)
        if truth.text.strip() and not units:
            raise MossAudioError(
                f"the transcript {truth.text[:40]!r} has no {self.timestamps} times: give them, or "
                "use the plain transcription task"
            )
        parts = []
        for unit in units:
            text = single_line(unit.text).replace("[", "(").replace("]", ")")
            if self.timestamps == "word":
                text = text.replace(" ", "")
            if text:
                parts.append(f"[{centiseconds(unit.start)}]{text}[{centiseconds(unit.end)}]")
        return "".join(parts)

    def parse(self, text: str, duration: float) -> Transcript:
        """Reads any answer; what was repaired is named in `warnings`, all of it stays in `raw`.

        A timed answer without a single stamp gives its text as one segment over the whole clip;
        one of nothing but stamps says nothing, and neither does one with more words than anybody
        could say in a brief clip.
        Raises MossAudioError only for a `duration` that is not a length in seconds.
        """
        duration = check_duration(duration)
        answer, warnings = answer_part(text)
        answer = single_line(answer)
        spans, notes = read_stamped(answer, duration)
        n_words = sum(len(span.text.split()) for span in spans) or len(answer.split())
        if duration < _BRIEF_S and n_words > 2 + MOST_WORDS_A_SECOND * duration:
            return Transcript("", duration=duration, raw=text, warnings=(*warnings, WARN_RATE))
        if self.timestamps is None:
            return self._parse_plain(text, answer, duration, warnings, spans)
        if not spans:
            clean, looped = detect_repetition(
                without_stamps(answer) if WARN_NO_STAMPS in notes else ""
            )
            notes += [WARN_LOOP] * looped
            whole = (Segment(clean, 0.0, duration),) if clean else ()
            return Transcript(
                clean, whole, duration=duration, raw=text, warnings=(*warnings, *notes)
            )
        spans, looped = cut_runaway(spans)
        notes += [WARN_LOOP] * looped
        words: tuple[Word, ...] = ()
        if self.timestamps == "word":  # sentences of two speakers may well overlap
            spans, overlapped = without_overlap(spans)
            notes += [WARN_OVERLAP] * overlapped
            words, shared = _spans_to_words(spans)
            notes += [WARN_PHRASES] * shared
            segments = segments_from_words(words)
        else:
            segments = tuple(Segment(span.text, span.start, span.end) for span in spans)
        return Transcript(
            text=join_words([segment.text for segment in segments]),
            segments=segments,
            words=words,
            duration=duration,
            raw=text,
            warnings=(*warnings, *notes),
        )

    def _parse_plain(
        self,
        raw: str,
        answer: str,
        duration: float,
        warnings: tuple[str, ...],
        spans: list[StampedText],
    ) -> Transcript:
        # Two or more numbers in brackets are the timed format.
        if spans and answer.count("[") >= 2:
            clean = join_words([span.text for span in spans])
        else:
            clean = without_stamps(answer)
        if clean and clean != answer:
            warnings += (WARN_STAMPS,)
        clean, looped = detect_repetition(clean)
        if looped:
            warnings += (WARN_LOOP,)
        return Transcript(clean, duration=duration, raw=raw, warnings=warnings)

    def with_confidence(
        self, result: Transcript, tokens: Sequence[tuple[int, float]]
    ) -> Transcript:
        return with_confidence(result, tokens)

    def answer_tokens(self, duration_s: float) -> int:
        # Fast speech has 5 words a second; a word with its two stamps takes about 14 tokens.
        fixed, per_second = {None: (32, 14.0), "sentence": (64, 20.0), "word": (64, 70.0)}[
            self.timestamps
        ]
        return fixed + round(per_second * duration_s)

    def silent(self, duration_s: float) -> Transcript:
        return Transcript("", duration=duration_s)

    def placed(self, result: Transcript, start_s: float) -> Transcript:
        return replace(result.shifted(start_s), duration=start_s + result.duration)

    def join(self, parts: Sequence[tuple[float, Transcript]]) -> Transcript:
        if len(parts) == 1:
            return parts[0][1]
        placed = [self.placed(result, start_s) for start_s, result in parts]
        return Transcript(
            text=join_words([piece.text for piece in placed if piece.text]),
            segments=tuple(segment for piece in placed for segment in piece.segments),
            words=tuple(word for piece in placed for word in piece.words),
            duration=placed[-1].duration,
            language=placed[0].language,
            avg_logprob=_joined_logprob(placed),
            **joined_notes(parts),
        )

    def score(
        self, result: Transcript, truth: Transcript, *, characters: bool | None = None
    ) -> Score:
        """`errors`: those of words, or of characters in a script that is counted by them
        (`characters`; None looks at the truth). Timed tasks have `times`, too: the shifts of the
        stamps of words (or of whole segments).

        The reward is the share of words that are right; for timed tasks the mean of this and of
        the stamps' worth, which falls from 1 to 0 within `SHIFT_LIMIT_S`.
        """
        errors = text_errors(truth.text, result.text, characters=characters)
        wording = max(0.0, 1.0 - errors.rate)
        if self.timestamps is None:
            return Score(wording, {"errors": errors})
        wanted = _units(truth, self.timestamps)
        found = _cut_alike(wanted, _units(result, self.timestamps))
        unread = not found and bool(normalize_words(result.text))
        times = aas(wanted, None if unread else found)
        limit_ms = 1000 * SHIFT_LIMIT_S
        worth = sum(
            max(0.0, 1.0 - abs(shift) / limit_ms)
            for shift in (*times.start_shifts_ms, *times.end_shifts_ms)
        )
        total = 2 * times.references
        timing = worth / total if total else float(not times.hypotheses)
        return Score((wording + timing) / 2, {"errors": errors, "times": times})


def _joined_logprob(parts: Sequence[Transcript]) -> float | None:
    """The mean over parts, each as important as it is long; None where one is not known."""
    said = [(part.avg_logprob, len(part.text)) for part in parts if part.text]
    known = [(value, length) for value, length in said if value is not None]
    if not known or len(known) < len(said):
        return None
    return sum(value * length for value, length in known) / sum(length for _, length in known)


def segments_from_words(words: Sequence[Word]) -> tuple[Segment, ...]:
    """Gathers words into segments at pauses of `SEGMENT_GAP_S`, ends of sentences, and after
    `SEGMENT_MAX_S` seconds."""
    groups: list[list[Word]] = []
    for word in words:
        group = groups[-1] if groups else []
        if (
            not group
            or group[-1].text.rstrip("\"'\u201d\u2019)").endswith(_SENTENCE_END)
            or word.start - group[-1].end >= SEGMENT_GAP_S
            or word.end - group[0].start > SEGMENT_MAX_S
        ):
            groups.append(group := [])
        group.append(word)
    return tuple(
        Segment(
            join_words([word.text for word in group]),
            group[0].start,
            max(word.end for word in group),
            tuple(group),
        )
        for group in groups
    )


def _spans_to_words(spans: Sequence[StampedText]) -> tuple[tuple[Word, ...], bool]:
    """One word a span; a span of several words is divided in proportion to their lengths."""
    words: list[Word] = []
    shared = False
    for span in spans:
        texts = span.text.split()
        shared = shared or len(texts) > 1
        total, done = sum(map(len, texts)), 0
        length_s = span.end - span.start
        for text in texts:
            start = span.start + length_s * done / total
            done += len(text)
            end = span.end if done == total else span.start + length_s * done / total
            words.append(Word(text, start, end))
    return tuple(words), shared


def _units(transcript: Transcript, level: Level) -> Sequence[Word]:
    if level == "sentence":
        return [Word(one.text, one.start, one.end) for one in transcript.segments]
    return transcript.words or [w for segment in transcript.segments for w in segment.words]


def _cut_alike(wanted: Sequence[Word], words: Sequence[Word]) -> list[Word]:
    """Chinese words of several characters can be cut up differently on the two sides: where the
    truth has characters, words are shared out into characters of equal length."""
    single = all(len(w.text) == 1 for w in wanted if w.text and is_cjk(w.text[0]))
    out: list[Word] = []
    for word in words:
        if single and len(word.text) > 1 and all(map(is_cjk, word.text)):
            step = (word.end - word.start) / len(word.text)
            out += [
                Word(char, word.start + i * step, word.start + (i + 1) * step)
                for i, char in enumerate(word.text)
            ]
        else:
            out.append(word)
    return out

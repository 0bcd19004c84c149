"""A question whose answer follows from what sounds when: a thought, then an answer of one line.

The thought is a timeline in the form of the task `events`, to tenths of a second, and what is
computed from it:

    <think>
    0.4 - 4.9: thunder
    6.8 - 8.0: sawing
    thunder ends 4.9, sawing starts 6.8: 6.8 - 4.9 = 1.9
    </think>

    1.9 seconds.

Which questions there are, and what solves them, is in `moss_audio.scenes.reasoning`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from moss_audio.metrics.counts import AnswerCounts, MatchCounts
from moss_audio.metrics.events import event_based
from moss_audio.metrics.mentions import label_words, sentences
from moss_audio.metrics.numbers import Number, find_numbers
from moss_audio.metrics.qa import count_correct, order_correct
from moss_audio.result import Answer, Event, Timeline
from moss_audio.tasks.ask import Ask
from moss_audio.tasks.base import Score
from moss_audio.tasks.events import Events
from moss_audio.text import normalize_words, number_to_words

# A label, or a word in quotes; labels in order; seconds; a count; yes or no.
Fact = str | tuple[str, ...] | float | int | bool
PLACES = ("before", "during", "after")  # labels that are no sounds
NEAR_S, NEAR_SHARE = 0.3, 0.1  # seconds are right within the larger: of a second, of the truth
_EVENT = re.compile(r"\s*[0-9]+(\.[0-9]+)? - [0-9]+(\.[0-9]+)?: \S")
_EDGE_S = 1e-9
_BARE_WORDS = 3  # at most, of an answer that leaves the unit out and goes on: "1.9 or so"
_DENIED = re.compile(
    r"\b(?:no|not|never|neither|nor|without|cannot|minus|\w+n['\u2019]t)\b", re.IGNORECASE
)
_SIGNED = re.compile(r"(?<!\w)[+\-\u2212\u2013]$")
# Sounds, and no amount: "the two", "the first one" (but not "the two or three").
_WHICH = re.compile(r"\b(?:the|these|those|first|second|third|last|next|other)\s+$", re.IGNORECASE)
_GOES_ON = re.compile(r"\s*(?:-|\u2013|/|(?:or|to|and)\b)", re.IGNORECASE)


@dataclass(frozen=True)
class Derived:
    """What is true: the answer, and the timeline that it follows from, where that is known."""

    fact: Fact
    timeline: Timeline | None = None


@dataclass(frozen=True)
class Reason(Ask):
    """The question task with a thought; the prompt is the question itself."""

    @property
    def name(self) -> str:
        return "reason"

    def score(  # type: ignore[override]
        self, result: Answer, truth: Derived, *, labels: Sequence[str] = ()
    ) -> Score:
        """How right the answer is, and how right the timeline of the thought.

        Args:
            truth: a label has to be named and no other of the timeline's or of `labels`; a word
                has to be said alone; labels in their order; yes or no alone; one count in digits
                or words; one time in seconds, of which the reward is 1 within `NEAR_S` or
                `NEAR_SHARE` and 0 from twice of it on.
            labels: further ones that the answer might name, such as all of a suite: of a phrase
                the longest label is taken ("double beep" is no "beep").

        Returns:
            the reward of the answer alone; counts `answers` and, with a timeline, `events`: the
            event-based ones of the thought, at 200 ms.
        """
        answers, reward = _answered(result.text, truth, labels)
        counts: dict[str, AnswerCounts | MatchCounts] = {"answers": answers}
        if truth.timeline is not None:
            thought = thought_timeline(result.thinking or "", truth.timeline.duration)
            counts["events"] = event_based(truth.timeline, thought)
        return Score(reward, counts)


def thought_timeline(thought: str, duration: float) -> Timeline:
    """The timeline in a thought about a clip of `duration` seconds: its lines in the form of the
    task `events`. What is computed from them ("6.8 - 4.9 = 1.9") is no event."""
    lines = [line for line in thought.splitlines() if _EVENT.match(line)]
    return Events().parse("\n".join(lines), duration)


def is_word(label: str) -> bool:
    """Whether a line of a timeline is a word that is said, in quotes, and no sound."""
    return len(label) > 2 and label[0] == label[-1] == '"'


def timeline_lines(events: Sequence[Event]) -> list[str]:
    """The events as a thought lists them, a line each, in their order."""
    return [f"{event.start:.1f} - {event.end:.1f}: {event.label}" for event in events]


def told(fact: Fact) -> str:
    """A fact as an answer: "Dog barking.", "Bell, rain, cow.", "1.9 seconds.", "Three.", "Yes."."""
    if isinstance(fact, bool):
        return "Yes." if fact else "No."
    if isinstance(fact, int):
        return f"{number_to_words(fact).capitalize()}."
    if isinstance(fact, float):
        return f"{fact:.1f} seconds."
    text = fact.strip('"') if isinstance(fact, str) else ", ".join(fact)
    return f"{text[:1].upper()}{text[1:]}."


def _answered(text: str, truth: Derived, labels: Sequence[str]) -> tuple[AnswerCounts, float]:
    """Counts and reward of an answer without its thought."""
    fact = truth.fact
    if isinstance(fact, bool):
        said = [word for word in label_words(text) if word in ("yes", "no")]
        right = label_words(text)[:1] == said == ["yes" if fact else "no"]
        counts = AnswerCounts(int(right), 1, int(not said))
    elif isinstance(fact, int):
        counts = _counted(text, fact)
    elif isinstance(fact, float):
        return _timed(text, fact)
    elif isinstance(fact, str) and is_word(fact):
        said = normalize_words(text)
        counts = AnswerCounts(int(said == normalize_words(fact)), 1, int(not said))
    else:
        events = () if truth.timeline is None else truth.timeline.events
        known = (*labels, *(event.label for event in events))
        sounds = tuple(label for label in known if not is_word(label))
        others = PLACES if fact in PLACES else sounds
        wanted = (fact,) if isinstance(fact, str) else fact
        counts = order_correct(text, wanted, vocabulary=others)
    return counts, float(counts.correct)


def _counted(text: str, count: int) -> AnswerCounts:
    """Several counts are none; a time beside the count ("twice, at 1.0 and 4.5 seconds") is no
    other count."""
    if not find_numbers(text):
        return count_correct(text, count)  # "none"
    found = _only([n for n in _amounts(text) if n.unit in ("", "times")], text)
    return AnswerCounts(int(found is not None and found.value == count), 1, int(found is None))


def _timed(text: str, seconds: float) -> tuple[AnswerCounts, float]:
    """Several numbers (a range, two answers) are no time; nor is a number without its unit among
    words ("the 2 sounds")."""
    found = _only(_amounts(text), text)
    if found is None or found.unit not in ("", "s") or not (found.unit or _bare(found, text)):
        return AnswerCounts(0, 1, 1), 0.0
    near = max(NEAR_S, NEAR_SHARE * abs(seconds))
    off = abs(found.value - seconds)
    reward = min(1.0, max(0.0, 2.0 - (off - _EDGE_S) / near))
    return AnswerCounts(int(off <= near + _EDGE_S), 1), reward


def _bare(number: Number, text: str) -> bool:
    """Whether an answer that leaves the unit out says little else, or ends with the number."""
    return len(text.split()) <= _BARE_WORDS or not re.search(r"\w", text[number.end :])


def _amounts(text: str) -> list[Number]:
    """All numbers but words that stand for sounds."""
    return [
        n
        for n in find_numbers(text)
        if n.unit
        or not text[n.start].isalpha()
        or not _WHICH.search(text, 0, n.start)
        or _GOES_ON.match(text, n.end)
    ]


def _only(numbers: Sequence[Number], text: str) -> Number | None:
    """The number that an answer gives: the only one, without a sign, and with nothing before it in
    its sentence that denies it."""
    if len(numbers) != 1:
        return None
    start = numbers[0].start
    begin = max(begin for begin, _ in sentences(text) if begin <= start)
    denied = _DENIED.search(text, begin, start) or _SIGNED.search(text, begin, start)
    return None if denied else numbers[0]

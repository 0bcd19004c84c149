"""What an answer to an example is worth: four figures in [0, 1] and their weighted sum.

    correct     the task's own score; of a question the answer alone, nothing beside it, and where
                a guess is often right nothing unless the thought's timeline leads to it
    reasoning   event F1 of the timeline in the thought against what is heard in the clip
    quality     the answer follows from the thought, and neither repeats itself
    format      one closed think block with something in it, then an answer, which is one line
                where a question was asked

A reward is a function of an answer's text and the example that was asked about. Weights are ours;
the MOSS-Audio report (arXiv 2606.01802, section 5.3) names the kinds alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from moss_audio.data.example import Example
from moss_audio.errors import MossAudioError
from moss_audio.metrics.events import event_based
from moss_audio.metrics.mentions import label_key, label_words
from moss_audio.metrics.numbers import find_numbers
from moss_audio.result import Answer, Timeline
from moss_audio.scenes.answers import SPEECH
from moss_audio.scenes.reasoning.kinds import KINDS
from moss_audio.scenes.reasoning.problem import Problem
from moss_audio.scenes.reasoning.timeline import sounds
from moss_audio.settings import Weight
from moss_audio.tasks import TASK_NAMES, get_task
from moss_audio.tasks.ask import TOLERANCE_S
from moss_audio.tasks.reason import PLACES, Derived, Fact, Reason, is_word, thought_timeline, told
from moss_audio.text import THINK_CLOSE, THINK_OPEN, detect_repetition, split_thinking
from moss_audio.units import SAMPLE_RATE


@dataclass(frozen=True)
class RewardConfig:
    """Weights of the figures; divided by their sum."""

    correct: Weight = 0.7
    reasoning: Weight = 0.15
    quality: Weight = 0.05
    format: Weight = 0.1

    def __post_init__(self) -> None:
        if not sum(asdict(self).values()):
            raise MossAudioError("rewards: all weights are 0; give one of them more")


@dataclass(frozen=True)
class Rewards:
    """Rewards of answers.

    Attributes:
        config: the weights.
        thinks: whether a thought is asked for.
    """

    config: RewardConfig
    thinks: bool

    def parts(self, text: str, example: Example) -> dict[str, float]:
        """The four figures of an answer."""
        thought, answer, closed = split_thinking(text)
        timeline = thought_timeline(thought or "", _seconds(example))
        # a point that a guess would often get is given to what the thought leads to alone
        guessed = (
            self.thinks and example.problem is not None and not _led(example.problem, timeline)
        )
        return {
            "correct": correct(answer, example) if closed and not guessed else 0.0,
            "reasoning": _f1(timeline, example) if closed else 0.0,
            "quality": self._quality(text, answer, timeline, example) if closed else 0.0,
            "format": float(well_formed(text, thinks=self.thinks, one_line=_is_question(example))),
        }

    def total(self, parts: Mapping[str, float]) -> float:
        """The weighted mean of the four."""
        weights = asdict(self.config)
        return sum(weights[name] * parts[name] for name in weights) / sum(weights.values())

    def _quality(self, text: str, answer: str, timeline: Timeline, example: Example) -> float:
        if not answer or detect_repetition(text)[1]:
            return 0.0
        if example.problem is None:  # nothing is known to follow from its thought
            return 1.0
        fact = example.problem.solve(timeline.events)
        return 0.0 if fact is None else _derived(answer, fact, example.problem)


def correct(answer: str, example: Example) -> float:
    """How right an answer without its thought is: by its task's own score. To a question of which
    no more than the words of the answer are known, these have to be said and nothing else."""
    if example.problem is not None:
        return _derived(answer, example.problem.fact, example.problem)
    truth = _truth(example)
    if _is_question(example):
        return agreement(answer, truth)
    task, seconds = get_task(example.task), _seconds(example)
    return task.score(task.parse(answer, seconds), task.parse(truth, seconds)).reward


def _derived(answer: str, fact: Fact, problem: Problem) -> float:
    """The score of a derived question's answer where `fact` is the right one. Labels have to stand
    alone: one that is not heard in the clip is as much a second guess as one that is."""
    if _says_more(answer, fact):
        return 0.0
    truth = Derived(fact, Timeline(problem.events, _end_s(problem)))
    return Reason().score(Answer(answer), truth).reward


def _says_more(answer: str, fact: Fact) -> bool:
    """Whether an answer that has to name labels holds a word that belongs to none of them."""
    if not isinstance(fact, str | tuple) or (isinstance(fact, str) and is_word(fact)):
        return False
    wanted = [fact] if isinstance(fact, str) else [*fact]
    wanted += [SPEECH] if fact in PLACES else []  # "before the speech"
    allowed = _FILLERS.union(*(_stems(label) for label in wanted))
    return not _stems(answer) <= allowed


def _led(problem: Problem, timeline: Timeline) -> bool:
    """Whether a thought's timeline leads to the true answer; of a question that a guess seldom gets
    right nothing is asked of it."""
    if chance(problem) < _OFTEN:
        return True
    found = problem.solve(timeline.events)
    return found is not None and _derived(told(found), problem.fact, problem) == 1.0


def chance(problem: Problem) -> float:
    """How likely a guess is right that knows which sounds there are, and not when; 0 for seconds
    and for words."""
    fact, offered = problem.fact, KINDS[problem.kind].choices
    if offered:  # by the question itself
        return 1 / offered
    if isinstance(fact, bool):
        return 1 / 2
    if isinstance(fact, int):
        return 1 / 3  # counts are small
    if not isinstance(fact, str) or is_word(fact):
        return 0.0
    if fact in PLACES:
        return 1 / len(PLACES)
    return 1 / max(1, len({event.label for event in sounds(problem.events)}))


def agreement(answer: str, truth: str) -> float:
    """1 for the same words; of times in seconds 1 up to a tolerance and 0 from twice of it on. An
    answer that says more than the true one (two answers, all labels, a range) is worth nothing."""
    wanted, found = find_numbers(truth), find_numbers(answer)
    timed = len(wanted) == 1 and ("." in truth or wanted[0].unit == "s")
    if timed and len(found) == 1 and len(answer.split()) <= len(truth.split()) + _FEW_WORDS:
        off = abs(found[0].value - wanted[0].value)
        tolerance = max(TOLERANCE_S, _TOLERANCE * abs(wanted[0].value))
        return min(1.0, max(0.0, 2.0 - off / tolerance))
    words = label_words(answer)
    return float(bool(words) and words == label_words(truth))


def well_formed(text: str, *, thinks: bool, one_line: bool = True) -> bool:
    """Whether an answer has the form that is asked for: with a thought one closed block that holds
    something, and without one no mark of it; then what is not empty, and `one_line` or several."""
    opened, closed = text.count(THINK_OPEN), text.count(THINK_CLOSE)
    thought, answer, _ = split_thinking(text)
    if (opened, closed) != ((1, 1) if thinks else (0, 0)):
        return False
    if thinks and not (thought and text.lstrip().startswith(THINK_OPEN)):
        return False
    return bool(answer) and not (one_line and "\n" in answer)


_TOLERANCE = 0.1  # of a duration, where that is more than the tolerance of all times
_FEW_WORDS = 4  # that may stand around a time: "it lasts 1.5 seconds"
_OFTEN = 1 / 3  # a guess that is right so often is not paid for


def _stems(text: str) -> frozenset[str]:
    """The words of labels without their endings and without articles."""
    return frozenset(label_key(text).split())


# That may stand beside labels; no "or", and no "not".
_FILLERS = _stems("it is was and then first followed by that this of sound heard")


def _is_question(example: Example) -> bool:
    """Whether it is answered in a line, and not in the form of a task (a timeline has several)."""
    named = example.task in TASK_NAMES and example.task != "ask"
    return example.problem is not None or not named


def _f1(timeline: Timeline, example: Example) -> float:
    """Of what a derived question's thought has to list, speech included; else of the sounds."""
    if example.problem is not None:
        heard = example.problem.events
    elif example.sounds:
        heard = example.sounds[0]
    else:
        return 0.0
    return event_based(Timeline(heard, timeline.duration), timeline).f1


def _truth(example: Example) -> str:
    said = example.messages[-1]["content"]
    return said if isinstance(said, str) else "".join(part.get("text", "") for part in said)


def _seconds(example: Example) -> float:
    """Of what is heard; a derived question in text alone has a timeline and no clip."""
    heard = sum(map(len, example.clips)) / SAMPLE_RATE
    return heard if example.problem is None else max(heard, _end_s(example.problem))


def _end_s(problem: Problem) -> float:
    return max(event.end for event in problem.events)

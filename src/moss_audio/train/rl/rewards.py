"""What an answer to an example is worth: four figures in [0, 1] and their weighted sum.

    correct     the task's own score; of a question the answer alone, nothing beside it
    reasoning   event F1 of the timeline in the thought against what is heard in the clip
    quality     the answer follows from the thought, and neither repeats itself
    format      one closed think block with something in it, then an answer of one line

A reward is a function of an answer's text and the example that was asked about. Weights are ours;
the MOSS-Audio report (arXiv 2606.01802, section 5.3) names the kinds alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from moss_audio.data.example import Example
from moss_audio.errors import MossAudioError
from moss_audio.metrics.events import event_based
from moss_audio.metrics.mentions import label_words
from moss_audio.metrics.numbers import find_numbers
from moss_audio.result import Answer, Timeline
from moss_audio.scenes.reasoning.problem import Problem
from moss_audio.settings import Weight
from moss_audio.tasks import TASK_NAMES, get_task
from moss_audio.tasks.ask import TOLERANCE_S
from moss_audio.tasks.reason import Derived, Fact, Reason, thought_timeline
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
        return {
            "correct": correct(answer, example) if closed else 0.0,
            "reasoning": _f1(timeline, example) if closed else 0.0,
            "quality": self._quality(text, answer, timeline, example) if closed else 0.0,
            "format": float(well_formed(text, thinks=self.thinks)),
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
    if example.task not in TASK_NAMES or example.task == "ask":
        return agreement(answer, truth)
    task, seconds = get_task(example.task), _seconds(example)
    return task.score(task.parse(answer, seconds), task.parse(truth, seconds)).reward


def _derived(answer: str, fact: Fact, problem: Problem) -> float:
    """The score of a derived question's answer where `fact` is the right one."""
    truth = Derived(fact, Timeline(problem.events, problem.events[-1].end))
    return Reason().score(Answer(answer), truth).reward


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


def well_formed(text: str, *, thinks: bool) -> bool:
    """Whether an answer has the form that is asked for: with a thought one closed block that holds
    something, and without one no mark of it; then one line that is not empty."""
    opened, closed = text.count(THINK_OPEN), text.count(THINK_CLOSE)
    thought, answer, _ = split_thinking(text)
    if (opened, closed) != ((1, 1) if thinks else (0, 0)):
        return False
    if thinks and not (thought and text.lstrip().startswith(THINK_OPEN)):
        return False
    return bool(answer) and "\n" not in answer


_TOLERANCE = 0.1  # of a duration, where that is more than the tolerance of all times
_FEW_WORDS = 4  # that may stand around a time: "it lasts 1.5 seconds"


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
    return sum(map(len, example.clips)) / SAMPLE_RATE

"""Thoughts in text alone: derived questions on timelines that nobody recorded, and sums of tenths.

What a thought computes is learnt from many more of them than there are clips. The labels are those
of a folder of composed scenes, one split of it; times are drawn.
"""

from __future__ import annotations

import random

from moss_audio.data.config import SourceConfig
from moss_audio.data.raw import Lines, RawExample
from moss_audio.data.reasoning import SHORT_NAMES, about_timeline, arithmetic
from moss_audio.data.sources.base import Source, existing
from moss_audio.errors import MossAudioError
from moss_audio.result import Event
from moss_audio.scenes.answers import timeline
from moss_audio.scenes.reader import iter_scenes
from moss_audio.scenes.reasoning.problem import Problem, draw_problem
from moss_audio.scenes.reasoning.splits import MORE_EVENTS, TRAINED_EVENTS, Axis

EXAMPLES = 10_000  # where the configuration does not say
_TOKENS = {"reason_text": 200.0, "arithmetic": 110.0}  # about, of an example
_TRIES = 1000  # timelines that are drawn before it is said that none can be asked about
_IN_THOUGHT = 0.7  # of the examples, whose timeline or sums stand in the thought and are not learnt
_REPEATED, _OVERLAPPING = 0.3, 0.15  # shares of events


def draw_timeline(labels: list[str], rng: random.Random, axis: Axis = "seen") -> list[Event]:
    """Events of 0.3 to 4 s, most of them after pauses, some with the label of an earlier one."""
    fewest, most = MORE_EVENTS if axis == "events" else TRAINED_EVENTS
    events: list[Event] = []
    at = rng.uniform(0.0, 2.0)
    for _ in range(rng.randint(fewest, most)):
        repeated = events and rng.random() < _REPEATED
        label = rng.choice(events).label if repeated else rng.choice(labels)
        end = at + rng.uniform(0.3, 4.0)
        events.append(Event(label, at, end))
        overlaps = rng.random() < _OVERLAPPING
        at = rng.uniform(at + 0.2, end) if overlaps else end + rng.uniform(0.2, 3.0)
    return events


class ThoughtSource(Source):
    """As many examples as `examples` says, each of one of the tasks of text alone."""

    def __init__(self, config: SourceConfig, name: str) -> None:
        scenes = iter_scenes(existing(config.path), config.split)
        self.labels = sorted({label for scene in scenes for label, _, _ in timeline(scene)})
        if len(self.labels) < 3:
            raise MossAudioError(
                f"{config.path}: {len(self.labels)} labels in split {config.split!r}; thoughts "
                "need 3 or more"
            )
        self._shares = {**(config.tasks or {"reason_text": 1.0, "arithmetic": 1.0})}
        lines = Lines()
        for number in range(config.examples or EXAMPLES):
            lines.audio_s.append(0.0)
            lines.text_tokens.append(_TOKENS[self._task(self._rng(name, number))])
        super().__init__(config, name, lines)

    def read(self, number: int) -> RawExample:
        rng = self._rng(self.name, number)
        task = self._task(rng)
        given = rng.random() < _IN_THOUGHT
        if task == "arithmetic":
            return RawExample((), arithmetic(rng, thought=given), task=task)
        problem = self.problem(rng)
        messages = about_timeline(problem, rng, heard=given)
        return RawExample((), messages, task=task, problem=problem)

    def problem(self, rng: random.Random, axis: Axis = "seen") -> Problem:
        """A question on a timeline that is drawn for it.

        Raises:
            MossAudioError: if nothing can be asked of an axis with these labels.
        """
        for _ in range(_TRIES):
            events = draw_timeline(self.labels, rng, axis)
            problem = draw_problem(events, rng, axis, short_share=SHORT_NAMES)
            if problem is not None:
                return problem
        raise MossAudioError(f"{self.config.path}: no question of {axis!r} among its labels")

    def _rng(self, name: str, number: int) -> random.Random:
        return random.Random(f"thought {name} {number}")

    def _task(self, rng: random.Random) -> str:
        (task,) = rng.choices(list(self._shares), weights=list(self._shares.values()))
        return task

"""How many derived questions the model in training answers in text alone, its timeline given.

What fails here cannot succeed on clips: cold start is worth going on with where this is high.
"""

from __future__ import annotations

import random
from typing import Any

from moss_audio.data.config import DataConfig
from moss_audio.data.reasoning import about_timeline
from moss_audio.data.sources import open_source
from moss_audio.data.sources.thoughts import ThoughtSource
from moss_audio.engine.base import GenerationOptions, Request
from moss_audio.engine.local import LocalEngine
from moss_audio.errors import MossAudioError
from moss_audio.prompt import PromptSpec
from moss_audio.result import Timeline
from moss_audio.scenes.reasoning.balance import balanced
from moss_audio.scenes.reasoning.problem import Problem
from moss_audio.scenes.reasoning.splits import Axis
from moss_audio.tasks.base import WARN_THINKING_OPEN
from moss_audio.tasks.reason import Derived, Reason
from moss_audio.train.answers import AnswerObjective
from moss_audio.train.rl.policy import PolicyWeights
from moss_audio.train.rl.runners import torch_runners

_MOST_TOKENS = 320  # of a thought and its answer
_AXES: tuple[Axis, ...] = ("seen", "wordings", "kinds")
_SPARE = 4  # times as many are drawn as are kept, so that answers can be balanced


class TextAnswers:
    """`Stage.evaluate`: percent right on the axes `seen`, `wordings` and `kinds` (of
    `scenes.reasoning.splits`) on timelines that training does not draw, and thoughts that closed.

    Args:
        objective: as it learns.
        tokenizer, spec: of its checkpoint.
        data: has a source of the kind `thoughts`, whose labels are used.
        count: questions of each axis.
        scaling: of the LoRA that learns.
        seed: of the questions.

    Raises:
        MossAudioError: if there is no such source.
    """

    def __init__(
        self,
        objective: AnswerObjective,
        tokenizer: Any,
        spec: PromptSpec,
        data: DataConfig,
        count: int,
        *,
        scaling: float,
        seed: int,
    ) -> None:
        sources = [one for one in data.sources if one.kind == "thoughts"]
        if not sources:
            raise MossAudioError("text_problems: the data has no source of the kind 'thoughts'")
        source = open_source(sources[0], data)
        assert isinstance(source, ThoughtSource)
        self.objective, self.scaling = objective, scaling
        self._tokenizer, self._spec = tokenizer, spec
        self.problems = {axis: _drawn(source, axis, count, seed) for axis in _AXES}

    def __call__(self) -> dict[str, float]:
        objective = self.objective
        runners = torch_runners(objective.model, self._spec, objective.dtype)
        runner = runners(PolicyWeights(objective, self.scaling))
        engine = LocalEngine(runner, self._tokenizer, self._spec)
        figures, closed = {}, []
        try:
            for axis, problems in self.problems.items():
                rewards = []
                for problem, text in zip(problems, self._texts(engine, problems), strict=True):
                    answer = Reason().parse(text, 0.0)
                    truth = Derived(problem.fact, Timeline(problem.events, problem.events[-1].end))
                    counts = Reason().score(answer, truth).counts["answers"]
                    rewards.append(100.0 * counts.correct)
                    closed.append(100.0 * (WARN_THINKING_OPEN not in answer.warnings))
                figures[f"text {axis}"] = sum(rewards) / len(rewards)
        finally:
            engine.close()
        return {**figures, "closed": sum(closed) / len(closed)}

    def _texts(self, engine: LocalEngine, problems: list[Problem]) -> list[str]:
        rng = random.Random(0)  # of the heading of a timeline
        options = GenerationOptions(max_new_tokens=_MOST_TOKENS, thinking=True)
        handles = [
            engine.submit(Request(tuple(about_timeline(one, rng)[:1]), (), options, reuse=False))
            for one in problems
        ]
        return [handle.result().text for handle in handles]


def _drawn(source: ThoughtSource, axis: Axis, count: int, seed: int) -> list[Problem]:
    """So many questions of an axis, their answers balanced."""
    rng = random.Random(f"held out {seed} {axis}")
    found = [source.problem(rng, axis) for _ in range(_SPARE * count)]
    even = balanced(found, rng, lambda problem: problem)
    spare = [problem for problem in found if problem not in even]  # a few give no balance
    return (rng.sample(even, len(even)) + spare)[:count]

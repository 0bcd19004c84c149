"""Conversations about derived questions: with a thought, without one, and in text alone.

    reason          the question about a clip, a thought, the answer
    reason_off      the same question behind an empty think block: the answer alone
    reason_direct   without any think block: the answer alone, as of a checkpoint that cannot think
    reason_text     no clip: the timeline stands in the question, or in the thought as if it had
                    been heard; a thought, the answer
    arithmetic      no clip: differences and sums of tenths, and which of two is more; asked for, or
                    going on in a thought

They are made when an example is drawn, of the times that the clip then has: so a thought is true at
every speed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from moss_audio.result import Event
from moss_audio.scenes.answers import timeline
from moss_audio.scenes.reader import Scene
from moss_audio.scenes.reasoning.kind import Reckoning
from moss_audio.scenes.reasoning.problem import Problem, draw_problem
from moss_audio.scenes.reasoning.thought import think
from moss_audio.settings import packaged
from moss_audio.tasks.reason import timeline_lines

CLIP_TASKS, TEXT_TASKS = ("reason", "reason_off", "reason_direct"), ("reason_text", "arithmetic")
SHORT_NAMES = 0.2  # of the questions say "the phone" for phone ringing
_SUMS, _SUMS_IN_THOUGHT = 6, 12  # at most, of a conversation
_LARGEST_TENTHS = (60, 160, 300)  # one of these bounds both sides: most times in a clip are short
_DIFFERENCES, _ADDITIONS = 0.65, 0.2  # shares; the rest asks which is more

Messages = list[dict[str, Any]]


def about_scene(task: str, scene: Scene, rng: random.Random) -> tuple[Messages, Problem] | None:
    """A conversation of one of `CLIP_TASKS`; None where nothing certain can be asked."""
    events = [Event(*event) for event in timeline(scene)]
    problem = draw_problem(events, rng, words=scene.words, short_share=SHORT_NAMES)
    if problem is None:
        return None
    asked = [{"type": "audio"}, {"type": "text", "text": problem.question}]
    return [{"role": "user", "content": asked}, _answered(task, problem, rng)], problem


def about_timeline(problem: Problem, rng: random.Random, *, heard: bool = False) -> Messages:
    """A conversation of the task `reason_text`. `heard`: the question does not tell the timeline;
    the thought begins with it, and it is not learnt."""
    if heard:
        answer = _answered("reason_text", problem, rng)
        lines = [f"{line}\n" for line in timeline_lines(problem.events)]
        answer["unlearnt"] = [*lines, *answer.get("unlearnt", ())]
        return [{"role": "user", "content": problem.question}, answer]
    heading = rng.choice(_wordings("timelines"))
    lines = [heading, *timeline_lines(problem.events), "", problem.question]
    return [
        {"role": "user", "content": "\n".join(lines)},
        _answered("reason_text", problem, rng),
    ]


def arithmetic(rng: random.Random, *, thought: bool = False) -> Messages:
    """A conversation of the task `arithmetic`. `thought`: nobody asks for the sums; they stand in a
    thought, where their results alone are learnt."""
    asked, told_lines = [], []
    for _ in range(rng.randint(1, _SUMS_IN_THOUGHT if thought else _SUMS)):
        more, less = sorted(rng.choices(range(rng.choice(_LARGEST_TENTHS)), k=2), reverse=True)
        high, low, drawn = more / 10, less / 10, rng.random()
        if drawn < _DIFFERENCES or (thought and drawn >= _DIFFERENCES + _ADDITIONS):
            sides, wordings, line = (high, low), "differences", Reckoning("", high, "-", low).line()
        elif drawn < _DIFFERENCES + _ADDITIONS:
            sides = (high, low) if rng.random() < 0.5 else (low, high)
            wordings, line = "sums", Reckoning("", sides[0], "+", sides[1]).line()
        else:
            sides = (high, low) if rng.random() < 0.5 else (low, high)
            relation = "more than" if more > less else "as much as"
            wordings, line = "larger", f"{high:.1f} is {relation} {low:.1f}"
        a, b = (f"{side:.1f}" for side in sides)
        asked.append(rng.choice(_wordings(wordings)).format(a=a, b=b))
        told_lines.append(line)
    if thought:
        told_lines = list(dict.fromkeys(told_lines))
        begun = [line[: line.index(" = ") + 2] for line in told_lines]
        thinking = "\n".join(told_lines)
        last = {"role": "assistant", "content": told_lines[-1].split()[-1], "thinking": thinking}
        return [
            {"role": "user", "content": rng.choice(_wordings("reckoning"))},
            {**last, "unlearnt": begun},
        ]
    return [
        {"role": "user", "content": "\n".join(asked)},
        {"role": "assistant", "content": "\n".join(told_lines)},
    ]


def _answered(task: str, problem: Problem, rng: random.Random) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": problem.answer}
    if task == "reason_off":
        message["thinking"] = ""
    elif task != "reason_direct":
        thought = think(problem, rng)
        message["thinking"] = thought.text
        if thought.slips:
            message["unlearnt"] = list(thought.slips)
    return message


def _wordings(name: str) -> Sequence[str]:
    wordings: Sequence[str] = packaged(__package__, "reasoning.toml")[name]
    return wordings

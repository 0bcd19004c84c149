"""The thought that leads to a derived question's answer: the timeline, then what is computed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from moss_audio.scenes.reasoning.kind import Reckoning
from moss_audio.scenes.reasoning.kinds import KINDS
from moss_audio.scenes.reasoning.problem import Problem
from moss_audio.scenes.reasoning.timeline import tenths
from moss_audio.settings import packaged
from moss_audio.tasks.reason import timeline_lines

# Shares of the thoughts that try their result once more, and that find and mend a slip.
CHECKED, SLIPPED = 0.15, 0.05
_OFF_TENTHS = (1, 2, 3, 10)  # by how much a slip is wrong


@dataclass(frozen=True)
class Thought:
    """A thought, and the lines in it that are wrong until the next one mends them: they are to be
    read in training, but not learnt."""

    text: str
    slips: tuple[str, ...] = ()


def think(
    problem: Problem,
    rng: random.Random,
    *,
    checked: float = CHECKED,
    slipped: float = SLIPPED,
) -> Thought:
    """The thought of a problem.

    Args:
        rng: draws the opening, the order of comparing, whether it is checked, and a slip.
        checked, slipped: shares. A slip is in one difference or sum of the thought.
    """
    opening = rng.choice(packaged(__package__, "wordings.toml")["openings"]["openings"])
    steps = KINDS[problem.kind].steps(problem.events, dict(problem.slots), rng)
    sums = [step for step in steps if step.sign]
    drawn = rng.random()
    slip = rng.choice(sums) if sums and drawn < slipped else None
    lines, slips = [opening, *timeline_lines(problem.events)], []
    for step in steps:
        if step is slip:
            wrong = _wrong(step, rng)
            slips.append(step.line(wrong) + "\n")
            lines += [step.line(wrong), _mended(step, wrong)]
        else:
            lines.append(step.line())
    if slip is None and drawn < slipped + checked:
        lines += _check(sums, steps)
    return Thought("\n".join(line for line in lines if line), tuple(slips))


def _wrong(step: Reckoning, rng: random.Random) -> float:
    """Another result, one that a slip would give."""
    off = rng.choice(_OFF_TENTHS) / 10
    # neither the slip nor the sum that finds it is below 0
    least = step.result if step.sign == "-" else step.left
    return tenths(step.result + (off if rng.random() < 0.5 or least <= off else -off))


def _mended(step: Reckoning, wrong: float) -> str:
    """The line after a slip: the opposite sum does not come out; the right one."""
    right = f"{step.left:.1f} {step.sign} {step.right:.1f} = {step.result:.1f}"
    if step.sign == "-":
        back = f"{step.right:.1f} + {wrong:.1f} = {step.right + wrong:.1f}, not {step.left:.1f}"
    else:
        back = f"{wrong:.1f} - {step.right:.1f} = {wrong - step.right:.1f}, not {step.left:.1f}"
    return f"no, {back}: {right}"


def _check(sums: list[Reckoning], steps: list[Reckoning]) -> list[str]:
    """The last sum tried the other way round, or a count made again."""
    if sums:
        step = sums[-1]
        if step.sign == "-":
            return [f"check: {step.right:.1f} + {step.result:.1f} = {step.left:.1f}"]
        return [f"check: {step.result:.1f} - {step.right:.1f} = {step.left:.1f}"]
    return [f"check: {step.again}" for step in steps if step.again][-1:]

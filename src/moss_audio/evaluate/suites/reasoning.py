"""Derived questions on held-out scenes: what thinking adds, and what is heard at all.

The data folder holds composed scenes (or has them in `scenes/`), of which the split `test-unseen`
is asked about. A checkpoint answers as it does when nobody says whether to think; told not to
think; told to think; and as a program over the timeline that it writes itself, which is what
perfect reasoning would make of what it hears. Silence and another clip instead of the right one
are the controls: accuracy has to fall to that of the best constant answer.

Runs of other checkpoints are compared question by question (`--against`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders import reasoning as derived
from moss_audio.evaluate.loaders import scenes as scene_items
from moss_audio.evaluate.plan import Call, Measure, Outcome, Paired, Part, Plan, Share
from moss_audio.metrics.events import event_based
from moss_audio.result import Answer, Timeline
from moss_audio.scenes.reasoning import balance
from moss_audio.scenes.reasoning.kinds import KINDS
from moss_audio.tasks.base import WARN_THINKING_OPEN
from moss_audio.tasks.reason import Derived, Fact, Reason, thought_timeline, told

# 2: twelve more kinds. 3: without questions that a listener may answer otherwise, or whose answer
# is the sound that they name; what is chosen is even; labels of other clips count as wrong.
VERSION = 3
RIGHT = "right"
ANSWERS, OFF, ON, PROGRAM = "answers", "thinking off", "thinking on", "program on own timeline"
_SILENCE, _OTHER = "silence", "another clip"
_PAIRS = (
    (ON, OFF), (ON, ANSWERS), (PROGRAM, ON), (PROGRAM, ANSWERS), (ANSWERS, _SILENCE),
    (ANSWERS, _OTHER), (ON, f"{_SILENCE}, {ON}"), (ON, f"{_OTHER}, {ON}"),
)  # fmt: skip


def plan(data: Path) -> Plan:
    """All parts. Raises MossAudioError without scenes."""
    asked = derived.asked(scene_items.scenes(data))
    silent, other = derived.silenced(asked), derived.exchanged(asked)
    of_sounds = [item for item in asked.items if not derived.needs_words(item)]
    sounds = Dataset(of_sounds, f"{asked.about}; those about words are left out")
    think = {"thinking": True}
    rows: tuple[tuple[str, Dataset, Call, tuple[Measure, ...]], ...] = (
        (ANSWERS, asked, Call("ask"), _RIGHT),
        (OFF, asked, Call("ask", {"thinking": False}), _RIGHT),
        (ON, asked, Call("ask", think), (*_RIGHT, *_THOUGHT)),
        (PROGRAM, sounds, Call("events"), (*_RIGHT, _TIMELINE)),
        (_SILENCE, silent, Call("ask"), _RIGHT[:1]),
        (_OTHER, other, Call("ask"), _RIGHT[:1]),
        (f"{_SILENCE}, {ON}", silent, Call("ask", think), _RIGHT[:1]),
        (f"{_OTHER}, {ON}", other, Call("ask", think), _RIGHT[:1]),
    )
    parts = tuple(Part(*row) for row in rows if row[1].items)
    absent = tuple((row[0], "the scenes hold nothing for it") for row in rows if not row[1].items)
    paired = Paired(RIGHT, _PAIRS, (ON, ANSWERS))
    return Plan("reasoning", VERSION, parts, absent, paired=paired, over="clips")


def _answer(outcome: Outcome) -> Answer:
    """What a model said, or what follows from the timeline that it wrote; "" where nothing does."""
    result = outcome.result
    if isinstance(result, Timeline):
        return _following(outcome.item, result) or Answer("")
    return result if isinstance(result, Answer) else Answer("")


def _following(item: Item, heard: Timeline) -> Answer | None:
    fact = derived.problem_of(item).solve(heard.events)
    return None if fact is None else Answer(told(fact))


def _right(outcome: Outcome) -> Share:
    return _is(_answer(outcome), outcome.item.truth, outcome), 1.0


def _is(answer: Answer, fact: Fact, outcome: Outcome) -> float:
    """Whether an answer gives a fact, by the task's own score."""
    truth = Derived(fact, Timeline(outcome.item.events, outcome.seconds))
    counts = Reason().score(answer, truth, labels=outcome.item.choices).counts["answers"]
    return float(counts.correct)


def without_listening(items: Sequence[Item]) -> float | None:
    """Percent right of whoever hears nothing and gives the best single answer to each kind of
    question, or guesses among those that the question offers."""
    by_kind: dict[str, list[Fact]] = {}
    for item in items:
        by_kind.setdefault(derived.problem_of(item).kind, []).append(item.truth)
    hits = 0.0
    for kind, facts in by_kind.items():
        guess = 1 / KINDS[kind].choices if KINDS[kind].choices else 0.0
        hits += max(guess, balance.best_constant(facts)) * len(facts)
    return 100 * hits / len(items) if items else None


_measure = partial(Measure, cluster=derived.clip_of, baseline_name="without listening")


def _of_axis(axis: str) -> Callable[[Item], bool]:
    return lambda item: item.category == axis


_RIGHT = (
    _measure(RIGHT, _right, failed=True, grouped=True, baseline=without_listening),
    *(
        _measure(
            f"{RIGHT}, {axis}",
            _right,
            failed=True,
            where=_of_axis(axis),
            baseline=without_listening,
        )
        for axis in (derived.SEEN, derived.UNSEEN)
    ),
)


def _thought(outcome: Outcome) -> Timeline:
    text = outcome.result.thinking if isinstance(outcome.result, Answer) else None
    return thought_timeline(text or "", outcome.seconds)


def _closed(outcome: Outcome) -> Share:
    warnings = outcome.result.warnings if outcome.result is not None else ()
    return float(WARN_THINKING_OPEN not in warnings), 1.0


def _follows(outcome: Outcome) -> Share:
    fact = derived.problem_of(outcome.item).solve(_thought(outcome).events)
    return 0.0 if fact is None else _is(_answer(outcome), fact, outcome), 1.0


def _words(outcome: Outcome) -> Share:
    text = outcome.result.thinking if isinstance(outcome.result, Answer) else None
    return float(len((text or "").split())), 1.0


def _f1(outcome: Outcome) -> Share:
    """Of the timeline in a thought, or of the one that was asked for."""
    found = outcome.result if isinstance(outcome.result, Timeline) else _thought(outcome)
    counts = event_based(Timeline(outcome.item.events, found.duration), found)
    return 2.0 * counts.hits, float(counts.references + counts.predictions)


_TIMELINE = _measure("event-based F1 at 200 ms", _f1, unit="", scale=1.0)
_THOUGHT = (
    _measure("thoughts that end", _closed),
    _measure("answers that follow from the thought", _follows),
    _TIMELINE,
    _measure("words a thought", _words, unit="", scale=1.0, better="lower"),
)

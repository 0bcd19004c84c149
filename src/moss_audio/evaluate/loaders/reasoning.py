"""Derived questions about composed scenes of the held-out split: of the kinds and wordings that
training has, and along each axis that it never sees (`moss_audio.scenes.reasoning.splits`)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders.scenes import SPLIT
from moss_audio.evaluate.noise import Silenced
from moss_audio.result import Event
from moss_audio.scenes.answers import timeline
from moss_audio.scenes.reader import Scene
from moss_audio.scenes.reasoning.balance import balanced
from moss_audio.scenes.reasoning.kinds import KINDS
from moss_audio.scenes.reasoning.problem import Problem, draw_problem
from moss_audio.scenes.reasoning.splits import Axis

SEEN, UNSEEN = "seen kinds", "unseen kinds"
# How an axis is called in reports, and how many questions of it a clip gets before balancing.
_AXES: dict[Axis, tuple[str, int]] = {
    "seen": (SEEN, 3),
    "kinds": (UNSEEN, 2),
    "wordings": ("unseen wordings", 1),
    "pairs": ("unseen pairs of labels", 1),
    "events": ("more events", 3),
}
_TRIES = 4  # for each question: some are drawn twice


def asked(found: Sequence[Scene]) -> Dataset:
    """Questions about scenes, balanced within an axis so that no constant answer gets far.

    An item's `category` is its axis, its `truth` the fact, its `events` the timeline that it
    follows from; `clip_of` and `problem_of` tell the rest. Those about a clip follow one another.
    """
    drawn: dict[Axis, list[tuple[Scene, Problem]]] = {axis: [] for axis in _AXES}
    for scene in found:
        for axis, (_, count) in _AXES.items():
            drawn[axis] += [(scene, problem) for problem in _problems(scene, axis, count)]
    kept = [
        (axis, scene, problem)
        for axis, rows in drawn.items()
        for scene, problem in balanced(rows, random.Random(f"balance {axis}"), lambda row: row[1])
    ]
    order = list(dict.fromkeys(scene.id for _, scene, _ in kept))
    random.Random("order of clips").shuffle(order)
    place = {scene_id: number for number, scene_id in enumerate(order)}
    kept.sort(key=lambda row: place[row[1].id])
    items = [_item(*row, number) for number, row in enumerate(kept)]
    return Dataset(items, f"scenes, {SPLIT}: derived questions about {len(order)} clips")


def _problems(scene: Scene, axis: Axis, count: int) -> list[Problem]:
    rng = random.Random(f"derived {scene.id} {axis}")
    events = [Event(*entry) for entry in timeline(scene)]
    drawn = [draw_problem(events, rng, axis, words=scene.words) for _ in range(_TRIES * count)]
    different = {(one.kind, one.slots): one for one in drawn if one is not None}
    return list(different.values())[:count]


def _item(axis: Axis, scene: Scene, problem: Problem, number: int) -> Item:
    slots = ((name, str(value)) for name, value in problem.slots)
    return Item(
        id=f"{scene.id}/{number}",
        audio=(scene,),
        question=problem.question,
        reference=problem.answer,
        events=problem.events,
        truth=problem.fact,
        fields=(("clip", scene.id), ("kind", problem.kind), *slots),
        category=_AXES[axis][0],
    )


def clip_of(item: Item) -> str:
    """The id of the scene that an item asks about."""
    return dict(item.fields)["clip"]


def problem_of(item: Item) -> Problem:
    """The derived question of an item."""
    (_, _), (_, kind), *slots = item.fields
    return Problem(kind, tuple(slots), item.question, item.truth, item.events)


def needs_words(item: Item) -> bool:
    """Whether an item's question is about words, too: no timeline of sounds answers it."""
    return KINDS[problem_of(item).kind].words


def silenced(dataset: Dataset) -> Dataset:
    """The same questions, of silence as long as the clip."""
    items = [replace(one, audio=tuple(map(Silenced, one.audio))) for one in dataset.items]
    return Dataset(items, f"{dataset.about}; silence instead of them")


def exchanged(dataset: Dataset) -> Dataset:
    """The same questions, each clip's of another clip; none where there is but one clip."""
    clips = {clip_of(item): item.audio for item in dataset.items}
    names = list(clips)
    if len(names) < 2:
        return Dataset((), dataset.about)
    half = len(names) // 2
    others = {name: clips[names[(at + half) % len(names)]] for at, name in enumerate(names)}
    items = [replace(item, audio=others[clip_of(item)]) for item in dataset.items]
    return Dataset(items, f"{dataset.about}; each asked of another clip")

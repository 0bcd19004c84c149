"""Derived questions about composed scenes of the held-out split: of the kinds and wordings that
training has, and along each axis that it never sees (`moss_audio.scenes.reasoning.splits`)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders.scenes import SPLIT
from moss_audio.evaluate.noise import Silenced
from moss_audio.result import Event
from moss_audio.scenes.answers import timeline
from moss_audio.scenes.reader import Scene
from moss_audio.scenes.reasoning.balance import balanced, spread
from moss_audio.scenes.reasoning.kinds import KINDS
from moss_audio.scenes.reasoning.problem import Problem, draw_problem
from moss_audio.scenes.reasoning.splits import Axis
from moss_audio.scenes.reasoning.timeline import sounds

SEEN, UNSEEN = "seen kinds", "unseen kinds"
# How an axis is called in reports, and how many questions of each kind it has at most.
_AXES: dict[Axis, tuple[str, int]] = {
    "seen": (SEEN, 20),
    "kinds": (UNSEEN, 20),
    "wordings": ("unseen wordings", 6),
    "pairs": ("unseen pairs of labels", 12),
    "events": ("more events", 4),
}
_Row = tuple[Axis, Scene, Problem]
_problem = itemgetter(2)


def asked(found: Sequence[Scene]) -> Dataset:
    """Questions about scenes: of each kind about as many, balanced within it so that no constant
    answer gets far, and spread over the clips.

    An item's `category` is its axis, its `truth` the fact, its `events` the timeline that it
    follows from, its `choices` all labels that are heard in any clip; `clip_of` and `problem_of`
    tell the rest. Those about a clip follow one another.
    """
    used: Counter[str] = Counter()  # questions about each clip
    kept: list[_Row] = []
    for rows in sorted(_by_kind(found), key=len):  # the rarest first: others have more clips left
        axis, _, problem = rows[0]
        rng = random.Random(f"balance {axis} {problem.kind}")
        even = balanced(rows, rng, _problem)
        rng.shuffle(even)
        even.sort(key=lambda row: used[row[1].id])
        # a few of an even set are not even by themselves
        chosen = balanced(spread(even, _AXES[axis][1], lambda row: row[2].fact), rng, _problem)
        used.update(scene.id for _, scene, _ in chosen)
        kept += chosen
    order = sorted(used)
    random.Random("order of clips").shuffle(order)
    place = {scene_id: number for number, scene_id in enumerate(order)}
    kept.sort(key=lambda row: place[row[1].id])
    labels = tuple(sorted({e.label for row in kept for e in sounds(_problem(row).events)}))
    items = [replace(_item(*row, n), choices=labels) for n, row in enumerate(kept)]
    return Dataset(items, f"scenes, {SPLIT}: derived questions about {len(order)} clips")


def _by_kind(found: Sequence[Scene]) -> list[list[_Row]]:
    """Of each axis and kind a question about every scene that allows one."""
    rows: dict[tuple[Axis, str], list[_Row]] = {}
    for scene in found:
        events = [Event(*entry) for entry in timeline(scene)]
        for axis in _AXES:
            for kind in KINDS:
                rng = random.Random(f"derived {scene.id} {axis} {kind}")
                problem = draw_problem(events, rng, axis, words=scene.words, only=kind)
                if problem is not None:
                    rows.setdefault((axis, kind), []).append((axis, scene, problem))
    return list(rows.values())


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

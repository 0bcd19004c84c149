"""Goes through a suite: asks what has not been asked, keeps every answer, measures at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from moss_audio.api import MossAudio
from moss_audio.errors import AudioError, MossAudioError
from moss_audio.evaluate.item import Item
from moss_audio.evaluate.plan import Outcome, Part, Plan
from moss_audio.evaluate.store import Store
from moss_audio.recordings import Audio
from moss_audio.result import Answer, Result

# Items heard together, so that batches are full and sorted by length; but no more than this much
# audio, since a kill loses what is not written.
_GROUP_BATCHES = 4
_GROUP_S = 300.0

Progress = Callable[[int, int, str], None]  # items done, items in all, name of the part


@dataclass(frozen=True)
class Ran:
    """The outcomes of each part, and how many answers were there from an earlier run."""

    outcomes: tuple[tuple[Outcome, ...], ...]
    reused: int


def run(
    model: MossAudio,
    plan: Plan,
    store: Store,
    *,
    fingerprint: str,
    limit: int | None = None,
    progress: Progress = lambda done, total, name: None,
) -> Ran:
    """Ask for all parts. A bad item becomes an outcome with an error, and the run goes on.

    Args:
        fingerprint: of the model; answers of another are not used.
        limit: only the first so many items of each part.
    """
    suite = f"{plan.suite} {plan.version}"
    lists = [list(islice(part.dataset.items, limit)) for part in plan.parts]
    total, before, reused = sum(map(len, lists)), 0, 0
    outcomes = []
    for part, items in zip(plan.parts, lists, strict=True):
        progress(before, total, part.name)
        asked = [_Asked(item, *_key(part, item, fingerprint, suite)) for item in items]
        todo = [one for one in asked if one.error is None and store.get(one.key) is None]
        reused += sum(one.error is None for one in asked) - len(todo)
        done = len(items) - len(todo)
        for group in _groups(todo, max(1, model.engine.batch_size)):
            _hear(model, part, [one for one in group if one.error is None])
            for one in group:
                about = {
                    "part": part.name,
                    "id": one.item.id,
                    "prompt": part.call.wording(one.item),
                }
                store.add(one.key, about, one.error or one.result, one.seconds)
            store.flush()
            done += len(group)
            progress(before + done, total, part.name)
        before += len(items)
        found = tuple(_outcome(one, store) for one in asked)
        if part.after is not None:
            part.after(found, store.path.parent)
        outcomes.append(found)
    return Ran(tuple(outcomes), reused)


@dataclass
class _Asked:
    """An item on its way: its recordings while it is asked about, then its answer or error."""

    item: Item
    key: str
    error: MossAudioError | None = None
    audio: tuple[Audio, ...] = ()
    result: Result = field(default_factory=lambda: Answer(""))
    seconds: float = 0.0


def _key(part: Part, item: Item, model: str, suite: str) -> tuple[str, MossAudioError | None]:
    try:
        return part.key(item, model, suite), None
    except MossAudioError as error:  # an item that cannot be put into words
        return "", error


def _outcome(one: _Asked, store: Store) -> Outcome:
    if one.error is not None:
        return Outcome(one.item, None, " ".join(str(one.error).split()))
    stored = store.get(one.key)
    if stored is None:
        return Outcome(one.item, None, "not answered")
    return Outcome(one.item, stored.result, None, stored.seconds)


def _groups(todo: Sequence[_Asked], batch_size: int) -> Iterator[list[_Asked]]:
    """Items with their recordings open, some at a time; a bad recording becomes their error."""
    group: list[_Asked] = []
    seconds = 0.0
    for one in todo:
        try:
            one.audio = tuple(sound.load() for sound in one.item.audio)
            if not one.audio:
                raise AudioError(f"item {one.item.id} has no recording")
            one.seconds = sum(clip.duration_s for clip in one.audio)
        except MossAudioError as error:
            one.error = error
        group.append(one)
        seconds += one.seconds
        if len(group) >= _GROUP_BATCHES * batch_size or seconds >= _GROUP_S:
            yield group
            group, seconds = [], 0.0
    if group:
        yield group


def _hear(model: MossAudio, part: Part, group: Sequence[_Asked]) -> None:
    """Ask about a group; results and errors go where they belong, recordings are let go."""
    if not group:
        return
    items, audio = [one.item for one in group], [list(one.audio) for one in group]
    rows: Sequence[Result | MossAudioError]
    try:
        rows = part.call.hear(model, items, audio)
    except MossAudioError as error:
        if len(group) > 1:
            # One of them stopped all: each by itself shows which, and lets the others through.
            for one in group:
                _hear(model, part, [one])
            return
        rows = [error]
    for one, row in zip(group, rows, strict=True):
        one.audio = ()
        if isinstance(row, MossAudioError):
            one.error = row
        else:
            one.result = row

"""Goes through a suite: asks what has not been asked, keeps every answer, measures at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from moss_audio.api import MossAudio
from moss_audio.errors import AudioError, MossAudioError
from moss_audio.evaluate.item import Item
from moss_audio.evaluate.plan import Call, Outcome, Part, Plan
from moss_audio.evaluate.store import AnswerFile
from moss_audio.listen import Query
from moss_audio.result import Answer, Result

Progress = Callable[[int, int, str], None]  # items done, items in all, name of the part


@dataclass(frozen=True)
class SuiteRun:
    """The outcomes of each part, and how many answers were there from an earlier run."""

    outcomes: tuple[tuple[Outcome, ...], ...]
    reused: int


def run(
    model: MossAudio,
    plan: Plan,
    store: AnswerFile,
    *,
    fingerprint: str,
    limit: int | None = None,
    progress: Progress = lambda done, total, name: None,
) -> SuiteRun:
    """Ask for all parts. A bad item becomes an outcome with an error, and the run continues.

    Args:
        fingerprint: of the model; answers of another are not used.
        limit: only the first so many items of each part.
    """
    lists = [list(islice(part.dataset.items, limit)) for part in plan.parts]
    total, before, reused = sum(map(len, lists)), 0, 0
    outcomes = []
    for part, items in zip(plan.parts, lists, strict=True):
        progress(before, total, part.name)
        asked = [_Question(item, *_key(part, item, fingerprint, plan.mark)) for item in items]
        new = [one for one in asked if one.error is None and store.get(one.key) is None]
        reused += sum(one.error is None for one in asked) - len(new)
        todo = list({one.key: one for one in new}.values())  # items may share what is asked
        for done, one in enumerate(_heard(model, part.call, todo), len(items) - len(todo) + 1):
            about = {"part": part.name, "id": one.item.id, "prompt": part.call.wording(one.item)}
            store.add(one.key, about, one.error or one.result, one.seconds)
            progress(before + done, total, part.name)
        before += len(items)
        found = tuple(_outcome(one, store) for one in asked)
        if part.after is not None:
            part.after(found, store.path.parent)
        outcomes.append(found)
    return SuiteRun(tuple(outcomes), reused)


@dataclass
class _Question:
    """An item on its way, then with its answer or error."""

    item: Item
    key: str
    error: MossAudioError | None = None
    result: Result = field(default_factory=lambda: Answer(""))
    seconds: float = 0.0


def _key(part: Part, item: Item, model: str, suite: str) -> tuple[str, MossAudioError | None]:
    try:
        return part.key(item, model, suite), None
    except MossAudioError as error:  # an item that cannot be put into words
        return "", error


def _outcome(one: _Question, store: AnswerFile) -> Outcome:
    if one.error is not None:
        return Outcome(one.item, None, " ".join(str(one.error).split()))
    stored = store.get(one.key)
    if stored is None:
        return Outcome(one.item, None, "not answered")
    return Outcome(one.item, stored.result, None, stored.seconds)


def _heard(model: MossAudio, call: Call, todo: Sequence[_Question]) -> Iterator[_Question]:
    """The items with their answers or errors, as they come. Recordings are opened when their turn
    is near; one that cannot be is its item's error."""
    asked: list[_Question] = []
    failed: list[_Question] = []

    def queries() -> Iterator[Query]:
        for one in todo:
            try:
                clips = [sound.load() for sound in one.item.audio]
                if not clips:
                    raise AudioError(f"item {one.item.id} has no recording")
                one.seconds = sum(clip.duration_s for clip in clips)
                query = call.query(model, one.item, clips)
            except MossAudioError as error:
                one.error = error
                failed.append(one)
                continue
            asked.append(one)
            yield query

    for heard in model.listen(queries()):
        one = asked[heard.index]
        one.error = heard.error
        if heard.error is None:
            one.result = heard.result
        yield one
    yield from failed

"""Truth -> a conversation of one task; and what a change of speed does to the times in it."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from moss_audio.data.raw import Truth
from moss_audio.data.reasoning import CLIP_TASKS, about_scene
from moss_audio.errors import MossAudioError
from moss_audio.result import Caption, Event, Segment, Timeline, Transcript, moved
from moss_audio.scenes.answers import caption, question, timeline
from moss_audio.settings import packaged
from moss_audio.tasks import get_task
from moss_audio.tasks.base import centiseconds

if TYPE_CHECKING:
    from moss_audio.scenes.reader import Scene
    from moss_audio.scenes.reasoning.problem import Problem

LONGEST_WORD_TIMES = 30  # words of a clip whose every word is to be timed

_STAMP = r"[0-9]+\.[0-9]{1,3}"
# The two forms in which our tasks write times: [1.20]word[1.55], and 1.20 - 1.55: event
_TIMES = re.compile(rf"(?<=\[)({_STAMP})(?=\])|^({_STAMP}) - ({_STAMP})(?=: )", re.MULTILINE)


def stretched(truth: Truth, factor: float) -> Truth:
    """The truth at another speed; a scene's audio is not to be read through it any more."""
    if factor == 1.0:
        return truth
    truth = moved(truth, lambda t: t * factor)
    if truth.scene is None:
        return truth
    num_samples = round(truth.scene.num_samples * factor)
    return replace(truth, scene=replace(truth.scene, num_samples=num_samples))


def later(truth: Truth, seconds: float) -> Truth:
    """The truth as of a clip that begins so many seconds into a recording."""
    return moved(truth, lambda t: t + seconds) if seconds else truth


def may_stretch(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all times in a finished conversation are written where and how they can be rewritten:
    no digit but in the stamps of an answer, and in the examples of our tasks' wordings."""
    return not any(re.search(r"\d", text) for text in map(_fixed, messages))


def _fixed(message: Mapping[str, Any]) -> str:
    """The text of a message that stays as it is at every speed."""
    *said, thinking = texts_of([message])
    if message["role"] == "assistant":
        return "".join(_TIMES.sub("", text) for text in said) + thinking
    text = "".join(said)
    for name in ("transcribe_sentence", "transcribe_word"):
        text = text.replace(get_task(name).prompt, "")
    return text


def stretched_messages(
    messages: Sequence[Mapping[str, Any]], factor: float
) -> list[dict[str, Any]]:
    """The conversation with the stamps in its assistant's messages multiplied by `factor`."""

    def scaled(match: re.Match[str]) -> str:
        single, start, end = match.groups()
        if single:
            return centiseconds(float(single) * factor)
        return f"{centiseconds(float(start) * factor)} - {centiseconds(float(end) * factor)}"

    changed = []
    for message in messages:
        message = dict(message)
        if message["role"] == "assistant":
            content = message["content"]
            if isinstance(content, str):
                message["content"] = _TIMES.sub(scaled, content)
            else:
                message["content"] = [{**p, "text": _TIMES.sub(scaled, p["text"])} for p in content]
        changed.append(message)
    return changed


def texts_of(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """All text of a checked conversation, thinking included."""
    texts: list[str] = []
    for message in messages:
        content = message["content"]
        texts += [content] if isinstance(content, str) else [p.get("text", "") for p in content]
        texts.append(message.get("thinking") or "")
    return texts


def scene_tasks() -> Mapping[str, Mapping[str, float]]:
    """The usual shares of the tasks, by kind of scene."""
    return packaged(__package__, "scene_tasks.toml")


@dataclass(frozen=True)
class Conversed:
    """A conversation about a clip, the name of its task, and the derived question in it."""

    messages: list[dict[str, Any]]
    task: str
    problem: Problem | None = None


def converse(
    truth: Truth, tasks: Mapping[str, Any] | None, prompt: str | None, rng: random.Random
) -> Conversed:
    """A conversation about one clip.

    Args:
        truth: what is known of the clip, at the speed at which it is heard.
        tasks: shares to draw the task by; None: the usual ones.
        prompt: what to ask instead of the task's own wording.
        rng: draws the task and the wording.

    Raises:
        MossAudioError: the task needs times that are not known.
    """
    name = drawn_task(truth, tasks, rng)
    if truth.scene is not None:
        if name in CLIP_TASKS:
            derived = about_scene(name, truth.scene, rng)
            if derived is not None:
                return Conversed(derived[0], name, derived[1])
            name = "ask"  # too few sounds, or none that are clearly apart
        asked, answer = _about_scene(name, truth.scene, rng)
    elif truth.question is not None:
        asked, answer = truth.question, truth.text
    else:
        asked, answer = _about_text(name, truth)
    if prompt is not None and name != "ask":
        asked = prompt
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": asked}]},
        {"role": "assistant", "content": answer},
    ]
    return Conversed(messages, name)


def drawn_task(truth: Truth, tasks: Mapping[str, Any] | None, rng: random.Random) -> str:
    """The task that `converse` draws first from a generator in the same state."""
    if truth.scene is not None:
        return _scene_task(truth.scene, tasks, rng)
    if truth.question is not None:
        return "ask"
    return _drawn(tasks, rng) if tasks else "transcribe"


def _drawn(shares: Mapping[str, float], rng: random.Random) -> str:
    (name,) = rng.choices(list(shares), weights=list(shares.values()))
    return name


def _scene_task(scene: Scene, tasks: Mapping[str, Any] | None, rng: random.Random) -> str:
    table: Mapping[str, Any] = scene_tasks() if tasks is None else tasks
    if any(isinstance(shares, Mapping) for shares in table.values()):
        if scene.kind not in table:
            raise MossAudioError(f"{scene.id}: no tasks are given for scenes of kind {scene.kind}")
        table = table[scene.kind]
    name = _drawn(table, rng)
    if name == "transcribe_word" and len(scene.words) > LONGEST_WORD_TIMES:
        name = "transcribe"  # a timed word costs a dozen tokens: shorter clips teach as much
    return name


def _about_scene(name: str, scene: Scene, rng: random.Random) -> tuple[str, str]:
    """What is asked, and the answer."""
    if name == "ask":
        return question(scene, rng)
    task = get_task(name)
    truth: Caption | Timeline | Transcript
    if name == "caption":
        truth = Caption(caption(scene))
    elif name == "events":
        truth = Timeline(tuple(Event(*event) for event in timeline(scene)))
    else:
        truth = Transcript(
            " ".join(s.text for s in scene.sentences),
            segments=tuple(Segment(s.text, s.start, s.end) for s in scene.sentences),
            words=scene.words,
        )
    return task.prompt, task.render_answer(truth)


def _about_text(name: str, truth: Truth) -> tuple[str, str]:
    """What is asked, and the answer."""
    if name in ("events", "ask"):
        raise MossAudioError(f"the task {name!r} needs more than a text: give conversations")
    task = get_task(name)
    if name == "caption":
        return task.prompt, task.render_answer(Caption(truth.text))
    spoken = Transcript(truth.text, segments=truth.sentences, words=truth.words)
    return task.prompt, task.render_answer(spoken)

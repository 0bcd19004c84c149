"""What can truthfully be said about a scene: a caption, and questions with their answers.

Everything is derived from the scene's exact truth; wording varies with the generator given.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from moss_audio.scenes.reader import Scene
from moss_audio.settings import packaged
from moss_audio.text import number_to_words


@dataclass(frozen=True)
class Question:
    """A question about a scene, its answer as nano writes it, and the bare fact.

    `truth` is a label for "at", "order", "first", "last", "tempo", "mode", "instrument"; seconds
    for "when", "end", "duration"; a whole number for "count"; a yes or no (bool) for "presence";
    else text.
    """

    kind: str
    question: str
    answer: str
    truth: str | float | int | bool


_LEAST_GAP_S = 0.25  # two sounds that begin closer than this have no clear order

_MOST_COUNTED = 6  # sounds
SPEECH = "speech"


def _article(label: str) -> str:
    if label.endswith(("ing", "music", "noise", "wind", "rain", "s")) or " of " in label:
        return label
    return ("an " if label[0] in "aeiou" else "a ") + label


def timeline(scene: Scene) -> list[tuple[str, float, float]]:
    """Label, start and end of all that is heard, speech included (a sentence is one event)."""
    heard = [(SPEECH, s.start, s.end) for s in scene.sentences]
    heard += [(e.label, e.start, e.end) for e in scene.events]
    return sorted(heard, key=lambda item: (item[1], item[2]))


def caption(scene: Scene) -> str:
    """One or more sentences: what is heard, in order, with times, and what is said."""
    heard = timeline(scene)
    if not heard:
        return "No speech and no distinct sound event, only quiet background noise."
    said = " ".join(s.text for s in scene.sentences)
    parts = []
    quoted = False
    for label, start, end in heard:
        if label == SPEECH:
            if quoted:
                continue
            quoted = True
            start, end = scene.sentences[0].start, scene.sentences[-1].end
            parts.append(f'a voice says "{said}" from {start:.1f} to {end:.1f} seconds')
        else:
            parts.append(f"{_article(label)} from {start:.1f} to {end:.1f} seconds")
    text = ", then ".join(parts)
    text = text[0].upper() + text[1:] + "."
    music: dict[str, Any] | None = scene.music
    if music:
        mode = str(music["key"]).split()[-1]
        text += f" The music is {music['tempo']}, in a {mode} key, played on {music['instrument']}."
    return text


def questions(scene: Scene, rng: random.Random | None = None) -> list[Question]:
    """Every question that has one certain answer; worded anew with `rng`, else plainly."""
    heard = timeline(scene)
    labels = [label for label, _, _ in heard]
    found: list[Question] = []

    def add(kind: str, answer: str, truth: str | float | int | bool, **slots: object) -> None:
        wordings = packaged(__package__, "templates.toml")["questions"][kind]
        wording = wordings[0] if rng is None else rng.choice(wordings)
        kind = "order" if kind == "after" else kind
        found.append(Question(kind, wording.format(**slots), answer, truth))

    speaking = SPEECH in labels
    add("presence", "Yes." if speaking else "No.", speaking)
    if not heard:
        add("what", "Only quiet background noise.", "")
    else:
        kinds = ", ".join(dict.fromkeys(labels))
        add("what", f"{kinds.capitalize()}.", kinds)
        _about_order(heard, add)
        for label, start, end in heard:
            if labels.count(label) > 1:
                continue
            add("when", f"At {start:.1f} seconds.", start, label=label)
            add("end", f"At {end:.1f} seconds.", end, label=label)
            add("duration", f"For {end - start:.1f} seconds.", end - start, label=label)
            at = round((start + end) / 2, 1)
            if {other for other, begin, stop in heard if begin <= at <= stop} == {label}:
                add("at", f"{label.capitalize()}.", label, at=at)
    if not speaking and not scene.music and len(heard) <= _MOST_COUNTED:
        add("count", f"{number_to_words(len(heard)).capitalize()}.", len(heard))
    if scene.music:
        for kind, fact in (
            ("instrument", str(scene.music["instrument"])),
            ("tempo", str(scene.music["tempo"])),
            ("mode", str(scene.music["key"]).split()[-1]),
        ):
            add(kind, f"{fact.capitalize()}.", fact)
    if scene.sentences:
        said = " ".join(s.text for s in scene.sentences)
        add("said", said, said)
        if len(scene.words) > 1:
            first = scene.words[0].text.strip(",.?!")
            add("word", f"{first}.", first)
    return found


def _about_order(heard: list[tuple[str, float, float]], add: Callable[..., None]) -> None:
    labels = [label for label, _, _ in heard]
    clear = all(b[1] - a[1] >= _LEAST_GAP_S for a, b in pairwise(heard))
    if not clear:
        return
    add("first", f"{labels[0].capitalize()}.", labels[0])
    add("last", f"{labels[-1].capitalize()}.", labels[-1])
    for (a, start, _), (b, later, _) in pairwise(heard):
        if a == b or labels.count(a) > 1 or labels.count(b) > 1:
            continue
        # the first of the two is named first in every other question
        swapped = round((start + later) * 10) % 2
        pair = {"a": b, "b": a} if swapped else {"a": a, "b": b}
        add("order", f"The {a}.", a, **pair)
        add("after", f"{b.capitalize()}.", b, a=a)


def question(scene: Scene, rng: random.Random) -> tuple[str, str]:
    """A question about the scene and its answer; a kind is drawn first, then one of its."""
    by_kind: dict[str, list[Question]] = {}
    for item in questions(scene, rng):
        by_kind.setdefault(item.kind, []).append(item)
    drawn = rng.choice(by_kind[rng.choice(list(by_kind))])
    return drawn.question, drawn.answer

"""What can truthfully be said about a scene: a caption, and questions with their answers.

Everything is derived from the scene's exact truth; wording varies with the generator given.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moss_audio.scenes.reader import Scene

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")
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


def question(scene: Scene, rng: random.Random) -> tuple[str, str]:
    """A question about the scene and its answer."""
    heard = timeline(scene)
    labels = [label for label, _, _ in heard]
    choices: list[tuple[str, str]] = [
        ("Is anyone speaking in this recording?", "Yes." if SPEECH in labels else "No."),
    ]
    if not heard:
        choices.append(("What can be heard?", "Only quiet background noise."))
    else:
        label, start, end = rng.choice(heard)
        first = labels.index(label)
        choices += [
            ("What can be heard?", ", ".join(dict.fromkeys(labels)).capitalize() + "."),
            ("What is heard first?", labels[0].capitalize() + "."),
            ("What is heard last?", labels[-1].capitalize() + "."),
            (
                f"When does the {label} start?",
                f"At {heard[first][1]:.1f} seconds.",
            ),
        ]
        at = round((start + end) / 2, 1)
        if {other for other, begin, stop in heard if begin <= at <= stop} == {label}:
            choices.append((f"What is heard at {at:.1f} seconds?", label.capitalize() + "."))
        count = labels.count(label)
        if label != SPEECH and count < len(_NUMBERS):
            choices.append(
                (f"How many times is the {label} heard?", _NUMBERS[count].capitalize() + ".")
            )
    if scene.music:
        choices += [
            ("Which instrument plays?", str(scene.music["instrument"]).capitalize() + "."),
            ("Is the music slow, medium or fast?", str(scene.music["tempo"]).capitalize() + "."),
            ("Is the key major or minor?", str(scene.music["key"]).split()[-1].capitalize() + "."),
        ]
    if scene.sentences:
        said = " ".join(s.text for s in scene.sentences)
        choices += [("What is said?", said)] * 2
        if len(scene.words) > 1:
            choices.append(("What is the first word?", scene.words[0].text.strip(",.?!")))
    return rng.choice(choices)

"""Prove of a finished folder of scenes that nothing crosses its splits.

- A sentence is in one split alone. What the English recordings of `human-en` say, whole or in
  part, is said nowhere else.
- The people heard in `test-unseen` and in `human-en` are heard in no other split.
- A recorded sound of `test-unseen` is in no other split, not even under another name.
- A recorded prompt is in one split alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from moss_audio.scenes import sources
from moss_audio.scenes.human import HUMAN_EN, key_of, parts_of
from moss_audio.scenes.reader import Scene, iter_scenes
from moss_audio.scenes.voices.people import people_of

UNSEEN = "test-unseen"
_MADE = frozenset({"synthesised", "fluidsynth"})


@dataclass(frozen=True)
class Leak:
    """One thing that is in splits that must not share it, and a scene of each to look at."""

    what: str  # sentence, voice, sound or prompt
    name: str
    scenes: tuple[tuple[str, str], ...]  # split, id of a scene

    def __str__(self) -> str:
        where = ", ".join(f"{split} ({scene})" for split, scene in self.scenes)
        return f"{self.what} {self.name!r} is in {where}"


@dataclass(frozen=True)
class Report:
    """What was looked at, and what was found."""

    scenes: int
    counts: dict[str, int] = field(default_factory=dict)  # different things of each sort
    leaks: tuple[Leak, ...] = ()

    @property
    def kinds(self) -> Counter[str]:
        """Number of leaks of each sort."""
        return Counter(leak.what for leak in self.leaks)


@dataclass
class _Where:
    """The splits in which a thing is, each with the first scene that has it, and its name."""

    name: str
    scenes: dict[str, str] = field(default_factory=dict)

    def leak(self, what: str, own: Iterable[str] | None) -> Leak | None:
        """A leak, if more than one split has it; `own`: only if one of these is among them."""
        if len(self.scenes) < 2 or (own is not None and not set(own) & set(self.scenes)):
            return None
        return Leak(what, self.name, tuple(sorted(self.scenes.items())))


def check(root: Path | str) -> Report:
    """Read all completed shards under `root` and compare their splits.

    Raises MossAudioError if `root` is no folder or holds something that is not a scene.
    """
    root = Path(root)
    made_of = root / sources.SOURCES  # folders made before have none
    marks = sources.read(made_of)["sound_files"] if made_of.exists() else {}
    found: dict[str, dict[str, _Where]] = {
        what: {} for what in ("sentence", "voice", "sound", "prompt")
    }
    english: dict[str, tuple[str, str]] = {}  # part of a prompt -> (prompt's text, scene)
    count = 0

    def note(what: str, key: str, name: str, scene: Scene) -> None:
        where = found[what].setdefault(key, _Where(name))
        where.scenes.setdefault(scene.split, scene.id)

    for scene in iter_scenes(root):
        count += 1
        for sentence in scene.sentences:
            note("sentence", f"{scene.language}:{key_of(sentence.text)}", sentence.text, scene)
            if scene.split == HUMAN_EN:
                for part in parts_of(sentence.text):
                    english.setdefault(part, (sentence.text, scene.id))
        for voice in dict.fromkeys((scene.voice, *scene.sentence_voices)):
            if voice is not None:
                for person in sorted(people_of(voice)):
                    note("voice", person, voice, scene)
        for event in scene.events:
            if event.source not in _MADE:
                note("sound", marks.get(event.source, event.source), event.source, scene)
        if scene.speech_source:
            note("prompt", scene.speech_source, scene.speech_source, scene)
    own: dict[str, tuple[str, ...] | None] = {
        "sentence": None, "prompt": None, "voice": (UNSEEN, HUMAN_EN), "sound": (UNSEEN,),
    }  # fmt: skip
    leaks = [
        leak
        for what, things in found.items()
        for where in things.values()
        if (leak := where.leak(what, own[what])) is not None
    ]
    leaks += _parts_said(found["sentence"], english)
    return Report(count, {what: len(things) for what, things in found.items()}, tuple(leaks))


def _parts_said(sentences: dict[str, _Where], english: dict[str, tuple[str, str]]) -> list[Leak]:
    """English sentences of other splits that are a part of what a test recording says."""
    leaks = []
    for key, where in sentences.items():
        language, _, words = key.partition(":")
        others = {s: i for s, i in where.scenes.items() if s != HUMAN_EN}
        if language == "en" and words in english and others and HUMAN_EN not in where.scenes:
            scenes = {**others, HUMAN_EN: english[words][1]}
            leaks.append(Leak("sentence", where.name, tuple(sorted(scenes.items()))))
    return leaks

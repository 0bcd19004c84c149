"""Items from composed scenes, whose truth is exact: one split, as speech, timelines, questions,
captions or clips without speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from moss_audio.dsp.noise import COLOURS, rng_of
from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.noise import Babbled, NoiseClip, Noisy
from moss_audio.result import Event
from moss_audio.scenes.answers import Question, caption, questions, timeline
from moss_audio.scenes.reader import Scene, load_scenes

SPLIT = "test-unseen"
# Noisier than most of what is composed, but people still understand it.
SNR_DB = (5.0, 20.0)
QUESTIONS = 64  # of a kind
BABBLE_DB, TALKERS = (0.0, 20.0), (2, 6)
LONG_S = 8.0  # clips of one voice from which on they count as long
NOISE_SECONDS, NOISE_LEVELS_DB, NOISE_CLIPS = 10.0, (-45.0, -20.0), 12


def scenes(data: Path) -> list[Scene]:
    """The scenes of the held-out split in `data`, or in its folder `scenes`. Raises
    MossAudioError if there is none."""
    inside = data / "scenes"
    return load_scenes(inside if inside.is_dir() else data, SPLIT)


def _item(scene: Scene, **given: Any) -> Item:
    return Item(id=scene.id, audio=(scene,), **given)


def speech(found: Sequence[Scene]) -> Dataset:
    """Clips of one synthetic voice that training never heard, with exact word times."""
    items = [
        _item(
            scene,
            reference=scene.text,
            words=scene.words,
            category="as composed" if scene.snr_db is None else "composed with noise",
        )
        for scene in found
        if scene.kind == "speech" and scene.words
    ]
    return Dataset(items, f"scenes, {SPLIT}: unseen voice and sentences")


def noisy(dataset: Dataset) -> Dataset:
    """The same clips with noise of a drawn colour, at a ratio drawn between 5 and 20 dB."""
    return Dataset(
        [_noisy(item) for item in dataset.items],
        f"{dataset.about}; white, pink or brown noise added at {SNR_DB[0]:g} to {SNR_DB[1]:g} dB",
    )


def _noisy(item: Item) -> Item:
    rng = rng_of(f"noise of {item.id}")
    snr_db, colour = float(rng.uniform(*SNR_DB)), COLOURS[int(rng.integers(len(COLOURS)))]
    sounds = tuple(Noisy(sound, snr_db, colour, item.id) for sound in item.audio)
    return replace(item, audio=sounds, category="below 10 dB" if snr_db < 10 else "10 dB and above")


def readings(data: Path) -> Dataset:
    """Clips of people's voices (of a synthesiser) that training never heard, reading as from books,
    up to 30 s: scenes in the folder `readings` of `data`, or beside it.

    Raises MossAudioError if there is no such folder.
    """
    inside, beside = data / "readings", data.parent / "readings"
    found = load_scenes(inside if inside.is_dir() else beside, SPLIT)
    items = [
        replace(item, category=f"{LONG_S:g} s and more" if is_long(item) else "shorter")
        for item in speech(found).items
    ]
    return Dataset(items, f"readings, {SPLIT}: unseen voices and sentences, up to 30 s")


def is_long(item: Item) -> bool:
    """Whether an item's words go on for `LONG_S` seconds."""
    return bool(item.words) and item.words[-1].end >= LONG_S


def in_babble(dataset: Dataset, talkers: Sequence[Item]) -> Dataset:
    """The same clips with 2 to 6 others talking behind them, 0 to 20 dB quieter all together.

    A talker is never the clip itself, and says something else.
    """

    def behind(item: Item) -> Item:
        rng = rng_of(f"babble of {item.id}")
        snr_db = float(rng.uniform(*BABBLE_DB))
        count = int(rng.integers(TALKERS[0], TALKERS[1] + 1))
        order = rng.permutation(len(talkers)).tolist()
        others = [talkers[i] for i in order if talkers[i].reference != item.reference][:count]
        sounds = tuple(other.audio[0] for other in others)
        heard = tuple(Babbled(sound, sounds, snr_db, item.id) for sound in item.audio)
        where = "below 10 dB" if snr_db < 10 else "10 dB and above"
        return replace(item, audio=heard, category=where)

    about = f"{dataset.about}; {TALKERS[0]} to {TALKERS[1]} talkers behind it, "
    about += f"{BABBLE_DB[0]:g} to {BABBLE_DB[1]:g} dB quieter"
    return Dataset([behind(item) for item in dataset.items], about)


def events(found: Sequence[Scene]) -> Dataset:
    """Clips of sound events with their exact timelines."""
    items = [
        _item(
            scene,
            events=tuple(Event(*entry) for entry in timeline(scene)),
            category=scene.kind,
        )
        for scene in found
        if scene.kind in ("events", "mixed")
    ]
    return Dataset(items, f"scenes, {SPLIT}: recordings of sounds never trained on")


def quiet(found: Sequence[Scene]) -> Dataset:
    """Clips in which nobody speaks: silence, sounds and music of the scenes, and seeded noise."""
    items = [_item(scene, reference="", category=scene.kind) for scene in found if not scene.words]
    for number in range(NOISE_CLIPS):
        colour = COLOURS[number % len(COLOURS)]
        level = NOISE_LEVELS_DB[number // len(COLOURS) % len(NOISE_LEVELS_DB)]
        name = f"noise-{number:02d}"
        clip = NoiseClip(NOISE_SECONDS, colour, level, name)
        items.append(Item(id=name, audio=(clip,), reference="", category="noise"))
    about = f"scenes, {SPLIT}, without speech; {NOISE_CLIPS} clips of noise made here"
    return Dataset(items, about)


def asked(found: Sequence[Scene], kinds: Sequence[str]) -> Dataset:
    """Questions of some kinds, plainly worded, about the scenes that they can be asked of.

    At most `QUESTIONS` of a kind, in the order of the scenes; the kinds take turns, so that the
    first so many items hold about as many of each: hardly any scene has a certain answer to "how
    many", and almost each to "when". `choices` are all labels that are right somewhere for that
    kind; the model does not see them.
    """
    by_kind: dict[str, list[tuple[Scene, int, Question]]] = {kind: [] for kind in kinds}
    labels: dict[str, set[str]] = {}
    for scene in found:
        for number, question in enumerate(questions(scene)):
            if question.kind in by_kind:
                by_kind[question.kind].append((scene, number, question))
                if isinstance(question.truth, str):
                    labels.setdefault(question.kind, set()).add(question.truth)
    turns = zip_longest(*(rows[:QUESTIONS] for rows in by_kind.values()))
    rows = [row for turn in turns for row in turn if row is not None]
    items = [
        Item(
            id=f"{scene.id}/{number}",
            audio=(scene,),
            question=question.question,
            choices=tuple(sorted(labels.get(question.kind, ()))),
            reference=question.answer,
            truth=question.truth,
            category=question.kind,
        )
        for scene, number, question in rows
    ]
    return Dataset(items, f"scenes, {SPLIT}: questions of the kinds {', '.join(kinds)}")


def captioned(found: Sequence[Scene]) -> Dataset:
    """All clips, each with a true caption. `choices` are the labels of all scenes, so that a label
    that is not in a scene can be recognised as invented; `facts` are those of the scene."""
    every = tuple(sorted({label for scene in found for label, _, _ in timeline(scene)}))
    items = [
        _item(
            scene,
            choices=every,
            reference=caption(scene),
            facts=tuple(dict.fromkeys(label for label, _, _ in timeline(scene))),
            category=scene.kind,
        )
        for scene in found
    ]
    return Dataset(items, f"scenes, {SPLIT}: what is heard is known exactly")

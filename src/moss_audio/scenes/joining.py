"""Several scenes one after another as one long clip, with all that is true of it."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, chain

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.recordings import Audio
from moss_audio.result import moved
from moss_audio.scenes.reader import Scene
from moss_audio.units import SAMPLE_RATE


def join(scenes: Sequence[Scene]) -> tuple[Audio, Scene]:
    """Scenes of one kind, without music, one after another.

    Returns:
        the sound, and what is true of it: times from its start. Its fields `audio` and
        `offset_samples` are those of the first scene alone: `load` would give that one.
    """
    first = scenes[0]
    starts = accumulate((scene.num_samples for scene in scenes[:-1]), initial=0)
    later = [
        moved(scene, lambda t, by=start / SAMPLE_RATE: t + by)  # type: ignore[misc]
        for scene, start in zip(scenes, starts, strict=True)
    ]
    whole = replace(
        first,
        id="+".join(scene.id for scene in scenes),
        num_samples=sum(scene.num_samples for scene in scenes),
        words=tuple(chain.from_iterable(scene.words for scene in later)),
        sentences=tuple(chain.from_iterable(scene.sentences for scene in later)),
        events=tuple(chain.from_iterable(scene.events for scene in later)),
        sentence_voices=tuple(chain.from_iterable(scene.sentence_voices for scene in later)),
    )
    samples = np.concatenate([scene.load().samples for scene in scenes])
    return Audio(samples, whole.id), whole


def drawn_together(
    scenes: Sequence[Scene], seconds: tuple[float, float], seed: str
) -> list[tuple[int, ...]]:
    """For each scene without music those that it is joined with, itself first, drawn among its
    kind: as many as fit into a length drawn between the two `seconds`.

    Raises:
        MossAudioError: if all scenes are music.
    """
    kinds: Mapping[str, list[int]] = defaultdict(list)
    for number, scene in enumerate(scenes):
        if not scene.music:
            kinds[scene.kind].append(number)
    if not kinds:
        raise MossAudioError("join_s: pieces of music are not joined, and there is nothing else")
    found = []
    for number in chain.from_iterable(kinds.values()):
        rng = random.Random(f"{seed} {number}")
        room, alike = rng.uniform(*seconds), kinds[scenes[number].kind]
        together, long_s = [number], scenes[number].duration_s
        while long_s + scenes[other := rng.choice(alike)].duration_s <= room:
            together.append(other)
            long_s += scenes[other].duration_s
        found.append(tuple(together))
    return found

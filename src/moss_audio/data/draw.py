"""An entry -> an example: audio read, augmented, and a conversation about it drawn.

Everything random follows from (seed, pass, source, id), so an example is the same whichever
process makes it and whatever came before.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import numpy as np

from moss_audio.data import cut
from moss_audio.data.augment import AugmentConfig, Talkers, augment
from moss_audio.data.batch import SetAside
from moss_audio.data.conversation import (
    converse,
    drawn_task,
    later,
    may_stretch,
    stretched,
    stretched_messages,
)
from moss_audio.data.example import Example
from moss_audio.data.raw import RawExample
from moss_audio.data.sources.base import Source
from moss_audio.errors import AudioError, MossAudioError
from moss_audio.prompt.markers import MARKER_STEP_S
from moss_audio.recordings.entry import Clip
from moss_audio.result import Event, moved

_TRIES = 3  # entries looked at for each other talker


def draw(
    source: Source, index: int, id: str, turn: int, seed: int, config: AugmentConfig | None
) -> Example | SetAside:
    """The example at `index`, or why it can't be used. `turn` counts the passes over the source."""
    place = f"{seed}/{turn}/{source.name}/{id}".encode("utf-8", "surrogatepass")
    own_seed = int.from_bytes(hashlib.blake2b(place, digest_size=8).digest(), "big")
    try:
        example = _example(source, source.raw(index), id, own_seed, config)
        return example if config is None else replace(example, masks=config.masks(own_seed))
    except (AudioError, OSError) as error:
        return SetAside(id, "bad_audio", str(error))
    except MossAudioError as error:
        return SetAside(id, "bad_entry", str(error))


def _example(
    source: Source, entry: RawExample, id: str, seed: int, config: AugmentConfig | None
) -> Example:
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    clips, factors = [], []
    begins_s = _second(source.config.begin_s, rng)
    transcribed = _transcribed(source, entry, rng)
    if config is not None and not _may_change_speed(entry, source.prompt, transcribed):
        config = replace(config, speed_share=0.0)
    for clip in entry.clips:
        samples, factor = _samples(clip), 1.0
        if config is not None and not entry.made:
            if config.cut_share and noise.random() < config.cut_share:
                samples, entry = _cut(samples, entry, transcribed, config.cut_most_s, noise)
            talkers = _talkers(source, noise) if cut.only_speech(entry, transcribed) else None
            samples, factor = augment(samples, config, noise, talkers)
        clips.append(samples)
        factors.append(factor)
    # of several clips none changes its speed
    own_words = moved(entry.words, lambda t: t * factors[0])
    own_sounds = moved(entry.sounds, lambda t: t * factors[0])
    if entry.truth is not None:
        truth = stretched(entry.truth, factors[0])
        made = converse(later(truth, begins_s), source.tasks, source.prompt, rng)
        words = (truth.words,) if truth.words else own_words
        sounds = own_sounds
        if truth.scene is not None:
            if truth.scene.words or not truth.scene.sentences:  # recorded prompts: no word times
                words = (truth.scene.words,)
            sounds = (tuple(Event(e.label, e.start, e.end) for e in truth.scene.events),)
        return Example(
            id, made.messages, tuple(clips), words, sounds, made.task,
            made=entry.made, problem=made.problem, begins_s=begins_s,
        )  # fmt: skip
    messages = list(entry.messages or ())
    if any(factor != 1.0 for factor in factors):
        messages = stretched_messages(messages, factors[0])
    return Example(
        id,
        messages,
        tuple(clips),
        own_words,
        own_sounds,
        entry.task,
        problem=entry.problem,
    )


def _second(between: tuple[float, float] | None, rng: random.Random) -> int:
    """A second that has a marker."""
    if between is None:
        return 0
    first, last = (int(second) // MARKER_STEP_S for second in between)
    return MARKER_STEP_S * rng.randint(first, last)


def _transcribed(source: Source, entry: RawExample, rng: random.Random) -> bool:
    """Whether an entry's truth is going to be asked for its transcript. A prompt of the user's own
    may ask for anything; the source's `tasks` say what it does."""
    if entry.truth is None or (source.prompt is not None and not source.tasks):
        return False
    ahead = random.Random()
    ahead.setstate(rng.getstate())
    return drawn_task(entry.truth, source.tasks, ahead).startswith("transcribe")


def _cut(
    samples: np.ndarray,
    entry: RawExample,
    transcribed: bool,
    most_s: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, RawExample]:
    """A clip of speech close around its words, and its truth; another clip as it is."""
    words = cut.words_of(entry, transcribed)
    if not words:
        return samples, entry
    first, last = cut.bounds(words, len(samples), most_s, rng)
    return samples[first:last], cut.earlier(entry, first, last)


def _talkers(source: Source, rng: np.random.Generator) -> Talkers:
    """Other clips of a source in which somebody speaks."""

    def draw_clips(count: int) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        for index in rng.integers(len(source), size=_TRIES * count).tolist():
            if len(found) == count:
                break
            other = source.raw(index)
            if cut.speaks(other):
                found.append(_samples(other.clips[0]))
        return found

    return draw_clips


def _may_change_speed(entry: RawExample, prompt: str | None, transcribed: bool) -> bool:
    """Whether every time in the conversation can follow."""
    if entry.truth is not None:
        if entry.truth.scene is not None:
            return not entry.truth.scene.music  # its tempo and key would change too
        # a caption may tell times, and a question or prompt of the user's own may ask for them
        asked = entry.truth.question or prompt or ""
        return transcribed or not any(c.isdigit() for c in asked + entry.truth.text)
    return len(entry.clips) == 1 and may_stretch(entry.messages or ())


def _samples(clip: Clip) -> np.ndarray:
    audio = clip.load()
    if audio.flawed:
        # a recording that ends too early no longer holds what its transcript says
        raise AudioError(f"{audio.source}: {'; '.join(audio.warnings)}")
    return audio.samples

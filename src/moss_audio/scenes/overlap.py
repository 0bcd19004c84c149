"""Two things at once: a second speaker, or a sound event over the words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from moss_audio.dsp.loudness import amplitude, power
from moss_audio.scenes.composition import Composition
from moss_audio.scenes.events import EventBank
from moss_audio.scenes.records import SceneEvent
from moss_audio.scenes.sounds.tones import fade
from moss_audio.scenes.speech import LONGEST_S, NoSpeakerError, SpeechMaker
from moss_audio.units import SAMPLE_RATE

_MARGIN = 400  # samples kept before what a second speaker says; twice as many after it


def with_speaker(
    scene: Composition, maker: SpeechMaker, split: str, rng: np.random.Generator
) -> Composition:
    """Let somebody else speak into what is said, 6 dB louder to 6 dB quieter.

    Sentences then carry their `voice` and are in the order of their starts. A scene stays as it is
    where no second speaker is at hand or nothing fits.
    """
    if not scene.sentences or scene.voice is None:
        return scene
    try:
        other = maker.say(split, rng, single=rng.random() < 0.3, other_than=scene.voice)
    except NoSpeakerError:
        return scene
    first, last = other.sentences[0].start, other.sentences[-1].end
    begin, end = scene.sentences[0].start, scene.sentences[-1].end
    # The second begins while the first still speaks, and ends before the longest clip does.
    latest = min(end - 0.25 * (end - begin), LONGEST_S - 0.1 - (last - first))
    if latest <= begin:
        return scene
    start = float(rng.uniform(begin, latest))
    a, b = int(first * SAMPLE_RATE), int(last * SAMPLE_RATE) + 1
    before = a - max(0, a - _MARGIN)
    body = fade(other.samples[a - before : b + 2 * _MARGIN])
    at = max(0, int(start * SAMPLE_RATE) - before)
    shift = (at + before) / SAMPLE_RATE - a / SAMPLE_RATE
    size = max(scene.samples.size, at + body.size + int(0.05 * SAMPLE_RATE))
    level = _level_beside(scene.voiced, body) * amplitude(float(rng.uniform(-6, 6)))
    both = scene.padded(0, size - scene.samples.size).with_sound(body * np.float32(level), at)
    spoken = [replace(s, voice=scene.voice) for s in scene.sentences]
    spoken += [replace(s, voice=other.voice) for s in other.shifted(shift).sentences]
    return replace(both, sentences=tuple(sorted(spoken, key=lambda s: (s.start, s.end))))


def with_event(scene: Composition, bank: EventBank, rng: np.random.Generator) -> Composition:
    """Lay an event over what is said, 10 dB quieter to as loud."""
    if not scene.sentences:
        return scene
    begin, end = scene.sentences[0].start, scene.sentences[-1].end
    sound = bank.draw(rng, longest_s=4.0)
    at = int(float(rng.uniform(max(0.0, begin - 0.5), max(begin, end - 0.3))) * SAMPLE_RATE)
    body = sound.samples[: scene.samples.size - at]
    if body.size < sound.samples.size:
        body = fade(body, 40)
    if body.size < SAMPLE_RATE // 50:
        return scene
    level = _level_beside(scene.voiced, body) * amplitude(float(rng.uniform(-10, 0)))
    # A click of the same power as a sentence would be far above it.
    level = min(level, 2.0 * float(np.abs(scene.voiced).max()) / (float(np.abs(body).max()) + 1e-9))
    stop = at + body.size
    event = SceneEvent(sound.label, at / SAMPLE_RATE, stop / SAMPLE_RATE, sound.source)
    return scene.with_sound(body * np.float32(level), at, event)


def _level_beside(voiced: np.ndarray, body: np.ndarray) -> float:
    """The factor that makes `body` as loud as what is said."""
    return float(np.sqrt(power(voiced) / (power(body) + 1e-12)))

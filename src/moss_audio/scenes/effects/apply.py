"""Draw and apply the effects of one scene, in the order in which they happen to a sound."""

from __future__ import annotations

import numpy as np

from moss_audio.dsp import codec, room, stretch
from moss_audio.dsp.loudness import amplitude
from moss_audio.scenes.draft import Draft, add_noise
from moss_audio.scenes.effects.config import EffectsConfig


def before_levelling(draft: Draft, config: EffectsConfig, rng: np.random.Generator) -> None:
    """Speed, pitch, room and noise. A speed moves every time of the truth with the sound."""
    steady = draft.music is None
    if rng.random() < config.speed and steady:
        factor = round(float(rng.uniform(*config.speed_range)), 3)
        draft.samples = stretch.stretch(draft.samples, factor)
        for item in draft.timed():
            item["start"] /= factor
            item["end"] /= factor
        draft.effects["speed"] = factor
    if rng.random() < config.pitch and steady:
        semitones = round(float(rng.uniform(*config.pitch_semitones)), 2)
        draft.samples = stretch.shift_pitch(draft.samples, semitones)
        draft.effects["pitch_semitones"] = semitones
    sounds = bool(draft.sentences or draft.events)
    if rng.random() < config.room and sounds:
        drawn = room.draw_room(rng)
        draft.samples = room.placed(draft.samples, drawn, rng)
        draft.effects["room"] = drawn.to_dict()
    if rng.random() < config.noise and sounds and draft.snr_db is None:
        add_noise(draft, float(rng.uniform(*config.snr_db)), rng)


def after_levelling(draft: Draft, config: EffectsConfig, rng: np.random.Generator) -> None:
    """Gain (what exceeds full scale is clipped) and codec."""
    if rng.random() < config.gain:
        gain_db = round(float(rng.uniform(*config.gain_db)), 1)
        draft.samples = np.clip(draft.samples * np.float32(amplitude(gain_db)), -1.0, 1.0)
        draft.effects["gain_db"] = gain_db
    if rng.random() < config.codec:
        names = sorted(config.codecs)
        shares = np.array([config.codecs[n] for n in names])
        name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        rates = codec.bit_rates(name)
        rate = int(rng.choice(rates)) if rates else None
        draft.samples = codec.through(draft.samples, name, rate)
        draft.effects["codec"] = name
        if rate:
            draft.effects["bit_rate"] = rate

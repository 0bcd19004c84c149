"""What happens to a finished scene on its way to the listener: rooms, noise, codecs and so on.

Each effect keeps the truth exact: nothing is delayed, and what changes times says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from moss_audio.dsp import codec, room, stretch
from moss_audio.dsp.codec import CODECS
from moss_audio.dsp.loudness import amplitude
from moss_audio.scenes.composition import Composition
from moss_audio.scenes.shares import choose

_SHARES = ("speed", "pitch", "room", "noise", "gain", "codec")
# A wider range makes artefacts rather than speakers; a gain above 0 dB clips.
_LIMITS = {
    "speed_range": (0.5, 2.0),
    "pitch_semitones": (-7.0, 7.0),
    "snr_db": (-20.0, 80.0),
    "gain_db": (-60.0, 24.0),
}


@dataclass(frozen=True)
class EffectsConfig:
    """Shares (0 to 1) of the clips that get each effect; the draws are independent.

    Ranges are drawn from evenly. All shares are 0 by default: nothing is changed.
    """

    speed: float = 0.0  # tempo without pitch; not for music, whose tempo is part of the truth
    pitch: float = 0.0  # pitch without tempo; not for music
    room: float = 0.0  # a shoebox room
    noise: float = 0.0  # steady noise, unless the clip has some already
    gain: float = 0.0  # after levelling; above 0 dB it clips
    codec: float = 0.0  # there and back again
    speed_range: tuple[float, float] = (0.88, 1.14)
    pitch_semitones: tuple[float, float] = (-2.0, 2.0)
    snr_db: tuple[float, float] = (5.0, 35.0)
    gain_db: tuple[float, float] = (-30.0, 0.0)
    codecs: dict[str, float] = field(default_factory=lambda: dict.fromkeys(CODECS, 1.0))

    @property
    def active(self) -> bool:
        """Whether any clip can be changed."""
        return any(getattr(self, name) > 0 for name in _SHARES)


def read_effects(data: Any) -> tuple[EffectsConfig, list[str]]:
    """Check a table of YAML; returns the effects and what is wrong with it, a line a mistake."""
    if data is None:
        return EffectsConfig(), []
    if not isinstance(data, Mapping):
        return EffectsConfig(), ["'effects' must be a table of shares and ranges"]
    names = {f.name for f in fields(EffectsConfig)}
    wrong = [f"unknown key 'effects.{k}'" for k in data if k not in names]
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key in _SHARES:
            if not _is_number(value) or not 0 <= value <= 1:
                wrong.append(f"'effects.{key}' must be a share from 0 to 1, not {value!r}")
            else:
                values[key] = float(value)
        elif key in _LIMITS:
            low, high = _LIMITS[key]
            if not _is_range(value, low, high):
                wrong.append(f"'effects.{key}' must be [low, high] within {low:g} to {high:g}")
            else:
                values[key] = (float(value[0]), float(value[1]))
        elif key == "codecs":
            if not is_share_table(value, CODECS) or sum(value.values()) <= 0:
                wrong.append(f"'effects.codecs' must map {', '.join(CODECS)} to shares")
            else:
                values[key] = {k: float(v) for k, v in value.items()}
    return EffectsConfig(**({} if wrong else values)), wrong


def is_share_table(value: Any, allowed: tuple[str, ...]) -> bool:
    """Whether `value` maps names of `allowed` to numbers of at least 0."""
    return isinstance(value, Mapping) and all(
        k in allowed and _is_number(v) and v >= 0 for k, v in value.items()
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_range(value: Any, low: float, high: float) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(_is_number(v) for v in value)
        and low <= value[0] <= value[1] <= high
    )


def before_levelling(
    scene: Composition, config: EffectsConfig, rng: np.random.Generator
) -> Composition:
    """Speed, pitch, room and noise. A speed moves every time of the truth with the sound."""
    steady = scene.music is None
    if rng.random() < config.speed and steady:
        speed = round(float(rng.uniform(*config.speed_range)), 3)
        samples = stretch.stretch(scene.samples, speed)
        scene = scene.sped_up(speed).with_effect(samples, speed=speed)
    if rng.random() < config.pitch and steady:
        semitones = round(float(rng.uniform(*config.pitch_semitones)), 2)
        samples = stretch.shift_pitch(scene.samples, semitones)
        scene = scene.with_effect(samples, pitch_semitones=semitones)
    sounds = bool(scene.sentences or scene.events)
    if rng.random() < config.room and sounds:
        drawn = room.draw_room(rng)
        samples = room.placed(scene.samples, drawn, rng)
        scene = scene.with_effect(samples, room=drawn.to_dict())
    if rng.random() < config.noise and sounds and scene.snr_db is None:
        scene = scene.with_noise(float(rng.uniform(*config.snr_db)), rng)
    return scene


def after_levelling(
    scene: Composition, config: EffectsConfig, rng: np.random.Generator
) -> Composition:
    """Gain (what exceeds full scale is clipped) and codec."""
    if rng.random() < config.gain:
        gain_db = round(float(rng.uniform(*config.gain_db)), 1)
        samples = np.clip(scene.samples * np.float32(amplitude(gain_db)), -1.0, 1.0)
        scene = scene.with_effect(samples, gain_db=gain_db)
    if rng.random() < config.codec:
        name = choose(config.codecs, rng)
        rates = codec.bit_rates(name)
        rate = int(rng.choice(rates)) if rates else None
        done = {"codec": name, **({"bit_rate": rate} if rate else {})}
        scene = scene.with_effect(codec.through(scene.samples, name, rate), **done)
    return scene

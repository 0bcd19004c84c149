"""What happens to a finished scene on its way to the listener: rooms, noise, codecs and so on.

Each effect keeps the truth exact: nothing is delayed, and what changes times says by how much.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

from moss_audio.dsp import codec, room, stretch
from moss_audio.dsp.codec import CODECS
from moss_audio.dsp.loudness import amplitude
from moss_audio.errors import MossAudioError
from moss_audio.scenes.choice import choose
from moss_audio.scenes.composition import Composition
from moss_audio.settings import Between, OneOf, Share, Weight


@dataclass(frozen=True)
class EffectsConfig:
    """Shares (0 to 1) of the clips that get each effect; the draws are independent.

    Ranges are drawn from evenly: a wider one than is allowed makes artefacts rather than speakers.
    All shares are 0 by default: nothing is changed.
    """

    speed: Share = 0.0  # tempo without pitch; not for music, whose tempo is part of the truth
    pitch: Share = 0.0  # pitch without tempo; not for music
    room: Share = 0.0  # a shoebox room
    noise: Share = 0.0  # steady noise, unless the clip has some already
    gain: Share = 0.0  # after levelling; above 0 dB it clips
    codec: Share = 0.0  # there and back again
    speed_range: Annotated[tuple[float, float], Between(0.5, 2.0)] = (0.88, 1.14)
    pitch_semitones: Annotated[tuple[float, float], Between(-7.0, 7.0)] = (-2.0, 2.0)
    snr_db: Annotated[tuple[float, float], Between(-20.0, 80.0)] = (5.0, 35.0)
    gain_db: Annotated[tuple[float, float], Between(-60.0, 24.0)] = (-30.0, 0.0)
    codecs: dict[Annotated[str, OneOf(CODECS)], Weight] = field(
        default_factory=lambda: dict.fromkeys(CODECS, 1.0)
    )

    def __post_init__(self) -> None:
        if not sum(self.codecs.values()):
            raise MossAudioError("codecs has no positive number")

    @property
    def active(self) -> bool:
        """Whether any clip can be changed."""
        shares = (self.speed, self.pitch, self.room, self.noise, self.gain, self.codec)
        return any(share > 0 for share in shares)


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

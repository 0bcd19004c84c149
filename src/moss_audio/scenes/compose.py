"""Compose scenes: speech, sound events, both, music, or quiet, with their exact truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from moss_audio.dsp.loudness import amplitude, power, rms
from moss_audio.dsp.noise import background_noise
from moss_audio.dsp.room import reverberated
from moss_audio.scenes import overlap
from moss_audio.scenes.choice import choose
from moss_audio.scenes.composition import Composition
from moss_audio.scenes.config import KINDS, ScenesConfig
from moss_audio.scenes.effects import after_levelling, before_levelling
from moss_audio.scenes.events import EventBank, EventSound
from moss_audio.scenes.human import HUMAN_EN, PromptDeck
from moss_audio.scenes.music import LONGEST_FORM_S, SHORTEST_FORM_S, compose_form, compose_piece
from moss_audio.scenes.records import SceneEvent
from moss_audio.scenes.sounds.tones import fade
from moss_audio.scenes.speech import LONGEST_S, SpeechMaker, Texts
from moss_audio.scenes.synthesizer import MusicPlayer
from moss_audio.units import SAMPLE_RATE

# Mean seconds a scene, to turn shares of the hours into shares of the scenes.
_MEAN_S = {"speech": 4.3, "events": 7.7, "mixed": 6.5, "music": 9.7, "silence": 4.9, "human": 3.2}
_MEAN_FORM_S = 61.5


class Composer:
    """Draws scenes from one generator: the same seed gives the same scenes in the same order.

    `shard` is this composer's index and their number: the English test recordings are dealt out
    among them, so that each is heard once before any is heard again.
    """

    def __init__(
        self, config: ScenesConfig, texts: Texts, seed: int, shard: tuple[int, int] = (0, 1)
    ) -> None:
        self._config, self._seed = config, seed
        self._rng = np.random.default_rng(seed)
        # What is off by default draws from here, a generator a scene.
        self._extra = np.random.default_rng([seed, 0])
        self._count = 0
        self._speech_maker = SpeechMaker(config, texts, seed)
        self._prompts = PromptDeck(config.with_test, config.is_held_out, shard)
        self._banks: dict[str, EventBank] = {}
        self._player: MusicPlayer | None = None
        share = config.form_share
        music_s = (1 - share) * _MEAN_S["music"] + share * _MEAN_FORM_S if share else None
        self._mean_s = _MEAN_S if music_s is None else {**_MEAN_S, "music": music_s}
        if share := config.long_share:
            speech_s = (1 - share) * _MEAN_S["speech"] + share * sum(config.long_s) / 2
            self._mean_s = {**self._mean_s, "speech": speech_s}

    def draw(self) -> tuple[str, str, Composition]:
        """The next scene: its split, its kind and itself, peak below full scale."""
        self._count += 1
        self._extra = np.random.default_rng([self._seed, self._count])
        split = choose(self._split_rates(), self._rng)
        kind = choose(self._kind_rates(split), self._rng)
        makers = {
            "speech": self._speech,
            "events": self._events,
            "mixed": self._mixed,
            "music": self._music,
            "silence": self._silence,
            "human": self._human,
        }
        scene = makers[kind](split)
        if kind == "speech" and scene.events:
            kind = "mixed"
        effects = self._config.effects
        if effects.active:
            scene = before_levelling(scene, effects, self._extra)
        scene = replace(scene, samples=self._levelled(scene.samples, quiet=kind == "silence"))
        if effects.active:
            scene = after_levelling(scene, effects, self._extra)
        return split, kind, scene.measured() if self._config.levels else scene

    def _split_rates(self) -> dict[str, float]:
        """Shares of the scenes by split."""
        hours = self._config.hours
        if not self._config.prompts and not hours.get(HUMAN_EN, 0):
            return hours  # every split has the same kinds of scenes
        rates = {}
        for split, share in hours.items():
            kinds = self._kind_rates(split)
            scenes = sum(kinds.values())
            mean_s = sum(rate * self._mean_s[k] for k, rate in kinds.items()) / scenes
            rates[split] = share / mean_s
        return rates

    def _kind_rates(self, split: str) -> dict[str, float]:
        """Shares of the scenes of a split by kind."""
        if split == HUMAN_EN:
            return {"human": 1.0}
        human_too = bool(self._config.prompts_for(split))
        kinds = {k: v for k, v in self._config.kinds.items() if k in KINDS}
        return {k: v / self._mean_s[k] for k, v in kinds.items() if k != "human" or human_too}

    def _speech(self, split: str) -> Composition:
        rng = self._rng
        single, long_s = rng.random() < self._config.single_share, None
        if self._config.long_share and self._extra.random() < self._config.long_share:
            single, long_s = False, float(self._extra.uniform(*self._config.long_s))
        scene = self._speech_maker.say(split, rng, single=single, long_s=long_s)
        if self._extra.random() < self._config.overlap_speakers:
            scene = overlap.with_speaker(scene, self._speech_maker, split, self._extra)
        if self._extra.random() < self._config.overlap_events:
            scene = overlap.with_event(scene, self._bank(split), self._extra)
        if rng.random() >= self._config.clean_share:
            scene = self._echoed(scene, 0.5)
            if rng.random() < 0.75:
                scene = scene.with_noise(float(rng.uniform(8, 35)), rng)
        return scene

    def _human(self, split: str) -> Composition:
        """A recorded prompt, whole, with a little silence around it."""
        name = choose(self._config.prompts_for(split), self._extra)
        return self._prompts.draw(name, split, self._extra)

    def _events(self, split: str) -> Composition:
        """One to four events over a low floor, quiet at the end."""
        rng = self._rng
        scene = Composition(np.zeros(int(LONGEST_S * SAMPLE_RATE), np.float32))
        at = float(rng.uniform(0.05, 1.2))
        last = at
        for i in range(int(rng.choice((1, 2, 3, 4), p=(0.3, 0.35, 0.22, 0.13)))):
            sound = self._bank(split).draw(rng)
            seconds = sound.samples.size / SAMPLE_RATE
            if at + seconds > LONGEST_S - 1.0:
                break
            if i and rng.random() < 0.15:  # sometimes one begins under the other
                at = max(0.0, at - float(rng.uniform(0.3, 1.5)))
            scene = _placed(scene, sound, at, rng.uniform(-14, 0))
            last = max(last, at + seconds)
            at = last + float(rng.uniform(0.2, 2.0))
        end = max(3.0, last + float(rng.uniform(0.3, 2.5)))
        scene = replace(scene, samples=scene.samples[: int(min(end, LONGEST_S) * SAMPLE_RATE)])
        scene = self._echoed(scene, 0.3)
        return scene.with_noise(float(rng.uniform(25, 50)), rng) if rng.random() < 0.7 else scene

    def _mixed(self, split: str) -> Composition:
        """Speech with one or two events before, after or under it."""
        rng = self._rng
        scene = self._speech_maker.say(split, rng, single=rng.random() < 0.15)
        level = rms(scene.samples) * 2.5
        for _ in range(1 if rng.random() < 0.7 else 2):
            scene = self._beside(scene, level, split)
        if rng.random() < 0.5:
            scene = self._echoed(scene, 0.4)
            scene = scene.with_noise(float(rng.uniform(12, 35)), rng)
        return scene

    def _beside(self, scene: Composition, level: float, split: str) -> Composition:
        """The scene with an event before, after or under all that it has."""
        rng = self._rng
        room_s = LONGEST_S - scene.duration_s
        sound = self._bank(split).draw(rng, longest_s=4.0)
        seconds = sound.samples.size / SAMPLE_RATE
        where = rng.choice(("before", "after", "under"))
        gap = float(rng.uniform(0.05, 0.5))
        if where != "under" and seconds + gap > room_s:
            where = "under"
        gain = float(rng.uniform(-10, 4)) if where != "under" else float(rng.uniform(-20, -6))
        samples = sound.samples * np.float32(level / np.sqrt(power(sound.samples) + 1e-9) * 0.4)
        samples = np.clip(samples, -1.5, 1.5)
        size, grow = scene.samples.size, int((seconds + gap) * SAMPLE_RATE)
        if where == "before":
            scene = scene.padded(grow, 0)
            at = float(rng.uniform(0, gap))
        elif where == "after":
            scene = scene.padded(0, grow)
            at = size / SAMPLE_RATE + float(rng.uniform(0, gap * 0.8))
        else:
            at = float(rng.uniform(0, max(0.01, size / SAMPLE_RATE - min(seconds, 1.0))))
            if at + seconds > size / SAMPLE_RATE:
                samples = fade(samples[: max(1, size - int(at * SAMPLE_RATE))], 40)
        return _placed(scene, replace(sound, samples=samples), at, gain)

    def _music(self, split: str) -> Composition:
        rng, extra = self._rng, self._extra
        if self._player is None:
            self._player = MusicPlayer()
        if extra.random() < self._config.form_share:
            score = compose_form(extra, float(extra.uniform(SHORTEST_FORM_S, LONGEST_FORM_S)))
        else:
            score = compose_piece(rng, float(rng.uniform(5, 12)))
        piece = self._player.render(score.notes, score.programs, score.seconds)
        lead = int(rng.uniform(0, 0.8) * SAMPLE_RATE)
        tail = int(rng.uniform(0.2, 1.2) * SAMPLE_RATE)
        heard = np.flatnonzero(np.abs(piece) > 0.003 * np.max(np.abs(piece)))
        event = SceneEvent(
            f"{score.facts.instrument} music",
            (lead + int(heard[0])) / SAMPLE_RATE,
            (lead + int(heard[-1]) + 1) / SAMPLE_RATE,
            "fluidsynth",
        )
        scene = replace(Composition(piece, music=score.facts).padded(lead, tail), events=(event,))
        return scene.with_noise(float(rng.uniform(20, 45)), rng) if rng.random() < 0.4 else scene

    def _silence(self, split: str) -> Composition:
        """Nothing to report: digital silence or steady noise."""
        n = int(self._rng.uniform(1, 9) * SAMPLE_RATE)
        if self._rng.random() < 0.2:
            return Composition(np.zeros(n, np.float32))
        return Composition(background_noise(n, self._rng) * np.float32(0.1))

    def _bank(self, split: str) -> EventBank:
        if split not in self._banks:
            self._banks[split] = EventBank(split, self._config.sound_sources)
        return self._banks[split]

    def _echoed(self, scene: Composition, share: float) -> Composition:
        """The scene, or that share of the time the scene with a light echo."""
        if self._rng.random() >= share:
            return scene
        return replace(scene, samples=reverberated(scene.samples, self._rng))

    def _levelled(self, samples: np.ndarray, *, quiet: bool) -> np.ndarray:
        peak = float(np.max(np.abs(samples))) if samples.size else 0.0
        if peak < 1e-6:
            return samples
        target = self._rng.uniform(-60, -25) if quiet else self._rng.uniform(-18, -1)
        return np.asarray(samples * np.float32(amplitude(float(target)) / peak))


def _placed(scene: Composition, sound: EventSound, at_s: float, gain_db: float) -> Composition:
    """The scene with as much of a sound as fits into it from `at_s` on, and its event."""
    at = int(at_s * SAMPLE_RATE)
    body = sound.samples[: scene.samples.size - at]
    event = SceneEvent(sound.label, at_s, at_s + body.size / SAMPLE_RATE, sound.source)
    return scene.with_sound(body * np.float32(amplitude(gain_db)), at, event)

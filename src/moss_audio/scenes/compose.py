"""Compose scenes: speech, sound events, both, music, or quiet, with their exact truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from moss_audio.dsp.loudness import amplitude, level_db, power, rms
from moss_audio.dsp.noise import background_noise
from moss_audio.dsp.room import reverberated
from moss_audio.errors import MossAudioError
from moss_audio.scenes import human, overlap
from moss_audio.scenes.config import KINDS, ScenesConfig
from moss_audio.scenes.draft import Draft, add_noise
from moss_audio.scenes.effects.apply import after_levelling, before_levelling
from moss_audio.scenes.events import EventBank
from moss_audio.scenes.form import LONGEST_S as LONGEST_FORM_S
from moss_audio.scenes.form import SHORTEST_S as SHORTEST_FORM_S
from moss_audio.scenes.form import compose_form
from moss_audio.scenes.human import HUMAN_EN, PROMPT_SOURCES, Prompt
from moss_audio.scenes.music import MusicPlayer
from moss_audio.scenes.sounds.tones import SR, fade
from moss_audio.scenes.speech import LONGEST_S, SpeechMaker, Texts, choose

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
        self._config, self._seed, self._shard = config, seed, shard
        self._rng = np.random.default_rng(seed)
        # What is off by default draws from here, a generator a scene.
        self._extra = np.random.default_rng([seed, 0])
        self._count = 0
        self._speech_maker = SpeechMaker(config, texts, seed)
        self._banks: dict[str, EventBank] = {}
        self._prompts: dict[tuple[str, str], list[Prompt]] = {}
        self._heard = 0
        self._player: MusicPlayer | None = None
        self._mean_s = dict(_MEAN_S)
        share = config.form_share
        if share:
            self._mean_s["music"] = (1 - share) * _MEAN_S["music"] + share * _MEAN_FORM_S

    def draw(self) -> tuple[str, str, Draft]:
        """The next scene: its split, its kind and itself, peak below full scale."""
        self._count += 1
        self._extra = np.random.default_rng([self._seed, self._count])
        split = choose(self._split_rates(), self._rng)
        kind = choose(self._kind_rates(split), self._rng)
        makers: dict[str, Callable[[str], Draft]] = {
            "speech": self._speech,
            "events": self._events,
            "mixed": self._mixed,
            "music": self._music,
            "silence": self._silence,
            "human": self._human,
        }
        draft = makers[kind](split)
        if kind == "speech" and draft.events:
            kind = "mixed"
        effects = self._config.effects
        if effects.active:
            before_levelling(draft, effects, self._extra)
        draft.samples = self._level(draft.samples, quiet=kind == "silence")
        if effects.active:
            after_levelling(draft, effects, self._extra)
        if self._config.levels:
            _measure(draft)
        return split, kind, draft

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

    def _speech(self, split: str) -> Draft:
        rng = self._rng
        draft = self._speech_maker.say(split, rng, single=rng.random() < self._config.single_share)
        if self._extra.random() < self._config.overlap_speakers:
            overlap.add_speaker(draft, self._speech_maker, split, self._extra)
        if self._extra.random() < self._config.overlap_events:
            overlap.add_event(draft, self._bank(split), self._extra)
        if rng.random() >= self._config.clean_share:
            if rng.random() < 0.5:
                draft.samples = reverberated(draft.samples, rng)
            if rng.random() < 0.75:
                add_noise(draft, float(rng.uniform(8, 35)), rng)
        return draft

    def _human(self, split: str) -> Draft:
        """A recorded prompt, whole, with a little silence around it."""
        rng = self._extra
        name = choose(self._config.prompts_for(split), rng)
        prompts = self._prompts_of(name, split)
        if split == HUMAN_EN:
            index, shards = self._shard
            mine = prompts[index % min(shards, len(prompts)) :: shards]
            prompt = mine[self._heard % len(mine)]
            self._heard += 1
        else:
            prompt = prompts[int(rng.integers(len(prompts)))]
        body = fade(human.load(prompt))
        lead, tail = (int(rng.uniform(0.05, 0.4) * SR) for _ in range(2))
        tail = max(tail, SR - lead - body.size)
        source = PROMPT_SOURCES[name]
        draft = Draft(np.pad(body, (lead, tail)), voice=source.speaker)
        loud = np.flatnonzero(np.abs(body) > 0.02 * float(np.max(np.abs(body)) + 1e-9))
        first, last = (int(loud[0]), int(loud[-1]) + 1) if loud.size else (0, body.size)
        draft.sentences.append(
            {"text": prompt.text, "start": (lead + first) / SR, "end": (lead + last) / SR}
        )
        draft.language, draft.speech_source = source.language, prompt.source
        return draft

    def _prompts_of(self, name: str, split: str) -> list[Prompt]:
        key = (name, split)
        if key not in self._prompts:
            self._prompts[key] = human.prompts_of(
                PROMPT_SOURCES[name],
                split,
                with_test=self._config.with_test,
                held_out=self._config.is_held_out(name),
            )
            if not self._prompts[key]:
                raise MossAudioError(f"{name}: no recordings for the split {split!r}")
        return self._prompts[key]

    def _bank(self, split: str) -> EventBank:
        if split not in self._banks:
            self._banks[split] = EventBank(split, self._config.sound_sources)
        return self._banks[split]

    def _events(self, split: str) -> Draft:
        """One to four events over a low floor, quiet at the end."""
        rng = self._rng
        draft = Draft(np.zeros(int(LONGEST_S * SR), np.float32))
        at = float(rng.uniform(0.05, 1.2))
        last = at
        for i in range(int(rng.choice((1, 2, 3, 4), p=(0.3, 0.35, 0.22, 0.13)))):
            sound = self._bank(split).draw(rng)
            seconds = sound.samples.size / SR
            if at + seconds > LONGEST_S - 1.0:
                break
            if i and rng.random() < 0.15:  # sometimes one begins under the other
                at = max(0.0, at - float(rng.uniform(0.3, 1.5)))
            self._place(draft, sound.label, sound.source, sound.samples, at, rng.uniform(-14, 0))
            last = max(last, at + seconds)
            at = last + float(rng.uniform(0.2, 2.0))
        end = max(3.0, last + float(rng.uniform(0.3, 2.5)))
        draft.samples = draft.samples[: int(min(end, LONGEST_S) * SR)]
        if rng.random() < 0.3:
            draft.samples = reverberated(draft.samples, rng)
        if rng.random() < 0.7:
            add_noise(draft, float(rng.uniform(25, 50)), rng)
        return draft

    def _place(
        self, draft: Draft, label: str, source: str, sound: np.ndarray, at: float, gain: float
    ) -> None:
        start = int(at * SR)
        sound = sound[: draft.samples.size - start]
        draft.samples[start : start + sound.size] += sound * np.float32(amplitude(float(gain)))
        draft.events.append(
            {"label": label, "start": at, "end": at + sound.size / SR, "source": source}
        )

    def _mixed(self, split: str) -> Draft:
        """Speech with one or two events before, after or under it."""
        rng = self._rng
        draft = self._speech_maker.say(split, rng, single=rng.random() < 0.15)
        speech = draft.samples
        level = rms(speech) * 2.5
        for _ in range(1 if rng.random() < 0.7 else 2):
            room = LONGEST_S - draft.samples.size / SR
            sound = self._bank(split).draw(rng, longest_s=4.0)
            seconds = sound.samples.size / SR
            where = rng.choice(("before", "after", "under"))
            gap = float(rng.uniform(0.05, 0.5))
            if where != "under" and seconds + gap > room:
                where = "under"
            gain = float(rng.uniform(-10, 4)) if where != "under" else float(rng.uniform(-20, -6))
            sample = sound.samples * np.float32(level / np.sqrt(power(sound.samples) + 1e-9) * 0.4)
            sample = np.clip(sample, -1.5, 1.5)
            size = draft.samples.size
            if where == "before":
                grow = int((seconds + gap) * SR)
                draft.samples = np.concatenate([np.zeros(grow, np.float32), draft.samples])
                for item in [*draft.words, *draft.sentences, *draft.events]:
                    item["start"] += grow / SR
                    item["end"] += grow / SR
                at = float(rng.uniform(0, gap))
            elif where == "after":
                grow = int((seconds + gap) * SR)
                draft.samples = np.concatenate([draft.samples, np.zeros(grow, np.float32)])
                at = size / SR + float(rng.uniform(0, gap * 0.8))
            else:
                at = float(rng.uniform(0, max(0.01, size / SR - min(seconds, 1.0))))
                if at + seconds > size / SR:
                    sample = fade(sample[: max(1, size - int(at * SR))], 40)
            self._place(draft, sound.label, sound.source, sample, at, gain)
        if rng.random() < 0.5:
            if rng.random() < 0.4:
                draft.samples = reverberated(draft.samples, rng)
            add_noise(draft, float(rng.uniform(12, 35)), rng)
        return draft

    def _music(self, split: str) -> Draft:
        rng = self._rng
        if self._player is None:
            self._player = MusicPlayer()
        more: dict[str, Any] = {}
        if self._extra.random() < self._config.form_share:
            seconds = float(self._extra.uniform(SHORTEST_FORM_S, LONGEST_FORM_S))
            facts, more, notes, programs = compose_form(self._extra, seconds)
            piece = self._player.render(notes, programs, more["sections"][-1]["end"] + 0.4)
        else:
            facts, piece = self._player.play(rng, float(rng.uniform(5, 12)))
        lead = int(rng.uniform(0, 0.8) * SR)
        tail = int(rng.uniform(0.2, 1.2) * SR)
        draft = Draft(np.concatenate([np.zeros(lead), piece, np.zeros(tail)]).astype(np.float32))
        for section in more.get("sections", []):
            section["start"] += lead / SR
            section["end"] += lead / SR
        draft.music = {**facts.to_dict(), **more}
        heard = np.flatnonzero(np.abs(piece) > 0.003 * np.max(np.abs(piece)))
        start, end = (lead + int(heard[0])) / SR, (lead + int(heard[-1]) + 1) / SR
        label = f"{facts.instrument} music"
        draft.events.append({"label": label, "start": start, "end": end, "source": "fluidsynth"})
        if rng.random() < 0.4:
            add_noise(draft, float(rng.uniform(20, 45)), rng)
        return draft

    def _silence(self, split: str) -> Draft:
        """Nothing to report: digital silence or steady noise."""
        n = int(self._rng.uniform(1, 9) * SR)
        if self._rng.random() < 0.2:
            return Draft(np.zeros(n, np.float32))
        return Draft(background_noise(n, self._rng) * np.float32(0.1))

    def _level(self, samples: np.ndarray, *, quiet: bool) -> np.ndarray:
        peak = float(np.max(np.abs(samples))) if samples.size else 0.0
        if peak < 1e-6:
            return samples
        target = self._rng.uniform(-60, -25) if quiet else self._rng.uniform(-18, -1)
        return samples * np.float32(amplitude(float(target)) / peak)


def _measure(draft: Draft) -> None:
    """How loud the scene is while each sentence and event sounds: RMS in dB of full scale."""
    for item in [*draft.sentences, *draft.events]:
        part = draft.samples[int(item["start"] * SR) : int(item["end"] * SR) + 1]
        item["level_db"] = round(level_db(part), 1)

"""Compose scenes: speech, sound events, both, music, or quiet, with their exact truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.scenes.acoustics import background, db, power, reverberate
from moss_audio.scenes.config import KINDS, ScenesConfig
from moss_audio.scenes.events import EventBank
from moss_audio.scenes.music import MusicPlayer
from moss_audio.scenes.sounds.tones import SR, fade
from moss_audio.scenes.voices import UnalignedError, Utterance, Voice, open_voice

LONGEST_S = 15.0
# Mean seconds a scene, to turn shares of the hours into shares of the scenes.
_MEAN_S = {"speech": 4.3, "events": 7.7, "mixed": 6.5, "music": 9.7, "silence": 4.9}
_TRIES = 60

Texts = dict[str, dict[str, list[str]]]


@dataclass
class Draft:
    """A scene in the making: float32 samples and the truth in seconds."""

    samples: np.ndarray
    voice: str | None = None
    words: list[dict[str, Any]] = field(default_factory=list)
    sentences: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    music: dict[str, Any] | None = None
    snr_db: float | None = None

    def truth(self) -> dict[str, Any]:
        """Plain data, times to the millisecond and inside the clip, sorted."""
        limit = self.samples.size / SR

        def tidy(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
            rounded = [
                {
                    **i,
                    "start": round(max(0.0, i["start"]), 3),
                    "end": round(min(limit, i["end"]), 3),
                }
                for i in items
            ]
            return sorted(rounded, key=lambda i: (i["start"], i["end"]))

        return {
            "voice": self.voice,
            "words": tidy(self.words),
            "sentences": tidy(self.sentences),
            "events": tidy(self.events),
            "music": self.music,
            "snr_db": None if self.snr_db is None else round(self.snr_db, 1),
        }


class Composer:
    """Draws scenes from one generator: the same seed gives the same scenes in the same order."""

    def __init__(self, config: ScenesConfig, texts: Texts, seed: int) -> None:
        self._config, self._texts, self._seed = config, texts, seed
        self._rng = np.random.default_rng(seed)
        self._voices: dict[str, Voice] = {}
        self._banks: dict[str, EventBank] = {}
        self._player: MusicPlayer | None = None

    def draw(self) -> tuple[str, str, Draft]:
        """The next scene: its split, its kind and itself, peak below full scale."""
        split = self._choose(self._config.hours)
        rates = {k: v / _MEAN_S[k] for k, v in self._config.kinds.items() if k in KINDS}
        kind = self._choose(rates)
        makers: dict[str, Callable[[str], Draft]] = {
            "speech": self._speech,
            "events": self._events,
            "mixed": self._mixed,
            "music": self._music,
            "silence": self._silence,
        }
        draft = makers[kind](split)
        draft.samples = self._level(draft.samples, quiet=kind == "silence")
        return split, kind, draft

    def _speech(self, split: str) -> Draft:
        draft = self._say(split, single=self._rng.random() < self._config.single_share)
        if self._rng.random() >= self._config.clean_share:
            if self._rng.random() < 0.5:
                draft.samples = reverberate(draft.samples, self._rng)
            if self._rng.random() < 0.75:
                self._add_noise(draft, float(self._rng.uniform(8, 35)))
        return draft

    def _say(self, split: str, *, single: bool) -> Draft:
        """Sentences of one voice with pauses between, 1 to 15 s."""
        rng = self._rng
        engine, speaker = self._speaker(split)
        lead = float(rng.uniform(0.05, 0.6))
        parts: list[np.ndarray] = [np.zeros(int(lead * SR), np.float32)]
        draft = Draft(np.zeros(0, np.float32), voice=speaker)
        at = parts[0].size
        count = 1 if single else int(rng.choice((1, 2, 3, 4), p=(0.5, 0.27, 0.15, 0.08)))
        for i in range(count):
            said = self._utterance(split, engine, speaker, single=single)
            body, shift = _cut(said)
            if i and at + body.size > (LONGEST_S - 0.5) * SR:
                break
            if i:
                pause = np.zeros(int(rng.uniform(0.12, 1.1) * SR), np.float32)
                if at + pause.size + body.size > (LONGEST_S - 0.3) * SR:
                    break
                parts.append(pause)
                at += pause.size
            offset = at / SR + shift
            words = [
                {"text": w.text, "start": w.start + offset, "end": w.end + offset}
                for w in said.words
            ]
            draft.words += words
            draft.sentences.append(
                {
                    "text": " ".join(w.text for w in said.words),
                    "start": words[0]["start"],
                    "end": words[-1]["end"],
                }
            )
            parts.append(body)
            at += body.size
        tail = max(float(rng.uniform(0.05, 0.7)), 1.0 - at / SR)
        parts.append(np.zeros(int(tail * SR), np.float32))
        draft.samples = np.concatenate(parts)
        return draft

    def _utterance(self, split: str, engine: str, speaker: str, *, single: bool) -> Utterance:
        for _ in range(_TRIES):
            text = self._sentence(split, single=single)
            try:
                said = self._voice(engine).speak(text, speaker, self._rng)
            except UnalignedError:
                continue
            if said.words[-1].end - said.words[0].start < LONGEST_S - 1.5:
                return said
        raise MossAudioError(f"{speaker}: none of {_TRIES} sentences could be said and aligned")

    def _sentence(self, split: str, *, single: bool) -> str:
        pools = self._texts[split]
        shares = {k: v for k, v in self._config.texts.items() if k in pools and k != "word"}
        category = "word" if single and "word" in pools else self._choose(shares)
        pool = pools[category]
        return pool[int(self._rng.integers(len(pool)))]

    def _speaker(self, split: str) -> tuple[str, str]:
        """An engine and one of its speakers that this split may hear."""
        held = self._config.held_out_speakers
        if split == "test-unseen" and held:
            prefix = held[int(self._rng.integers(len(held)))]
            engine = prefix.split("/", 1)[0]
            names = [s for s in self._voice(engine).speakers() if s.startswith(prefix)]
        else:
            engine = self._choose(self._config.engines)
            names = [s for s in self._voice(engine).speakers() if not s.startswith(held or ("\0",))]
        if not names:
            raise MossAudioError(f"{engine}: no speaker left for the split {split!r}")
        return engine, names[int(self._rng.integers(len(names)))]

    def _voice(self, engine: str) -> Voice:
        if engine not in self._voices:
            self._voices[engine] = open_voice(engine, self._seed)
        return self._voices[engine]

    def _bank(self, split: str) -> EventBank:
        if split not in self._banks:
            self._banks[split] = EventBank(split)
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
            draft.samples = reverberate(draft.samples, rng)
        if rng.random() < 0.7:
            self._add_noise(draft, float(rng.uniform(25, 50)))
        return draft

    def _place(
        self, draft: Draft, label: str, source: str, sound: np.ndarray, at: float, gain: float
    ) -> None:
        start = int(at * SR)
        sound = sound[: draft.samples.size - start]
        draft.samples[start : start + sound.size] += sound * np.float32(db(float(gain)))
        draft.events.append(
            {"label": label, "start": at, "end": at + sound.size / SR, "source": source}
        )

    def _mixed(self, split: str) -> Draft:
        """Speech with one or two events before, after or under it."""
        rng = self._rng
        draft = self._say(split, single=rng.random() < 0.15)
        speech = draft.samples
        level = np.sqrt(power(speech)) * 2.5
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
                draft.samples = reverberate(draft.samples, rng)
            self._add_noise(draft, float(rng.uniform(12, 35)))
        return draft

    def _music(self, split: str) -> Draft:
        rng = self._rng
        if self._player is None:
            self._player = MusicPlayer()
        facts, piece = self._player.play(rng, float(rng.uniform(5, 12)))
        lead = int(rng.uniform(0, 0.8) * SR)
        tail = int(rng.uniform(0.2, 1.2) * SR)
        draft = Draft(np.concatenate([np.zeros(lead), piece, np.zeros(tail)]).astype(np.float32))
        draft.music = facts.to_dict()
        heard = np.flatnonzero(np.abs(piece) > 0.003 * np.max(np.abs(piece)))
        start, end = (lead + int(heard[0])) / SR, (lead + int(heard[-1]) + 1) / SR
        label = f"{facts.instrument} music"
        draft.events.append({"label": label, "start": start, "end": end, "source": "fluidsynth"})
        if rng.random() < 0.4:
            self._add_noise(draft, float(rng.uniform(20, 45)))
        return draft

    def _silence(self, split: str) -> Draft:
        """Nothing to report: digital silence or steady noise."""
        n = int(self._rng.uniform(1, 9) * SR)
        if self._rng.random() < 0.2:
            return Draft(np.zeros(n, np.float32))
        return Draft(background(n, self._rng) * np.float32(0.1))

    def _add_noise(self, draft: Draft, snr_db: float) -> None:
        """Steady noise `snr_db` below the mean power of what sounds (words or events)."""
        active = np.zeros(draft.samples.size, bool)
        for item in draft.words or draft.events:
            active[int(item["start"] * SR) : int(item["end"] * SR)] = True
        reference = np.sqrt(power(draft.samples[active])) if active.any() else 0.1
        noise = background(draft.samples.size, self._rng)
        draft.samples = draft.samples + noise * np.float32(reference * db(-snr_db))
        draft.snr_db = snr_db

    def _level(self, samples: np.ndarray, *, quiet: bool) -> np.ndarray:
        peak = float(np.max(np.abs(samples))) if samples.size else 0.0
        if peak < 1e-6:
            return samples
        target = self._rng.uniform(-60, -25) if quiet else self._rng.uniform(-18, -1)
        return samples * np.float32(db(float(target)) / peak)

    def _choose(self, shares: dict[str, float]) -> str:
        names = sorted(shares)
        weights = np.array([shares[n] for n in names], float)
        return names[int(self._rng.choice(len(names), p=weights / weights.sum()))]


def _cut(said: Utterance) -> tuple[np.ndarray, float]:
    """The utterance with little silence around it, and the seconds to add to its word times."""
    first = max(0, int((said.words[0].start - 0.06) * SR))
    last = min(said.samples.size, int((said.words[-1].end + 0.1) * SR))
    return fade(said.samples[first:last]), -first / SR

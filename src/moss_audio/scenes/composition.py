"""A scene in the making: its sound, and all that is true of it so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from moss_audio.dsp.loudness import level_db, rms
from moss_audio.dsp.noise import at_snr, background_noise
from moss_audio.result import Event, Segment, Word, moved
from moss_audio.scenes.records import (
    MusicFacts,
    SceneEvent,
    SpokenSentence,
    place,
    written,
)
from moss_audio.units import SAMPLE_RATE


@dataclass(frozen=True)
class Composition:
    """A scene as far as it is made: samples float32 `[n]` at 16 kHz, times in seconds.

    `speech_source`: the recording that is heard, if the speech is one. `effects`: what was done.
    """

    samples: np.ndarray
    voice: str | None = None
    sentences: tuple[SpokenSentence, ...] = ()
    events: tuple[SceneEvent, ...] = ()
    music: MusicFacts | None = None
    snr_db: float | None = None
    language: str | None = None
    speech_source: str | None = None
    effects: Mapping[str, Any] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples.size / SAMPLE_RATE

    @property
    def words(self) -> tuple[Word, ...]:
        """All words, sentence after sentence."""
        return tuple(chain.from_iterable(sentence.words for sentence in self.sentences))

    @property
    def voiced(self) -> np.ndarray:
        """The samples from the first sentence's start to the last one's end."""
        first, last = place(self.sentences[0]), place(self.sentences[-1])
        return self.samples[first.start : last.stop]

    def shifted(self, offset_s: float) -> Composition:
        """The same sound with all its times later."""
        return moved(self, lambda t: t + offset_s)

    def sped_up(self, speed: float) -> Composition:
        """The same sound with its times as they are when it is played `speed` times faster."""
        return moved(self, lambda t: t / speed)

    def padded(self, before: int, after: int) -> Composition:
        """The scene with so many samples of silence around it; its times follow."""
        samples = np.pad(self.samples, (before, after))
        return replace(self.shifted(before / SAMPLE_RATE), samples=samples)

    def with_sound(self, sound: np.ndarray, at: int, *events: SceneEvent) -> Composition:
        """The scene with a sound `[m]` laid over it from sample `at` on, and what it is."""
        samples = self.samples.copy()
        samples[at : at + sound.size] += sound
        return replace(self, samples=samples, events=self.events + events)

    def with_noise(self, snr_db: float, rng: np.random.Generator) -> Composition:
        """Steady noise `snr_db` below the mean power of what sounds (words, sentences, events)."""
        active = np.zeros(self.samples.size, bool)
        heard: tuple[Word | Segment | Event, ...] = self.words or self.sentences or self.events
        for record in heard:
            active[place(record)] = True
        level = rms(self.samples[active]) if active.any() else 0.1
        noise = at_snr(background_noise(self.samples.size, rng), level, snr_db)
        return replace(self, samples=self.samples + noise, snr_db=snr_db)

    def with_effect(self, samples: np.ndarray, **done: Any) -> Composition:
        """The scene with other samples, and what made them so."""
        return replace(self, samples=samples, effects={**self.effects, **done})

    def measured(self) -> Composition:
        """How loud the scene is while each sentence and event sounds: RMS in dB of full scale."""

        def level(record: Segment | Event) -> float:
            at = place(record)
            return round(level_db(self.samples[at.start : at.stop + 1]), 1)

        return replace(
            self,
            sentences=tuple(replace(s, level_db=level(s)) for s in self.sentences),
            events=tuple(replace(e, level_db=level(e)) for e in self.events),
        )

    def truth(self) -> dict[str, Any]:
        """Plain data, times to the millisecond and inside the clip, sorted.

        Where several voices speak, words stay in the order of their sentences.
        """
        tidy = moved(self, lambda t: round(min(self.duration_s, max(0.0, t)), 3))
        words = [written(word) for word in tidy.words]
        sentences = [written(replace(sentence, words=())) for sentence in tidy.sentences]
        if not any(sentence.voice for sentence in self.sentences):
            words, sentences = sorted(words, key=_times), sorted(sentences, key=_times)
        out = {
            "voice": self.voice,
            "words": words,
            "sentences": sentences,
            "events": sorted((written(event) for event in tidy.events), key=_times),
            "music": tidy.music and written(tidy.music),
            "snr_db": None if self.snr_db is None else round(self.snr_db, 1),
        }
        more = {
            "language": self.language,
            "speech_source": self.speech_source,
            "effects": dict(self.effects),
        }
        return {**out, **{k: v for k, v in more.items() if v}}


def _times(item: dict[str, Any]) -> tuple[float, float]:
    return item["start"], item["end"]

"""A scene in the making, and its truth as it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moss_audio.dsp.loudness import rms
from moss_audio.dsp.noise import at_snr, background_noise
from moss_audio.scenes.sounds.tones import SR

Items = list[dict[str, Any]]


@dataclass
class Draft:
    """A scene in the making: float32 samples and the truth in seconds.

    `parallel`: several voices speak at once; words are then kept by sentence, not by time.
    `speech_source`: the recording that is heard, if the speech is one. `effects`: what was done.
    """

    samples: np.ndarray
    voice: str | None = None
    words: Items = field(default_factory=list)
    sentences: Items = field(default_factory=list)
    events: Items = field(default_factory=list)
    music: dict[str, Any] | None = None
    snr_db: float | None = None
    parallel: bool = False
    language: str | None = None
    speech_source: str | None = None
    effects: dict[str, Any] = field(default_factory=dict)

    def timed(self) -> Items:
        """Everything that has a start and an end."""
        sections = self.music.get("sections", []) if self.music else []
        return [*self.words, *self.sentences, *self.events, *sections]

    def truth(self) -> dict[str, Any]:
        """Plain data, times to the millisecond and inside the clip, sorted."""
        limit = self.samples.size / SR

        def tidy(items: Items, *, in_order: bool = True) -> Items:
            rounded = [
                {
                    **i,
                    "start": round(max(0.0, i["start"]), 3),
                    "end": round(min(limit, i["end"]), 3),
                }
                for i in items
            ]
            return sorted(rounded, key=lambda i: (i["start"], i["end"])) if in_order else rounded

        if self.music and "sections" in self.music:
            self.music["sections"] = tidy(self.music["sections"])
        out = {
            "voice": self.voice,
            "words": tidy(self.words, in_order=not self.parallel),
            "sentences": tidy(self.sentences, in_order=not self.parallel),
            "events": tidy(self.events),
            "music": self.music,
            "snr_db": None if self.snr_db is None else round(self.snr_db, 1),
        }
        more = {
            "language": self.language,
            "speech_source": self.speech_source,
            "effects": self.effects,
        }
        return {**out, **{k: v for k, v in more.items() if v}}


def add_noise(draft: Draft, snr_db: float, rng: np.random.Generator) -> None:
    """Steady noise `snr_db` below the mean power of what sounds (words, sentences or events)."""
    active = np.zeros(draft.samples.size, bool)
    for item in draft.words or draft.sentences or draft.events:
        active[int(item["start"] * SR) : int(item["end"] * SR)] = True
    level = rms(draft.samples[active]) if active.any() else 0.1
    noise = background_noise(draft.samples.size, rng)
    draft.samples = draft.samples + at_snr(noise, level, snr_db)
    draft.snr_db = snr_db

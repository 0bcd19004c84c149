"""Reader drills: sentences without sound, for a decoder that should read audio tokens literally.

Each is a silent clip with the times that its words would have. The training stage puts the
embeddings of the words' pieces in the place of what the clip would give (`train.drills`).

The sentences are those of a folder of composed scenes (`sentences.tsv`), one split of it: what the
test sets say is in none that trains. Some get other words in places where a language model would
rather guess than read: numbers, endings, little words, and words that nobody expects there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moss_audio.data.config import SourceConfig
from moss_audio.data.raw import Lines, RawExample, Truth
from moss_audio.data.sources.base import Source, existing
from moss_audio.dsp.noise import rng_of
from moss_audio.errors import MossAudioError
from moss_audio.recordings import Audio
from moss_audio.recordings.entry import Clip
from moss_audio.result import Word
from moss_audio.scenes import text
from moss_audio.settings import packaged
from moss_audio.units import SAMPLE_RATE, TOKENS_PER_SECOND

_MARKS = ",.?!"
_LETTERS_A_PIECE = 4
_MOST = 6  # audio tokens of a piece
_MEAN_TOKENS = 3.5  # of a piece with the quiet around it
_OTHER, _RANDOM, _SHUFFLED = 0.3, 0.15, 0.05  # shares: of words, of sentences, of sentences


@dataclass(frozen=True)
class Reading:
    """What is to be read: words with the times they would have in `n_tokens` audio tokens."""

    words: tuple[Word, ...]
    n_tokens: int

    @property
    def text(self) -> str:
        """The words as they are written."""
        return " ".join(word.text for word in self.words)


def reading(words: list[str], rng: np.random.Generator) -> Reading:
    """Give words times: 1 to 6 tokens for about each piece, quiet here and there."""
    at = int(rng.integers(0, 7))
    timed = []
    for word in words:
        pieces = -(-len(word.strip(_MARKS)) // _LETTERS_A_PIECE)
        count = int(rng.integers(1, _MOST + 1, size=max(1, pieces)).sum())
        # a quarter of a token inside, so that rounding to tokens gives these very ones
        start, end = (at + 0.25) / TOKENS_PER_SECOND, (at + count - 0.25) / TOKENS_PER_SECOND
        timed.append(Word(word, start, end))
        at += count
        if word[-1] in _MARKS or rng.random() < 0.3:
            at += int(rng.integers(1, 6))
    return Reading(tuple(timed), at + int(rng.integers(0, 7)))


class DrillSource(Source):
    """Sentences of one split of a folder of scenes, as clips that are made in training."""

    def __init__(self, config: SourceConfig, name: str) -> None:
        path = existing(config.path) / "sentences.tsv"
        if not path.is_file():
            raise MossAudioError(f"{path}: not found; drills read the sentences of a set of scenes")
        pools = text.load(path).get(config.split or "", {})
        self.pool = pools.get("word", [])
        self.sentences = [one for category in sorted(pools) for one in pools[category]]
        groups = packaged("moss_audio.data", "drills.toml")["groups"]
        self.alike = {word: group for group in groups for word in group}
        lines = Lines()
        for sentence in self.sentences:
            pieces = len(sentence) / _LETTERS_A_PIECE
            lines.good(pieces * _MEAN_TOKENS / TOKENS_PER_SECOND, sentence)
        super().__init__(config, name, lines)

    def vocabulary(self) -> set[str]:
        """Every word that a drill may have, as it may be written."""
        words = {word for sentence in self.sentences for word in sentence.split()}
        plain = {word.strip(_MARKS) for word in words} | set(self.alike)
        plain |= {word.lower() for word in plain}
        return words | plain | {word[:1].upper() + word[1:] for word in plain} - {""}

    def read(self, number: int) -> RawExample:
        rng = rng_of(f"drill {number} {self.sentences[number]}")
        made = reading(self._altered(self.sentences[number].split(), rng), rng)
        silence = np.zeros(round(made.n_tokens * SAMPLE_RATE / TOKENS_PER_SECOND), np.float32)
        truth = Truth(made.text, words=made.words)
        return RawExample((Clip(Audio(silence, self.id(number))),), truth=truth, made=True)

    def _altered(self, words: list[str], rng: np.random.Generator) -> list[str]:
        """Words as they stand, or some of them changed so that no guess finds them."""
        out = []
        for word in words:
            plain = word.strip(_MARKS)
            group = self.alike.get(plain.lower())
            if group is not None and rng.random() < _OTHER:
                word = word.replace(plain, _like(plain, group[int(rng.integers(len(group)))]))
            out.append(word)
        if self.pool and len(out) > 2 and rng.random() < _RANDOM:
            at = int(rng.integers(len(out)))
            other = self.pool[int(rng.integers(len(self.pool)))].strip(_MARKS).lower()
            plain = out[at].strip(_MARKS)
            if other and plain:
                out[at : at + 1] = out[at].replace(plain, _like(plain, other)).split()
        if len(out) > 2 and rng.random() < _SHUFFLED:
            out = [out[i] for i in rng.permutation(len(out))]
        return out


def _like(word: str, other: str) -> str:
    """`other` with a capital where `word` has one."""
    return other[:1].upper() + other[1:] if word[:1].isupper() else other

"""Pronunciations of words that a dictionary lacks, learnt from that dictionary.

Letters are aligned with phones by two rounds of hard expectation-maximisation on a part of the
dictionary (a letter says nothing, one phone or two); then each letter's phones are looked up by
the widest context of neighbouring letters that was seen. Good enough to find a name in a
recording; wrong vowels are common, so what it gave is marked wherever it is used.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

# Sample sizes that keep learning to a few seconds; every k-th word, so no letter is favoured.
_TRAIN_WORDS, _TABLE_WORDS = 3_000, 24_000
_WIDEST = 3  # letters either side
_MOST_PHONES = 2  # of one letter: the x of "box"
_LETTERS = re.compile(r"[a-z']+")

Phones = tuple[str, ...]


class LetterToSound:
    """Learns from (word, phones) pairs; deterministic."""

    def __init__(self, entries: Sequence[tuple[str, Phones]]) -> None:
        cost: dict[tuple[str, Phones], float] = {}
        for _ in range(2):
            counts: Counter[tuple[str, Phones]] = Counter()
            for word, phones in _every(entries, _TRAIN_WORDS):
                counts.update(zip(word, _align(word, phones, cost) or (), strict=False))
            totals: Counter[str] = Counter()
            for (letter, _), count in counts.items():
                totals[letter] += count
            cost = {key: -math.log(count / totals[key[0]]) for key, count in counts.items()}
        table: defaultdict[str, Counter[Phones]] = defaultdict(Counter)
        for word, phones in _every(entries, _TABLE_WORDS):
            for index, chunk in enumerate(_align(word, phones, cost) or ()):
                for key in _contexts(word, index):
                    table[key][chunk] += 1
        # Ties by the phones themselves, so that the same dictionary gives the same words.
        self._table = {
            key: min(found, key=lambda chunk: (-found[chunk], chunk))
            for key, found in table.items()
        }

    def __call__(self, word: str) -> Phones:
        """Phones of a word in lower-case letters; empty if it has none that were ever seen."""
        word = "".join(_LETTERS.findall(word))
        out: list[str] = []
        for index in range(len(word)):
            for key in _contexts(word, index):
                if key in self._table:
                    out += self._table[key]
                    break
        return tuple(out)


def read_dictionary(path: Path) -> list[tuple[str, Phones]]:
    """First pronunciations of the plain words of a CMU dictionary file."""
    out = []
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *phones = line.split()
        if _LETTERS.fullmatch(word) and len(word) > 1:
            out.append((word, tuple(phones)))
    return out


def _every(entries: Sequence[tuple[str, Phones]], count: int) -> Iterable[tuple[str, Phones]]:
    return entries[:: max(1, len(entries) // count)]


def _contexts(word: str, index: int) -> Iterable[str]:
    """Keys from the widest to the letter alone; more to the right, which says more in English."""
    padded = "#" * _WIDEST + word + "#" * _WIDEST
    at = index + _WIDEST
    for width in range(_WIDEST, -1, -1):
        yield f"{padded[at - width : at]}({padded[at]}){padded[at + 1 : at + 1 + width]}"
        if width:
            left = width - 1
            yield f"{padded[at - left : at]}({padded[at]}){padded[at + 1 : at + 1 + width]}"


def _align(word: str, phones: Phones, cost: dict[tuple[str, Phones], float]) -> list[Phones] | None:
    """Phones of each letter by the cheapest path; None if the word has too few letters."""
    n_letters, n_phones = len(word), len(phones)
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for i, letter in enumerate(word):
        row: dict[int, tuple[float, int]] = {}
        left = n_letters - i - 1
        for used, (so_far, _) in best[-1].items():
            for take in range(_MOST_PHONES + 1):
                end = used + take
                if end > n_phones or n_phones - end > left * _MOST_PHONES:
                    continue
                # Before anything is known, one phone a letter is likeliest.
                price = cost.get((letter, phones[used:end]), 9.0) if cost else abs(take - 1.0)
                if end not in row or so_far + price < row[end][0]:
                    row[end] = (so_far + price, used)
        best.append(row)
    if n_phones not in best[-1]:
        return None
    chunks: list[Phones] = []
    end = n_phones
    for i in range(n_letters, 0, -1):
        start = best[i][end][1]
        chunks.append(phones[start:end])
        end = start
    return chunks[::-1]

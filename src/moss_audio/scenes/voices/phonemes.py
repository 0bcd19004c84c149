"""Which word each phoneme belongs to, where an engine says "of the" as one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np

from moss_audio.scenes.voices.base import UnalignedError


def word_of_each(groups: list[list[str]], words: list[list[str]]) -> list[list[int]]:
    """The index of the word for each phoneme of each group that was said without a break.

    words: the phonemes of each word said alone. Words that share a group share its phonemes in
    proportion to those. Raises UnalignedError if the groups cannot hold the words.
    """
    out, word = [], 0
    for group, sharers in zip(groups, share_out(groups, words), strict=True):
        counts = np.cumsum([len(said) for said in words[word : word + sharers]])
        owners = []
        for i in range(len(group)):
            at = (i + 0.5) / len(group) * float(counts[-1])
            owners.append(word + min(int(np.searchsorted(counts, at)), sharers - 1))
        out.append(owners)
        word += sharers
    return out


def share_out(groups: Sequence[Sequence[str]], words: Sequence[Sequence[str]]) -> list[int]:
    """How many consecutive words each phoneme group holds (1 to 3 a group), by best likeness.

    Raises UnalignedError if the groups cannot hold the words.
    """
    best: dict[tuple[int, int], tuple[float, list[int]]] = {(0, 0): (0.0, [])}
    for g, group in enumerate(groups):
        left = len(groups) - g - 1
        for w in range(len(words) + 1):
            if (g, w) not in best:
                continue
            score, sizes = best[(g, w)]
            for size in (1, 2, 3):
                rest = len(words) - w - size
                if rest < left or rest > 3 * left:
                    continue
                said = [p for word in words[w : w + size] for p in word]
                # Only the letters count: stress marks move when words join.
                like = SequenceMatcher(None, group, said, autojunk=False).ratio() * size
                key = (g + 1, w + size)
                if key not in best or best[key][0] < score + like:
                    best[key] = (score + like, [*sizes, size])
    end = (len(groups), len(words))
    if end not in best:
        raise UnalignedError(f"{len(groups)} phoneme groups cannot hold {len(words)} words")
    return best[end][1]


def spans_of(
    units: np.ndarray, owners: Sequence[int], spaces: Sequence[bool], unit_s: float, late_s: float
) -> list[tuple[float, float]]:
    """Start and end of each word in seconds, from the durations that a graph predicted.

    units: [ids] durations; owners: the word of each id (-1: none); spaces: whether an id is a space
    between words. A lone space between two words is the glide from one into the other: half goes
    to each. `late_s`: by how much the graph's durations run behind its sound.

    Raises UnalignedError if a word has no id.
    """
    ends = np.cumsum(units) * unit_s
    spans = []
    for word in range(max(owners, default=-1) + 1):
        mine = [i for i, owner in enumerate(owners) if owner == word]
        if not mine:
            raise UnalignedError(f"word {word} has no sound")
        first, last = mine[0], mine[-1]
        start = float(ends[first] - units[first] * unit_s)
        end = float(ends[last])
        if first >= 2 and spaces[first - 1] and owners[first - 2] >= 0:
            start -= 0.5 * float(units[first - 1]) * unit_s
        if last + 2 < len(owners) and spaces[last + 1] and owners[last + 2] >= 0:
            end += 0.5 * float(units[last + 1]) * unit_s
        spans.append((max(0.0, start - late_s), max(0.0, end - late_s)))
    return spans

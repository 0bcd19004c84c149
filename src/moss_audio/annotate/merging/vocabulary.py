# ruff: noqa: SIM905  (word lists read best as running text)
"""Names of sounds by their meaning: other wordings of one, near ones, ones that mean the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import permutations, product

from moss_audio.annotate.merging.sound_words import AMBIGUOUS, FAMILIES, GENERIC, SYNONYMS
from moss_audio.metrics.mentions import label_key

_EMPTY = frozenset(
    "sound sounds noise of and in on with from at by to up down off out over under past through"
    " near is are or for as into onto behind around".split()
)
_MOST_FORMS = 60


@lru_cache(maxsize=1)
def _word_groups() -> dict[str, frozenset[str]]:
    groups: dict[str, frozenset[str]] = {}
    for line in SYNONYMS:
        group = frozenset(line)
        for word in line:
            key = label_key(word)
            groups[key] = groups.get(key, frozenset()) | group
    return groups


@lru_cache(maxsize=8192)
def family_of(label: str) -> str | None:
    """The family of a sound's name, by its words; None if none of them is known."""
    key = label_key(label)
    words = set(key.split())
    best: tuple[int, str] | None = None
    for family, names in FAMILIES.items():
        for name in names:
            other = set(label_key(name).split())
            shared = len(words & other)
            if shared and (other <= words or words <= other) and (not best or shared > best[0]):
                best = (shared, family)
    return best[1] if best else None


@lru_cache(maxsize=8192)
def forms(label: str) -> tuple[str, ...]:
    """Other wordings of a sound's name: its words turned round, one word alone, other words."""
    words = [word for word in label_key(label).split() if word not in _EMPTY]
    if not words or len(words) > 4:
        return ()
    choices = [sorted({word, *_word_groups().get(word, ())}) for word in words]
    found: list[str] = []
    for chosen in product(*choices):
        found += [" ".join(order) for order in permutations(chosen)]
        if len(found) > _MOST_FORMS:
            break
    for options in choices:
        found += [word for word in options if len(words) == 1 or word not in _EMPTY]
    family = family_of(label)
    found += GENERIC.get(family, ()) if family else ()
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=1)
def other_sounds() -> tuple[str, ...]:
    """Every phrase and telling word that names a sound; what is not in the evidence is invented."""
    found: dict[str, None] = {}
    for names in FAMILIES.values():
        for name in names:
            if name not in AMBIGUOUS:
                found[name] = None
            for word in name.split():
                if word not in AMBIGUOUS and label_key(word) not in AMBIGUOUS:
                    found[word] = None
    return tuple(found)


def related(a: str, b: str) -> bool:
    """Whether two names may be of one sound: they share a telling word, or a synonym of one."""
    first, second = _expanded(a), _expanded(b)
    return bool(first & second)


def _expanded(label: str) -> set[str]:
    words = {word for word in label_key(label).split() if word not in _EMPTY}
    more = {label_key(other) for word in words for other in _word_groups().get(word, ())}
    return words | more


def near(label: str, avoid: Iterable[str]) -> list[str]:
    """Sounds of the same family that share no word or meaning with any of `avoid`."""
    avoided: Sequence[str] = (label, *avoid)
    family = family_of(label)
    names = FAMILIES[family] if family else tuple(n for ns in FAMILIES.values() for n in ns[:4])
    return [name for name in names if not any(related(name, other) for other in avoided)]

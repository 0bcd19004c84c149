"""Names of sounds by their meaning: other wordings of one, near ones, ones that mean the same.

For the check of free words (a name from the tables that the evidence does not hold is invented)
and for distractors of multiple-choice questions (near in kind).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import permutations, product
from typing import Any

from moss_audio.metrics.mentions import label_key

_MOST_FORMS = 60


@cache
def _tables() -> Mapping[str, Any]:
    return tomllib.loads((files(__package__) / "sound_names.toml").read_text(encoding="utf-8"))


def families() -> Mapping[str, Sequence[str]]:
    """Family -> names of its sounds; no two names of a family can be true of one sound."""
    return _tables()["families"]  # type: ignore[no-any-return]


@cache
def _word_groups() -> dict[str, frozenset[str]]:
    groups: dict[str, frozenset[str]] = {}
    for line in _tables()["synonyms"]:
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
    for family, names in families().items():
        for name in names:
            other = set(label_key(name).split())
            shared = len(words & other)
            if shared and (other <= words or words <= other) and (not best or shared > best[0]):
                best = (shared, family)
    return best[1] if best else None


@lru_cache(maxsize=8192)
def forms(label: str) -> tuple[str, ...]:
    """Other wordings of a sound's name: its words turned round, one word alone, other words."""
    words = [word for word in label_key(label).split() if word not in _tables()["empty"]]
    if not words or len(words) > 4:
        return ()
    choices = [sorted({word, *_word_groups().get(word, ())}) for word in words]
    found: list[str] = []
    for chosen in product(*choices):
        found += [" ".join(order) for order in permutations(chosen)]
        if len(found) > _MOST_FORMS:
            break
    for options in choices:
        found += [word for word in options if len(words) == 1 or word not in _tables()["empty"]]
    family = family_of(label)
    found += _tables()["generic"].get(family, ()) if family else ()
    return tuple(dict.fromkeys(found))


@cache
def other_sounds() -> tuple[str, ...]:
    """Every phrase and telling word that names a sound; what is not in the evidence is invented."""
    ambiguous = {*_tables()["ambiguous"]}
    found: dict[str, None] = {}
    for names in families().values():
        for name in names:
            if name not in ambiguous:
                found[name] = None
            for word in name.split():
                if word not in ambiguous and label_key(word) not in ambiguous:
                    found[word] = None
    return tuple(found)


def related(a: str, b: str) -> bool:
    """Whether two names may be of one sound: they share a telling word, or a synonym of one."""
    first, second = _expanded(a), _expanded(b)
    return bool(first & second)


def _expanded(label: str) -> set[str]:
    words = {word for word in label_key(label).split() if word not in _tables()["empty"]}
    more = {label_key(other) for word in words for other in _word_groups().get(word, ())}
    return words | more


def near(label: str, avoid: Iterable[str]) -> list[str]:
    """Sounds of the same family that share no word or meaning with any of `avoid`."""
    avoided: Sequence[str] = (label, *avoid)
    family = family_of(label)
    names = families()[family] if family else tuple(n for ns in families().values() for n in ns[:4])
    return [name for name in names if not any(related(name, other) for other in avoided)]

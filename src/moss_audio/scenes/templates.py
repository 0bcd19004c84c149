"""Everyday, telephone-like, numeric and spelled sentences, composed from `templates.toml`."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from functools import cache

from moss_audio.settings import packaged
from moss_audio.text import SMALL_NUMBERS, number_to_words

# A text in pieces: literal text at even places, the name of a slot at odd ones.
_Pieces = list[str]

_NOTHING: Mapping[str, str] = {}
_ASKING = ("could you", "can you please", "would you mind if we")


def draw(rng: random.Random) -> str:
    """One sentence or phrase; may repeat or be one the caller excludes."""
    shares = packaged(__package__, "templates.toml")["kinds"]
    (kind,) = rng.choices(list(shares), list(shares.values()))
    composed: dict[str, Callable[[random.Random], str]] = {
        "digits": _digits, "amount": _amount, "time": _time, "spelled": _spelled,
        "request": _request, "question": _question, "statement": _statement,
        "combination": _combination, "talk": _talk,
    }  # fmt: skip
    made = composed[kind](rng) if kind in composed else _pick(rng, kind, _bound(rng, kind))
    return _finish(made, rng)


@cache
def _grammar() -> tuple[dict[str, list[str]], dict[str, list[_Pieces]]]:
    """Words and phrases by name; sentences by name, in pieces."""
    grammar = packaged(__package__, "templates.toml")
    words = {name: text.split() for name, text in grammar["words"].items()}
    sentences = {
        name: [re.split(r"[{}]", text) for text in texts]
        for name, texts in grammar["sentences"].items()
    }
    return {**words, **grammar["phrases"]}, sentences


def _pick(rng: random.Random, name: str, bound: Mapping[str, str] = _NOTHING) -> str:
    """A word, phrase or sentence of this name; `bound` slots have their text already.

    All sentences of the name are filled, then one is chosen: a seed's texts stay what they are.
    """
    words, sentences = _grammar()
    if name in words:
        return rng.choice(words[name])
    return rng.choice([_fill(rng, pieces, bound) for pieces in sentences[name]])


def _fill(rng: random.Random, pieces: _Pieces, bound: Mapping[str, str]) -> str:
    return "".join(_slot(rng, p, bound) if i % 2 else p for i, p in enumerate(pieces))


def _slot(rng: random.Random, name: str, bound: Mapping[str, str]) -> str:
    if name in bound:
        return bound[name]
    if "|" in name:
        return rng.choice(name.split("|"))
    if name == "noun":
        return _noun(rng)
    if name == "where_when":
        return rng.choice(("", "", _pick(rng, "where"), _pick(rng, "when")))
    if name[0].isdigit():
        low, high = map(int, name.split("-"))
        return number_to_words(rng.randint(low, high))
    return _pick(rng, name)


def _finish(text: str, rng: random.Random) -> str:
    text = " ".join(text.split()).replace(" .", ".").replace(" ?", "?").replace(" !", "!")
    if text[-1] in ".?!":
        return text[:1].upper() + text[1:]
    return text[:1].upper() + text[1:] + "." if rng.random() < 0.6 else text


def _noun(rng: random.Random) -> str:
    thing, head = _pick(rng, "thing"), _pick(rng, "head")
    return f"{head} {_pick(rng, 'adjective')} {thing}" if rng.random() < 0.4 else f"{head} {thing}"


def _digits(rng: random.Random) -> str:
    said = [rng.choice(SMALL_NUMBERS[:10]) for _ in range(rng.randint(2, 10))]
    if rng.random() < 0.3:
        said = ["oh" if digit == "zero" else digit for digit in said]
    if rng.random() < 0.4 and len(said) > 4:
        said[len(said) // 2 - 1] += ","
    return f"{_pick(rng, 'digits_lead')} {' '.join(said)}"


def _amount(rng: random.Random) -> str:
    n = int(10 ** rng.uniform(0, rng.choice((1, 2, 2, 3, 4, 6))))
    unit = _pick(rng, "unit")
    return f"{_pick(rng, 'amount_lead')} {number_to_words(n)} {unit}"


def _time(rng: random.Random) -> str:
    hour, minute = rng.randint(1, 12), rng.randint(1, 59)
    part = _pick(rng, "part_of_day")
    said = f"oh {number_to_words(minute)}" if minute < 10 else number_to_words(minute)
    clock = _pick(rng, "clock", {"hour": number_to_words(hour), "minute": said})
    return f"{_pick(rng, 'time_lead')} {clock} {part}"


def _spelled(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return " ".join(_pick(rng, "nato") for _ in range(rng.randint(2, 6)))
    letters = [_pick(rng, "letter") for _ in range(rng.randint(2, 6))]
    return _pick(rng, "spelled", {"joined": ", ".join(letters), "first": letters[0]})


def _request(rng: random.Random) -> str:
    lead = _pick(rng, "request_lead")
    text = _fill(rng, [f"{lead} ", "verb", " ", "noun", " ", "where_when", ""], _NOTHING)
    return text.rstrip() + ("?" if lead in _ASKING else ".")


def _question(rng: random.Random) -> str:
    return " ".join(_pick(rng, "question").split()) + "?"


def _statement(rng: random.Random) -> str:
    text = _pick(rng, "statement", _bound(rng, "statement"))
    return " ".join(text.split()) + rng.choice((".", ".", "!"))


def _combination(rng: random.Random) -> str:
    """Two to four unrelated words: their sound alone has to carry them."""
    pools = ("thing", "adjective", "verb", "name", "place", "weekday", "one", "nato")
    return " ".join(_pick(rng, rng.choice(pools)) for _ in range(rng.randint(2, 4)))


def _talk(rng: random.Random) -> str:
    """Small talk, stories and exclamations."""
    bound = _bound(rng, "talk")
    past = bound["past"]
    tagged = past in _grammar()[0]["participle"]
    gossip = f"they have {past}, haven't they?" if tagged else f"they {past} it, or so I heard."
    return _pick(rng, "talk", {**bound, "who": f"the {bound['who']}", "gossip": gossip})


def _bound(rng: random.Random, kind: str) -> dict[str, str]:
    """What is said in several places of a sentence, by slot: drawn before it, in this order."""
    slots = packaged(__package__, "templates.toml")["bound"][kind]
    return {slot: _slot(rng, name, _NOTHING) for slot, name in slots.items()}

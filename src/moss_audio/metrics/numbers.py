"""Numbers and times in running English text: digits, words, clock times, units."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from moss_audio.text import SMALL_NUMBERS, TENS

Unit = Literal["s", "times", "bpm", ""]

_SMALL = {word: value for value, word in enumerate(SMALL_NUMBERS)}
_TENS = {word: 10 * value for value, word in enumerate(TENS, start=2)}
_SCALES = {"hundred": 100, "thousand": 1000}
_FREQUENCY = {"once": 1, "twice": 2, "thrice": 3}
_UNITS: dict[str, tuple[Unit, float]] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), ("s", 1.0)),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), ("s", 0.001)),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), ("s", 60.0)),
    **dict.fromkeys(("h", "hour", "hours"), ("s", 3600.0)),
    **dict.fromkeys(("time", "times"), ("times", 1.0)),
    "bpm": ("bpm", 1.0),
}
_TOKEN = re.compile(
    r"(?P<clock>\d{1,2}:[0-5]\d(?::[0-5]\d)?(?:\.\d+)?)"
    r"|(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?P<ordinal>(?:st|nd|rd|th)\b)?"
    r"|(?P<word>[A-Za-z]+)"
)
_GAP = re.compile(r"[\s-]*(?:and[\s-]+)?")
_AND_A_HALF = re.compile(r"[\s-]+and[\s-]+a[\s-]+half\b", re.IGNORECASE)
_HALF_OF = re.compile(r"(?:\s+of)?(?:\s+an?)?(?=[\s-]+([A-Za-z]+))", re.IGNORECASE)


@dataclass(frozen=True)
class Number:
    """A number as written from `start` to `end` (characters); times in seconds have unit "s"."""

    value: float
    unit: Unit
    start: int
    end: int


def find_numbers(text: str) -> list[Number]:
    """All numbers of `text` in order.

    Read: 12, 1,200, 2.5, clock times (1:05, 0:01:05.5), number words up to thousands ("one hundred
    and five", "two point five", "one and a half"), once, twice, thrice; with a unit of time behind,
    values are seconds ("1 minute 5 seconds" is 65, "from 2 to 3 s" is two times, "half a minute" is
    30). Ordinals are not numbers.
    """
    found: list[Number] = []
    tokens = list(_TOKEN.finditer(text))
    at = 0
    while at < len(tokens):
        token = tokens[at]
        taken = 1
        if found and token.start() < found[-1].end:
            pass  # "and a half" of the number before
        elif token["clock"]:
            parts = [float(p) for p in token["clock"].split(":")]
            value = sum(p * 60.0**i for i, p in enumerate(reversed(parts)))
            found.append(Number(value, "s", token.start(), token.end()))
        elif token["digits"] and not token["ordinal"]:
            value = float(token["digits"].replace(",", ""))
            found.append(_read(value, token.start(), token.end(), text))
        elif token["word"]:
            word = token["word"].lower()
            if word in _FREQUENCY:
                found.append(Number(_FREQUENCY[word], "times", token.start(), token.end()))
            elif word == "half" and (half := _half(token, text)) is not None:
                found.append(half)
            elif word in _SMALL or word in _TENS:
                value, taken = _spelled(text, tokens[at:])
                end = tokens[at + taken - 1].end()
                found.append(_read(value, token.start(), end, text))
        at += taken
    return _shared_units(_joined(found, text), text)


def find_times(text: str) -> list[Number]:
    """Times in seconds: numbers with a unit of time; if there is none, bare numbers."""
    numbers = find_numbers(text)
    return [n for n in numbers if n.unit == "s"] or [n for n in numbers if not n.unit]


def _spelled(text: str, tokens: list[re.Match[str]]) -> tuple[float, int]:
    """Value and count of tokens of the number word group that begins `tokens`."""
    total, group, last, taken = 0.0, 0.0, "", 0
    for i, token in enumerate(tokens):
        word = (token["word"] or "").lower()
        if i and not _GAP.fullmatch(text, tokens[taken - 1].end(), token.start()):
            break
        if word == "and" and last in ("hundred", "thousand"):
            continue  # counts only when a number word follows
        if word in _SMALL and (i == 0 or last in _SCALES or (last in _TENS and _SMALL[word] < 10)):
            group += _SMALL[word]
        elif word in _TENS and (i == 0 or last in _SCALES):
            group += _TENS[word]
        elif word == "hundred" and i and last not in _SCALES:
            group *= 100
        elif word == "thousand" and i and last != "thousand":
            total, group = (total + group) * 1000, 0.0
        elif word == "point" and i:
            digits = ""
            for digit in tokens[i + 1 :]:
                if (name := (digit["word"] or "").lower()) not in _SMALL or _SMALL[name] > 9:
                    break
                digits += str(_SMALL[name])
            if digits:
                return total + group + float(f"0.{digits}"), i + 1 + len(digits)
            break
        else:
            break
        last, taken = word, i + 1
    return total + group, taken


def _read(value: float, start: int, end: int, text: str) -> Number:
    """A number with the half and the unit behind it."""
    if half := _AND_A_HALF.match(text, end):
        value, end = value + 0.5, half.end()
    return _with_unit(Number(value, "", start, end), text)


def _half(token: re.Match[str], text: str) -> Number | None:
    """The time of "half a second", "half-second"; None for the half of what is no time."""
    of = _HALF_OF.match(text, token.end())
    if of is None or _UNITS.get(of[1].lower(), ("", 0.0))[0] != "s":
        return None
    return _with_unit(Number(0.5, "", token.start(), of.end()), text)


def _with_unit(number: Number, text: str) -> Number:
    match = re.compile(r"[\s-]*([A-Za-z]+)").match(text, number.end)
    unit = _UNITS.get(match[1].lower()) if match else None
    if match is None or unit is None:
        return number
    return Number(number.value * unit[1], unit[0], number.start, match.end())


def _joined(numbers: list[Number], text: str) -> list[Number]:
    """Minutes and the seconds right behind them become one time."""
    out: list[Number] = []
    for number in numbers:
        before = out[-1] if out else None
        if (
            before is not None
            and before.unit == number.unit == "s"
            and re.fullmatch(r"[\s,]*(?:and\s+)?", text[before.end : number.start])
            and re.search(r"(?:m|min|mins|minutes?)$", text[: before.end], re.IGNORECASE)
            and number.value < 60
        ):
            out[-1] = Number(before.value + number.value, "s", before.start, number.end)
        else:
            out.append(number)
    return out


def _shared_units(numbers: list[Number], text: str) -> list[Number]:
    """In "from 2 to 3 seconds" the unit belongs to both."""
    out = list(numbers)
    for i in range(len(out) - 2, -1, -1):
        between = text[out[i].end : out[i + 1].start]
        if (
            not out[i].unit
            and out[i + 1].unit == "s"
            and re.fullmatch(r"\s*(?:-|\u2013|\u2014|to|and|until|till|through)\s*", between)
        ):
            out[i] = replace(out[i], unit="s")
    return out

"""English for single facts: times, lists, counts, names with their article, quotations."""

from __future__ import annotations

import re
from collections.abc import Sequence

from moss_audio.annotate.words import words
from moss_audio.text import single_line

_SILENT_H = ("hour", "honest", "heir")
_SOUNDS_LIKE_Y = ("uni", "use", "eu", "one", "ufo", "uku")
_UN = ("unid", "unim", "unin")  # unidentified and the like: no y after all
_QUOTES = str.maketrans({'"': "'", "\u201c": "'", "\u201d": "'", "\u201e": "'", "\u00ab": "'",
                         "\u00bb": "'"})  # fmt: skip


def seconds(value: float) -> str:
    """A time as captions give it: one decimal."""
    return f"{max(0.0, value):.1f}"


def span_text(start_s: float, end_s: float, wording: str = "from {a} to {b} seconds") -> str:
    """A span in words; a moment where both ends round to the same tenth."""
    a, b = seconds(start_s), seconds(end_s)
    return f"at {a} seconds" if a == b else wording.format(a=a, b=b)


def spans_text(spans: Sequence[tuple[float, float]]) -> str:
    """Several spans: "from 1.0 to 2.0, from 3.0 to 4.0 and at 6.0 seconds"."""
    parts = [span_text(start, end).removesuffix(" seconds") for start, end in spans]
    return listed(parts) + " seconds"


def on_and_off(spans: Sequence[tuple[float, float]]) -> str:
    """The extent of many spans: "on and off from 1.0 to 9.0 seconds"."""
    return span_text(spans[0][0], spans[-1][1], "on and off from {a} to {b} seconds")


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def times_word(count: int) -> str:
    number = count_word(count) if 2 < count < 7 else str(count)
    return {1: "once", 2: "twice"}.get(count, f"{number} times")


def count_word(count: int) -> str:
    names = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return names[count] if 0 <= count < len(names) else str(count)


def _is_plural(label: str) -> bool:
    """Whether a name takes "are": by its first word before a verb ("birds chirping"), or its
    last."""
    words = re.split(r" (?:on|in|at|with|from|of|over|under|behind) ", label.lower())[0].split()
    head = words[0] if len(words) > 1 and words[-1].endswith("ing") else words[-1]
    return head.endswith("s") and not head.endswith(("ss", "us", "is")) and head.isalpha()


def noun(label: str) -> str:
    """A name with the article that it takes in English, if it is English."""
    parts = label.split()
    first, last = parts[0].lower(), parts[-1].lower()
    plain = label.isascii() and all(re.fullmatch(r"[a-zA-Z'-]+", part) for part in parts)
    mass, determined = (words("english")[name].split() for name in ("mass", "determined"))
    bare = (
        not plain
        or first in (*determined, *mass)
        or last in mass
        or _is_plural(label)
        or (len(parts) == 1 and last.endswith("ing") and len(last) > 5)
    )
    return label if bare else f"{article(first)} {label}"


def article(word: str) -> str:
    like_y = word.startswith(_SOUNDS_LIKE_Y) and not word.startswith(_UN)
    vowel = word.startswith(("a", "e", "i", "o", "u")) and not like_y
    return "an" if vowel or word.startswith(_SILENT_H) else "a"


def be(label: str) -> str:
    return "are" if _is_plural(label) else "is"


def quoted(text: str) -> str:
    """Words in quotation marks; marks inside become single ones, so that the quotation ends where
    it should."""
    return f"\u201c{single_line(text).translate(_QUOTES)}\u201d"


def capital(text: str) -> str:
    """`text` with a capital first letter; words in other scripts and names stay."""
    return text[:1].upper() + text[1:]


def full_stop(text: str) -> str:
    """What ends a sentence: nothing after a sentence that is ended already, or quoted whole."""
    return "" if re.search("[.!?\u3002]\u201d?$", text) else "."

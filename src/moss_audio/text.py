"""Text in its plain forms: one line, words to compare, alignment of two word lists, loops.

Everything here is about strings alone, so that tasks, metrics and writers share one definition
of "the same word" and "a runaway answer".
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Hashable, Sequence

import numpy as np

# A model that is stuck repeats a short phrase until its token limit: this many times in a row
# hardly ever occurs in speech, and up to this many words make one phrase.
LOOP_REPEATS = 5
LOOP_WORDS = 8
# Text without spaces is checked by characters; the span keeps laughter or dots from counting.
LOOP_CHARS = 32
LOOP_SPAN_CHARS = 24

# fmt: off
SMALL_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)
# fmt: on
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_UNITS = {1_000_000: "million", 1000: "thousand", 100: "hundred"}
_IRREGULAR_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc\u00b4`", "'''''")
_NUMBER = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.([0-9]+)|(st|nd|rd|th)(?![a-z]))?")
THINK_OPEN, THINK_CLOSE = "<think>", "</think>"


# ---------------------------------------------------------------- plain lines and joined words


def single_line(text: str) -> str:
    """`text` on one line: white space (line ends of any script too) becomes single spaces, and
    control characters and lone surrogates, which no file format here can hold, are removed."""
    kept = "".join(c for c in " ".join(text.split()) if unicodedata.category(c) not in ("Cc", "Cs"))
    return " ".join(kept.split())


def is_cjk(char: str) -> bool:
    """Whether a character belongs to a script that is counted by characters: Han, kana, Hangul."""
    code = ord(char)
    return unicodedata.category(char)[0] == "L" and (
        0x3005 <= code <= 0x30FF
        or 0x31F0 <= code <= 0x31FF
        or 0x3400 <= code <= 0x4DBF
        or 0x4E00 <= code <= 0x9FFF
        or 0xAC00 <= code <= 0xD7A3
        or 0xF900 <= code <= 0xFAFF
        or 0x20000 <= code <= 0x3FFFF
    )


def join_words(words: Sequence[str]) -> str:
    """Words as running text: spaces between them, except inside Chinese and Japanese and before
    punctuation that stands alone. Korean keeps its spaces."""
    pieces: list[str] = []
    for word in words:
        if pieces and not _touches(pieces[-1], word):
            pieces.append(" ")
        pieces.append(word)
    return "".join(pieces)


def _touches(left: str, right: str) -> bool:
    if not left or not right:
        return True
    if all(c in ",.;:!?\u3002\uff0c\uff01\uff1f\u3001" for c in right):
        return True
    before, after = left[-1], right[0]
    spaced = any(0xAC00 <= ord(c) <= 0xD7A3 for c in (before, after))
    full_stop = before in "\u3002\uff0c\uff01\uff1f\u3001"
    return (is_cjk(before) or full_stop) and is_cjk(after) and not spaced


def split_thinking(text: str) -> tuple[str | None, str, bool]:
    """Splits a thinking checkpoint's answer into (thinking or None, answer, closed).

    The opening mark may be missing, since a template can put it into the prompt. A block that is
    never closed leaves an empty answer and `closed` False. Source: spec section 1.5.
    """
    before, mark, after = text.rpartition(THINK_CLOSE)
    if mark:
        thinking = before.replace(THINK_OPEN, "", 1).strip()
        return thinking or None, after.strip(), True
    if text.lstrip().startswith(THINK_OPEN):
        return text.lstrip()[len(THINK_OPEN) :].strip() or None, "", False
    return None, text.strip(), True


# ---------------------------------------------------------------------------- normalised words


def number_to_words(number: int) -> str:
    """0 to 999,999,999 in English, without "and". Raises ValueError outside that range."""
    if not 0 <= number < 10**9:
        raise ValueError(f"number_to_words spells 0 to 999999999, got {number}")
    if number < 20:
        return SMALL_NUMBERS[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens - 2] + (f" {SMALL_NUMBERS[ones]}" if ones else "")
    unit = next(unit for unit in _UNITS if number >= unit)
    count, rest = divmod(number, unit)
    return f"{number_to_words(count)} {_UNITS[unit]}" + (
        f" {number_to_words(rest)}" if rest else ""
    )


def without_articles(words: Sequence[str]) -> list[str]:
    """Normalised words but for a, an and the."""
    return [word for word in words if word not in ("a", "an", "the")]


def _spell(match: re.Match[str]) -> str:
    digits, decimals, ordinal = match[1].replace(",", ""), match[2], match[3]
    # A code, a telephone number or a long number is read digit by digit.
    if len(digits) > 4 or (len(digits) > 1 and digits[0] == "0"):
        words = [SMALL_NUMBERS[int(digit)] for digit in digits]
    else:
        words = number_to_words(int(digits)).split()
    if decimals:
        words += ["point", *(SMALL_NUMBERS[int(digit)] for digit in decimals)]
    elif ordinal:
        last = words[-1]
        words[-1] = _IRREGULAR_ORDINALS.get(
            last, last[:-1] + "ieth" if last.endswith("y") else last + "th"
        )
    return f" {' '.join(words)} "


def normalize_words(text: str) -> list[str]:
    """The words of `text` in the form in which two texts are compared.

    Unicode NFKC, lower case, punctuation dropped, apostrophes kept inside words, English numbers
    spelled out (0 to 9999 as a number; longer ones and ones with a leading zero by digits), and
    `%` read as "percent". Han, kana and Hangul are one item a character; in such text digits stay
    digits, one an item, since their reading depends on the language. Idempotent.
    """
    text = unicodedata.normalize("NFKC", text).lower()
    text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES)
    by_character = any(is_cjk(c) for c in text)
    if not by_character:
        text = _NUMBER.sub(_spell, text.replace("%", " percent "))
    out: list[str] = []
    for i, char in enumerate(text):
        if is_cjk(char) or (by_character and char in string.digits):
            out.append(f" {char} ")
        elif unicodedata.category(char)[0] in "LNM":
            out.append(char)
        elif char == "'" and 0 < i < len(text) - 1 and text[i - 1].isalpha():
            inside = text[i + 1].isalpha() and not is_cjk(text[i + 1])
            out.append("'" if inside else " ")
        else:
            out.append(" ")
    return "".join(out).split()


# ---------------------------------------------------------------------------------- alignment


def align(
    reference: Sequence[Hashable], hypothesis: Sequence[Hashable]
) -> list[tuple[int | None, int | None]]:
    """Least-edits alignment of two sequences of lengths n and m.

    Returns pairs (reference index, hypothesis index) in order; None on the left is an insertion,
    on the right a deletion. Ties prefer pairing over leaving out. O(n m) time, n m bytes.
    """
    # A shared beginning or end is always part of some least-edits alignment; most of a good
    # transcript is such, and the table below grows with the product of what is left.
    head = 0
    while head < min(len(reference), len(hypothesis)) and reference[head] == hypothesis[head]:
        head += 1
    tail = 0
    while (
        tail < min(len(reference), len(hypothesis)) - head
        and reference[len(reference) - 1 - tail] == hypothesis[len(hypothesis) - 1 - tail]
    ):
        tail += 1
    n, m = len(reference) - tail, len(hypothesis) - tail
    middle = _align_table(reference[head:n], hypothesis[head:m])
    pairs: list[tuple[int | None, int | None]] = [(k, k) for k in range(head)]
    pairs += [(None if i is None else i + head, None if j is None else j + head) for i, j in middle]
    return pairs + [(n + k, m + k) for k in range(tail)]


def _align_table(
    reference: Sequence[Hashable], hypothesis: Sequence[Hashable]
) -> list[tuple[int | None, int | None]]:
    n, m = len(reference), len(hypothesis)
    ids: dict[Hashable, int] = {}
    ref = [ids.setdefault(item, len(ids)) for item in reference]
    hyp = np.array([ids.setdefault(item, len(ids)) for item in hypothesis], dtype=np.int64)
    column = np.arange(m + 1, dtype=np.int64)
    row = column.copy()
    # 0: pair, 1: deletion (up), 2: insertion (left)
    moves = np.full((n + 1, m + 1), 2, dtype=np.uint8)
    for i, item in enumerate(ref, start=1):
        pair = row[:-1] + (hyp != item)
        best = row + 1
        np.minimum(best[1:], pair, out=best[1:])
        # Insertions run along the row: min over k <= j of best[k] + (j - k).
        new = np.minimum.accumulate(best - column) + column
        moves[i, new == row + 1] = 1
        moves[i, 1:][new[1:] == pair] = 0
        row = new
    pairs: list[tuple[int | None, int | None]] = []
    i, j = n, m
    while i or j:
        move = moves[i, j]
        if move == 0:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif move == 1:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs[::-1]


# ------------------------------------------------------------------------- runaway repetition


def tail_loop(
    items: Sequence[Hashable],
    *,
    max_period: int,
    min_repeats: int = LOOP_REPEATS,
    min_span: int = 0,
) -> int | None:
    """How many items to keep when `items` ends in a loop, so that one occurrence stays.

    A loop is the same run of 1 to `max_period` items, at least `min_repeats` times in a row up to
    the end (the last one may be incomplete) and at least `min_span` items in all. None: no loop.
    """
    n = len(items)
    for period in range(1, min(max_period, n // min_repeats) + 1):
        start = n - period
        while start > 0 and items[start - 1] == items[start - 1 + period]:
            start -= 1
        if n - start >= max(period * min_repeats, min_span):
            return start + period
    return None


def loop_key(word: str) -> str:
    """A word as the loop check sees it: without case and outer punctuation."""
    return word.casefold().strip(string.punctuation + "\u3002\uff0c\uff01\uff1f\u3001") or word


def detect_repetition(text: str) -> tuple[str, bool]:
    """Cuts a runaway repetition at the end of `text` down to one occurrence.

    Returns (text, False) untouched when there is none, else (what is left, True). Words are
    compared without case and punctuation; long loops of characters are found too, for scripts
    without spaces. What is left holds no such loop. See `tail_loop` for what counts.
    """
    flagged = False
    while True:
        spans = [(m.group(), m.end()) for m in re.finditer(r"\S+", text)]
        keep = tail_loop([loop_key(word) for word, _ in spans], max_period=LOOP_WORDS)
        if keep is not None:
            text = text[: spans[keep - 1][1]]
        else:
            body = text.rstrip()
            keep = tail_loop(body, max_period=LOOP_CHARS, min_span=LOOP_SPAN_CHARS)
            if keep is None:
                return text, flagged
            text = body[:keep].rstrip()
        flagged = True

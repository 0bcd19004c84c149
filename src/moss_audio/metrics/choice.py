"""Multiple choice: a strict rule of our own, and the official rules of MMAU/MMAR and MMSU.

Strict: what cannot be read as one choice is wrong and counted in `unparsed`. Official rules are
lenient in one place and blind in another; both figures belong side by side.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from moss_audio.errors import MossAudioError
from moss_audio.metrics.counts import AnswerCounts
from moss_audio.text import normalize_words, split_thinking, without_articles

# "the answer is", "Answer:", "I choose", "\\boxed", up to what they name.
_STATEMENT = re.compile(
    r"(?:\b(?:answer|choice|option)(?:\s*(?:\bis|\bwould\s+be|\bmust\s+be|:|=))+"
    r"|\bI\s+(?:would\s+)?(?:choose|pick|select)\b|\\boxed)[\s*_\"'`:]*"
    r"(?:(?:the\s+)?(?:answer|choice|option)\s+)?(?=\S)",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"(?:\bnot|n['\u2019]t)\s+(?:(?:the|an|a)\s+)?(?:(?:answer|choice|option)\s+)?[*_(\s]*$",
    re.IGNORECASE,
)
_MARKUP = "*_`\"'\u201c\u201d\u2018\u2019 \t\r\n"
_LEADING = re.compile(r"[(\[{]\s*([A-Za-z])\s*[)\]}]|([A-Z])(?![\w'\u2019])|([a-z])(?=\s*[).:])")
_LETTER_MENTION = re.compile(
    r"[(\[]\s*([A-Z])\s*[)\]]|(?<![\w'])([A-Z])\)|\b(?i:option|choice)\s+([A-Z])\b"
)
_LABELLED = re.compile(r"[(\[]?\s*([A-Za-z])\s*[)\].:]+\s*(.*)", re.DOTALL)
_ONLY_LETTER = re.compile(r"[(\[{]?\s*([A-Za-z])\s*[)\]}]?\s*[.:]?")
_CLAUSE_END = re.compile(r"[\n;!?]|\.(?=\s|$)")


def strict_choice(output: str, choices: Sequence[str], answer: str) -> AnswerCounts:
    """One question by the strict rule; unparsed answers are wrong.

    `answer` is the text of the right choice or its letter. Reading: `parse_choice`. Raises
    MossAudioError for an answer that is none of the choices.
    """
    right = _right_index(choices, answer)
    found = parse_choice(output, choices)
    return AnswerCounts(int(found == right), 1, int(found is None))


def parse_choice(output: str, choices: Sequence[str]) -> int | None:
    """The index of the choice that `output` names, None if it names none or cannot be settled.

    Rules, the first that applies; thinking is dropped, an unclosed thinking block names nothing:
    1. the whole output is a letter ("B", "(b)", "**B**.") or the text of a choice;
    2. statements ("the answer is (B)", "Answer: dog", "I choose B", "\\boxed{B}"): the last one
       that names a choice;
    3. it opens with a marked letter ("B. dog", "(B) because ..."); when the text behind it is
       another choice's, it names none;
    4. marked letters anywhere ("(B)", "B)", "option B"; capitals), if all are the same;
    5. texts of choices anywhere, whole words, if all are of the same choice; a text that is only
       found inside another choice's does not count.
    What directly follows a "not" is no mention in 4 and 5.
    Texts are compared in normalised form: case, punctuation, spelled numbers. A letter in front
    of a choice's own text, as "(A) dog", is not part of it.
    """
    _, text, _ = split_thinking(output)
    text = text.strip(_MARKUP)
    texts = [normalize_words(_without_label(choice, i)) for i, choice in enumerate(choices)]
    if (only := _ONLY_LETTER.fullmatch(text.rstrip(_MARKUP + ".").strip(_MARKUP))) is not None:
        return _index(only[1], choices)
    whole = [i for i, words in enumerate(texts) if words and words == normalize_words(text)]
    if whole:
        return whole[0]
    for statement in reversed(list(_STATEMENT.finditer(text))):
        stated = _stated(text[statement.end() :], texts, choices)
        if stated is not None:
            return stated
    if (labelled := _LABELLED.fullmatch(text)) and _index(labelled[1], choices) is not None:
        named = _index(labelled[1], choices)
        behind = normalize_words(labelled[2].strip(_MARKUP))
        same = [i for i, words in enumerate(texts) if words == behind]
        return named if not same or named in same else None
    letters = {
        _index(m[1] or m[2] or m[3], choices)
        for m in _LETTER_MENTION.finditer(text)
        if not _NOT.search(text, max(0, m.start() - 40), m.start())
    } - {None}
    if letters:
        return letters.pop() if len(letters) == 1 else None
    return _mentioned(normalize_words(text), texts)


def mmau_official(output: str | None, choices: Sequence[str], answer: str) -> AnswerCounts:
    """One question by the official rule of MMAU, which MMAR shares.

    Right if every word of the answer is in the output and no word is that only other choices
    have (words: runs of word characters, lower case, as sets). A missing prediction (None) leaves
    the denominator, as there. An output that opens with a choice's letter, which the official
    script would call wrong, is replaced by that choice's text first.
    """
    if output is None:
        return AnswerCounts()
    found, wanted = _tokens(_letter_to_text(output, choices)), _tokens(answer)
    if not found:
        return AnswerCounts(total=1, unparsed=1)
    others = set().union(*(_tokens(choice) for choice in choices)) - wanted
    return AnswerCounts(int(wanted <= found and not others & found), 1)


def mmsu_official(output: str | None, choices: Sequence[str], answer: str) -> AnswerCounts:
    """One question by the official rule of MMSU; unparsed answers leave the denominator, as there.

    The letter is the first character of the output if that is one of A to D, else the last but
    one ("The answer is A."); it is right if its choice's text is the answer's. One deviation: the
    official script scores an empty output with the letter of the question before it; here it is
    unparsed.
    """
    text = "" if output is None else output.strip().replace("\n", "")
    letters = string.ascii_uppercase[: min(4, len(choices))]
    if not text or text == "None":
        return AnswerCounts(unparsed=1)
    if text[0] in "ABCD":
        letter = text[0]
    elif len(text) > 1 and text[-2] in "ABCD":
        letter = text[-2]
    else:
        return AnswerCounts(unparsed=1)
    right = letter in letters and choices[letters.index(letter)] == answer
    return AnswerCounts(int(right), 1)


def _right_index(choices: Sequence[str], answer: str) -> int:
    wanted = normalize_words(answer)
    if answer in choices:
        return choices.index(answer)
    for i, choice in enumerate(choices):
        if normalize_words(_without_label(choice, i)) == wanted:
            return i
    only = _ONLY_LETTER.fullmatch(answer.strip())
    index = _index(only[1], choices) if only else None
    if index is None:
        raise MossAudioError(f"the answer {answer!r} is none of the choices {list(choices)!r}")
    return index


def _index(letter: str, choices: Sequence[str]) -> int | None:
    index = string.ascii_uppercase.find(letter.upper())
    return index if 0 <= index < len(choices) else None


def _tokens(text: str) -> set[str]:
    return set(re.findall(r"\b\w+\b", text.lower()))


def _without_label(choice: str, index: int) -> str:
    """A choice's text without its own letter in front: "(A) dog" or "A. dog" of the first one."""
    labelled = _LABELLED.fullmatch(choice.strip())
    own = index < 26 and labelled and labelled[1].upper() == string.ascii_uppercase[index]
    return labelled[2] if labelled and own and labelled[2] else choice


def _stated(rest: str, texts: Sequence[list[str]], choices: Sequence[str]) -> int | None:
    """What a statement names: a choice's text at its beginning (the longest), or a letter."""
    clause = rest[: end.start()] if (end := _CLAUSE_END.search(rest)) else rest
    words = without_articles(normalize_words(clause))
    found: tuple[int, int] | None = None
    for i, text in enumerate(texts):
        bare = without_articles(text)
        if bare and words[: len(bare)] == bare and (found is None or len(bare) > found[0]):
            found = (len(bare), i)
    if found is not None:
        return found[1]
    letter = _LEADING.match(rest.lstrip(_MARKUP))
    return _index(letter[1] or letter[2] or letter[3], choices) if letter else None


def _mentioned(words: list[str], texts: Sequence[list[str]]) -> int | None:
    """The one choice whose text is among `words`; mentions inside a longer mention do not count."""
    spans = [
        (at, at + len(text), i)
        for i, text in enumerate(texts)
        if text
        for at in range(len(words) - len(text) + 1)
        if words[at : at + len(text)] == text
    ]
    named = {
        i
        for start, end, i in spans
        if not any(s <= start and end <= e and (s, e) != (start, end) for s, e, _ in spans)
        and not _NOT.search(" ".join(words[max(0, start - 4) : start]) + " ")
    }
    return named.pop() if len(named) == 1 else None


def _letter_to_text(output: str, choices: Sequence[str]) -> str:
    text = output.strip(_MARKUP)
    only = _ONLY_LETTER.fullmatch(text)
    labelled = _LABELLED.fullmatch(text)
    letter = only[1] if only else labelled[1] if labelled else None
    index = _index(letter, choices) if letter else None
    return output if index is None else choices[index]

"""Which texts can be said as they are written: known English words with one way to say them."""

from __future__ import annotations

import re

from moss_audio.scenes.corpora import lemmas, listed_words
from moss_audio.settings import packaged

SHAPE = re.compile(r"[A-Za-z][A-Za-z']*,?(?: [A-Za-z][A-Za-z']*,?)*[.?!]?")
_ROMAN = re.compile(r"(?=[ivxlcdm])m*(?:cm|cd|d?c*)(?:xc|xl|l?x*)(?:ix|iv|v?i*)")


class Vocabulary:
    """The words a sentence may hold: lists of English words and WordNet's lemmas."""

    def __init__(self) -> None:
        self.listed = listed_words()  # without WordNet's thousands of Latin names
        self.lemmas = lemmas()
        known = self.listed | {lemma for lemma in self.lemmas if " " not in lemma}
        self.words = {w for w in known if len(w) > 1 and re.fullmatch(r"[A-Za-z][a-z']*", w)}
        banned = packaged(__package__, "templates.toml")["unspeakable"]
        self._banned = {*banned["abbreviations"].split(), *banned["slurs"].split()}
        self._not_roman = banned["not_roman"].split()
        self.words |= {"a", "A", "I", "O", "I'm", "I'll", "I've", "I'd"}

    def knows(self, word: str) -> bool:
        """Whether a written word (no punctuation) is an English word with one way to say it."""
        low = word.lower()
        if low in self._banned or (_ROMAN.fullmatch(low) and low not in self._not_roman):
            return False
        if not re.search(r"[aeiouy]", low):
            return False
        if len(word) > 1 and word != word.capitalize() and word != low and "'" not in word:
            return False
        known = self.words
        return word in known or low in known or (low.endswith("'s") and low[:-2] in known)


def clean(text: str, vocabulary: Vocabulary, *, longest: int = 18) -> str | None:
    """The text if it can be said as written, else None."""
    text = " ".join(text.split()).strip(" ;:-")
    if not SHAPE.fullmatch(text):
        return None
    words = [w.strip(",.?!") for w in text.split()]
    if not 1 <= len(words) <= longest or not all(vocabulary.knows(w) for w in words):
        return None
    return text

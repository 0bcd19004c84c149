# ruff: noqa: SIM905  (word lists read best as running text)
"""Sentences to say: dictionary glosses and examples, quotations, words, and templates.

Every sentence is written exactly as it is spoken: ASCII letters, apostrophes and , . ? ! only.
Sentences that the recordings of asterisk-core-sounds-en speak are left out: those recordings are
the human test set.
"""

from __future__ import annotations

import gzip
import hashlib
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from moss_audio.scenes import templates
from moss_audio.scenes.missing import MissingDebianPackageError

SPLITS = ("train", "val", "test-unseen", "test")
_VAL_PER_1000, _UNSEEN_PER_1000, _TEST_PER_1000 = 20, 30, 30

_WORDNET = Path("/usr/share/wordnet")
_FORTUNES = Path("/usr/share/games/fortunes")
_GCIDE = Path("/usr/share/dictd/gcide.dict.dz")
_WORD_LISTS = (Path("/usr/share/dict/american-english"), Path("/usr/share/dict/british-english"))
_PROMPTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")

_SHAPE = re.compile(r"[A-Za-z][A-Za-z']*,?(?: [A-Za-z][A-Za-z']*,?)*[.?!]?")
_ROMAN = re.compile(r"(?=[ivxlcdm])m*(?:cm|cd|d?c*)(?:xc|xl|l?x*)(?:ix|iv|v?i*)")
_NOT_ROMAN = frozenset(
    "i mix dim did mill livid vivid civic mild ill mid lid mimic dill civil".split()
)
# Abbreviations (read out in full by some voices) and slurs.
_BANNED = frozenset(
    """mr mrs ms dr st etc vs jr sr inc ltd co no. vol fig esp cf ie eg viz jan feb mar apr jun jul
    aug sept oct nov dec mon tues wed thurs fri sat ft lb lbs oz km cm mm kg hz khz mhz tv pm am
    ave blvd dept gov lt sgt capt col gen prof rev hon pron pl obs var colloq u s t d ll re ve
    nigger niggers nigga kike kikes spic spics chink chinks faggot faggots fag fags dyke coon
    coons wetback gook gooks cunt cunts rape rapes raped rapist""".split()
) - {"no.", "mar", "sat", "re"}


@dataclass(frozen=True)
class Sentence:
    """One thing to say, of a category (word, gloss, example, quote, template)."""

    category: str
    text: str


def normalise(text: str) -> str:
    """Lower-case words only: the form in which two sentences are the same."""
    return " ".join(re.findall(r"[a-z']+", text.lower().replace("\u2019", "'")))


def split_of(text: str, *, with_test: bool = False) -> str:
    """The split a sentence belongs to, by a hash of its normalised form.

    `with_test`: there is a split `test`, whose sentences come out of those that would train.
    """
    digest = hashlib.sha256(normalise(text).encode()).digest()
    slot = int.from_bytes(digest[:4], "big") % 1000
    test = _TEST_PER_1000 if with_test else 0
    return slot_split(slot, val=_VAL_PER_1000, unseen=_UNSEEN_PER_1000, test=test)


def slot_split(slot: int, *, val: int, unseen: int, test: int) -> str:
    """Slots from 0 on go to val, test-unseen and test in turn; the rest trains."""
    for split, count in (("val", val), ("test-unseen", unseen), ("test", test)):
        if slot < count:
            return split
        slot -= count
    return "train"


def prompt_texts(path: Path = _PROMPTS) -> frozenset[str]:
    """Normalised texts of the recorded prompts, each whole and sentence by sentence.

    Raises MissingDebianPackageError if the list is not installed: without it the test set could
    leak.
    """
    if not path.exists():
        raise MissingDebianPackageError(
            ("asterisk-core-sounds-en",), "Keeping test sentences out of the scenes"
        )
    parts = [p for _, text in prompt_lines(path) for p in (text, *re.split(r"[.?!]+", text))]
    return frozenset(map(normalise, parts)) - {""}


def prompt_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Names and texts of Asterisk's list of its recorded prompts."""
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, colon, text = line.partition(":")
            if colon and not line.startswith(";"):
                yield name.strip(), " ".join(text.split())


class Vocabulary:
    """The words a sentence may hold: lists of English words and WordNet's lemmas."""

    def __init__(self) -> None:
        self.words: set[str] = set()
        for path in _WORD_LISTS:
            if path.exists():
                self.words |= set(path.read_text(encoding="utf-8").split())
        if not self.words:
            raise MissingDebianPackageError(("wamerican",), "The text of the scenes")
        self.listed = frozenset(self.words)  # before WordNet's thousands of Latin names
        self.lemmas: list[str] = []
        for part in ("noun", "verb", "adj", "adv"):
            index = _WORDNET / f"index.{part}"
            if index.exists():
                with index.open(encoding="utf-8") as lines:
                    names = [n.split(" ", 1)[0] for n in lines if not n.startswith(" ")]
                self.lemmas += [n.replace("_", " ") for n in names]
        self.words |= {n for n in self.lemmas if " " not in n}
        self.words = {w for w in self.words if re.fullmatch(r"[A-Za-z][a-z']*", w)}
        self.words -= {w for w in self.words if len(w) == 1}
        self.words |= {"a", "A", "I", "O", "I'm", "I'll", "I've", "I'd"}

    def knows(self, word: str) -> bool:
        """Whether a written word (no punctuation) is an English word with one way to say it."""
        low = word.lower()
        if low in _BANNED or (_ROMAN.fullmatch(low) and low not in _NOT_ROMAN):
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
    if not _SHAPE.fullmatch(text):
        return None
    words = [w.strip(",.?!") for w in text.split()]
    if not 1 <= len(words) <= longest or not all(vocabulary.knows(w) for w in words):
        return None
    return text


def build(
    seed: int, *, n_templates: int = 40_000, with_test: bool = False
) -> dict[str, list[Sentence]]:
    """All sentences by split. Reads the installed dictionaries; deterministic for a seed.

    `with_test`: also a split `test`; without it that split is empty.
    """
    vocabulary = Vocabulary()
    rng = random.Random(seed)
    sources: list[tuple[str, Iterable[str]]] = [
        ("word", _words(vocabulary, rng)),
        ("template", (templates.draw(rng) for _ in range(n_templates))),
    ]
    if _WORDNET.exists():
        sources += [("gloss", _glosses()), ("example", _examples())]
    if _FORTUNES.exists():
        sources.append(("quote", _fortunes()))
    if _GCIDE.exists():
        sources.append(("quote", _gcide_quotes()))
    return sort_out(sources, vocabulary, prompt_texts(), rng, with_test=with_test)


def sort_out(
    sources: list[tuple[str, Iterable[str]]],
    vocabulary: Vocabulary,
    excluded: frozenset[str],
    rng: random.Random,
    *,
    with_test: bool = False,
) -> dict[str, list[Sentence]]:
    """Clean, leave out `excluded` and doubles, share among the splits."""
    seen = set(excluded)
    out: dict[str, list[Sentence]] = {split: [] for split in SPLITS}
    for category, texts in sources:
        for raw in texts:
            text = raw if category == "template" else clean(raw, vocabulary)
            if text is None or not _SHAPE.fullmatch(text):
                continue
            key = normalise(text)
            if not key or key in seen:
                continue
            seen.add(key)
            out[split_of(text, with_test=with_test)].append(Sentence(category, text))
    for split in SPLITS:
        rng.shuffle(out[split])
    return out


def save(sentences: dict[str, list[Sentence]], path: Path) -> None:
    """Write split, category and text, tab-separated, a sentence a line."""
    lines = [f"{s}\t{x.category}\t{x.text}\n" for s in SPLITS for x in sentences[s]]
    path.write_text("".join(lines), encoding="utf-8")


def load(path: Path) -> dict[str, dict[str, list[str]]]:
    """Read what `save` wrote: split -> category -> texts."""
    out: dict[str, dict[str, list[str]]] = {split: {} for split in SPLITS}
    for line in path.read_text(encoding="utf-8").splitlines():
        split, category, text = line.split("\t")
        out[split].setdefault(category, []).append(text)
    return out


def _words(vocabulary: Vocabulary, rng: random.Random) -> Iterator[str]:
    """Single words and short phrases: lemmas, list words, and adjective-noun pairs."""
    singles = sorted(w for w in vocabulary.words & vocabulary.listed if vocabulary.knows(w))
    for word in singles:
        if not word.endswith("'s"):
            yield _dress(word, rng)
    listed = vocabulary.listed
    for lemma in sorted(set(vocabulary.lemmas)):
        if 2 <= len(lemma.split()) <= 4 and all(w in listed for w in lemma.split()):
            yield _dress(lemma, rng)


def _dress(phrase: str, rng: random.Random) -> str:
    """As people write short answers: mostly bare, sometimes a capital and a stop."""
    if rng.random() < 0.4:
        return phrase[:1].upper() + phrase[1:] + rng.choice((".", ".", ".", "?", "!"))
    return phrase


def _capital(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else text + "."


def _gloss_lines() -> Iterator[str]:
    for part in ("noun", "verb", "adj", "adv"):
        path = _WORDNET / f"data.{part}"
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if " | " in line and not line.startswith("  "):
                    yield line.split(" | ", 1)[1].strip()


def _glosses() -> Iterator[str]:
    for line in _gloss_lines():
        for piece in re.sub(r'"[^"]*"', "", line).split(";"):
            piece = re.sub(r"\([^)]*\)", " ", piece).strip(" ,")
            if len(piece.split()) >= 3:
                yield _capital(piece)


def _examples() -> Iterator[str]:
    for line in _gloss_lines():
        for example in re.findall(r'"([^"]+)"', line):
            yield _capital(example.replace(";", ","))


def _fortunes() -> Iterator[str]:
    for path in sorted(_FORTUNES.iterdir()):
        if path.suffix or path.name in {"ascii-art", "translate-me"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for entry in text.split("\n%\n"):
            entry = entry.split("--")[0].replace("\u2019", "'").replace('"', "")
            for sentence in re.split(r"(?<=[.?!])\s+", " ".join(entry.split())):
                if sentence[-1:] in ".?!" and sentence[:1].isupper() and " " in sentence:
                    yield sentence


def _gcide_quotes() -> Iterator[str]:
    with gzip.open(_GCIDE, "rt", encoding="utf-8", errors="replace") as file:
        text = file.read()
    for match in re.finditer(r'"([A-Z][^"\[\]{}]{12,130})"\s+--', text):
        yield _capital(" ".join(match.group(1).split()))
    for match in re.finditer(r"\n   (?:\d+\. )?([A-Z][a-z][^.\[\]{}\"\\]{15,120}\.)", text):
        yield " ".join(match.group(1).replace(";", ",").split())

"""Sentences to say: dictionary glosses and examples, quotations, words, and templates.

Every sentence is written exactly as it is spoken: ASCII letters, apostrophes and , . ? ! only.
Sentences that the recordings of asterisk-core-sounds-en speak are left out: those recordings are
the human test set.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from moss_audio.scenes import corpora, templates
from moss_audio.scenes.corpora import PROMPTS, prompt_lines
from moss_audio.scenes.missing import MissingDebianPackageError
from moss_audio.scenes.vocabulary import SHAPE, Vocabulary, clean

SPLITS = ("train", "val", "test-unseen", "test")
_VAL_PER_1000, _UNSEEN_PER_1000, _TEST_PER_1000 = 20, 30, 30


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


def prompt_texts(path: Path = PROMPTS) -> frozenset[str]:
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
        *corpora.quotations(),
    ]
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
            if text is None or not SHAPE.fullmatch(text):
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

"""Texts that Debian packages bring: word lists, WordNet, fortunes, GCIDE, and recorded prompts."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from moss_audio.scenes.missing import MissingDebianPackageError

WORDNET = Path("/usr/share/wordnet")
PROMPTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
_FORTUNES = Path("/usr/share/games/fortunes")
_GCIDE = Path("/usr/share/dictd/gcide.dict.dz")
_WORD_LISTS = (Path("/usr/share/dict/american-english"), Path("/usr/share/dict/british-english"))
_PARTS = ("noun", "verb", "adj", "adv")


def listed_words() -> frozenset[str]:
    """The words of the lists that are installed. Raises MissingDebianPackageError without one."""
    lists = [path.read_text(encoding="utf-8") for path in _WORD_LISTS if path.exists()]
    if not lists:
        raise MissingDebianPackageError(("wamerican",), "The text of the scenes")
    return frozenset(word for text in lists for word in text.split())


def lemmas() -> list[str]:
    """WordNet's words and phrases, in lower case; none if it is not installed."""
    found: list[str] = []
    for part in _PARTS:
        index = WORDNET / f"index.{part}"
        if index.exists():
            lines = index.read_text(encoding="utf-8").splitlines()
            names = [line.split(" ", 1)[0] for line in lines if not line.startswith(" ")]
            found += [name.replace("_", " ") for name in names]
    return found


def wordnet_entries(folder: Path = WORDNET) -> Iterator[tuple[str, str]]:
    """A word or phrase and its gloss with examples, for each sense.

    Raises MissingDebianPackageError if WordNet is not installed.
    """
    for part in _PARTS:
        path = folder / f"data.{part}"
        if not path.is_file():
            raise MissingDebianPackageError(("wordnet-base",), "WordNet")
        for line in path.read_text(encoding="utf-8").splitlines():
            if " | " in line and not line.startswith("  "):  # those are of the licence
                fields, gloss = line.split(" | ", 1)
                yield fields.split()[4].replace("_", " "), gloss.strip()


def quotations() -> Iterator[tuple[str, Iterator[str]]]:
    """Category and texts of everything that is installed, as it was written."""
    if WORDNET.exists():
        yield "gloss", _glosses()
        yield "example", _examples()
    if _FORTUNES.exists():
        yield "quote", _fortunes()
    if _GCIDE.exists():
        yield "quote", _gcide_quotes()


def prompt_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Names and texts of Asterisk's list of its recorded prompts."""
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, colon, text = line.partition(":")
            if colon and not line.startswith(";"):
                yield name.strip(), " ".join(text.split())


def _capital(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else text + "."


def _glosses() -> Iterator[str]:
    for _, gloss in wordnet_entries():
        for piece in re.sub(r'"[^"]*"', "", gloss).split(";"):
            piece = re.sub(r"\([^)]*\)", " ", piece).strip(" ,")
            if len(piece.split()) >= 3:
                yield _capital(piece)


def _examples() -> Iterator[str]:
    for _, gloss in wordnet_entries():
        for example in re.findall(r'"([^"]+)"', gloss):
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

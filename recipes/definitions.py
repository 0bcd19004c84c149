"""A data set of plain text: questions about words, with WordNet's definitions as answers.

    python -m recipes.definitions data/text.jsonl

writes conversations without audio, one JSON object a line. It needs Debian's wordnet-base.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from moss_audio.files import write_atomic
from moss_audio.scenes.corpora import WORDNET, wordnet_entries
from recipes.command import run

_ASKED = (
    'What does "{}" mean?',
    "Define {}.",
    "What is the meaning of {}?",
    'Explain the word "{}" in one sentence.',
)
_LONGEST = 160  # characters of a definition


def definitions(folder: Path = WORDNET) -> Iterator[tuple[str, str]]:
    """Words (or phrases) in lower case, each with the first definition of one of its senses.

    Raises:
        MissingDebianPackageError: if WordNet is not installed.
    """
    for word, gloss in wordnet_entries(folder):
        text = re.sub(r'"[^"]*"', "", gloss).split(";")[0]
        text = " ".join(re.sub(r"\([^)]*\)", " ", text).split()).strip(" ,")
        if re.fullmatch("[a-z ]+", word) and len(text.split()) > 3 and len(text) < _LONGEST:
            yield word, text


def conversations(count: int, seed: int = 0, folder: Path = WORDNET) -> Iterator[list[dict]]:
    """`count` conversations at most, in an order that `seed` decides."""
    found = list(definitions(folder))
    random.Random(seed).shuffle(found)
    for index, (word, text) in enumerate(found[:count]):
        yield [
            {"role": "user", "content": _ASKED[index % len(_ASKED)].format(word)},
            {"role": "assistant", "content": text[:1].upper() + text[1:] + "."},
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.definitions",
        description="Write questions about words, with definitions of WordNet (Debian's "
        "wordnet-base) as answers, as conversations without audio: one JSON object a line.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.jsonl", help="file to write")
    parser.add_argument(
        "--count", type=int, default=24_000, metavar="N", help="at most so many (default: 24000)"
    )
    parsed = parser.parse_args(arguments)

    def work() -> str:
        found = conversations(parsed.count)
        lines = [json.dumps({"messages": messages}) + "\n" for messages in found]
        parsed.file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(parsed.file, "".join(lines))
        return f"{parsed.file}: {len(lines)} conversations"

    return run(work)


if __name__ == "__main__":
    sys.exit(main())

"""Plain text for training: questions about words and WordNet's definitions as answers.

    python -m recipes.definitions data/text.jsonl

Writes conversations without audio, a line each. Needs Debian's wordnet-base.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from moss_audio.errors import MossAudioError
from moss_audio.files import write_atomic

_WORDNET = Path("/usr/share/wordnet")
_ASKED = (
    'What does "{}" mean?',
    "Define {}.",
    "What is the meaning of {}?",
    'Explain the word "{}" in one sentence.',
)
_LONGEST = 160  # characters of a definition


def definitions(folder: Path = _WORDNET) -> Iterator[tuple[str, str]]:
    """Words (or phrases) in lower case, each with the first definition of one of its senses.

    Raises:
        MossAudioError: if WordNet is not installed.
    """
    for part in ("noun", "verb", "adj", "adv"):
        path = folder / f"data.{part}"
        if not path.is_file():
            raise MossAudioError(f"{path}: not found; apt-get install wordnet-base")
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("  ") or " | " not in line:
                continue
            fields, gloss = line.split(" | ", 1)
            word = fields.split()[4].replace("_", " ")
            text = re.sub(r'"[^"]*"', "", gloss).split(";")[0]
            text = " ".join(re.sub(r"\([^)]*\)", " ", text).split()).strip(" ,")
            if re.fullmatch("[a-z ]+", word) and len(text.split()) > 3 and len(text) < _LONGEST:
                yield word, text


def conversations(count: int, seed: int = 0, folder: Path = _WORDNET) -> Iterator[list[dict]]:
    """`count` conversations at most, in an order that `seed` decides."""
    found = list(definitions(folder))
    random.Random(seed).shuffle(found)
    for index, (word, text) in enumerate(found[:count]):
        yield [
            {"role": "user", "content": _ASKED[index % len(_ASKED)].format(word)},
            {"role": "assistant", "content": text[:1].upper() + text[1:] + "."},
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file that the arguments name."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("usage: python -m recipes.definitions FILE.jsonl", file=sys.stderr)
        return 2
    path = Path(arguments[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"messages": messages}) + "\n" for messages in conversations(24_000)]
    write_atomic(path, "".join(lines))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MossAudioError as error:
        sys.exit(str(error))

"""`python -m recipes.translations OUT [COUNT]`: spoken sentences with their English."""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moss_audio.annotate import flac
from moss_audio.files import write_atomic
from moss_audio.units import SAMPLE_RATE
from recipes.command import run
from recipes.translations.phrases import LANGUAGES, phrase

# Names of espeak-ng's voices; a variant of the speaker is added.
VOICES = {"de": "gmw/de", "fr": "roa/fr", "es": "roa/es"}
_VARIANTS = ("", "+f1", "+f2", "+f4", "+m1", "+m3", "+m7")
_ASKED = (
    "Translate the speech into English.",
    "What does the speaker say, in English?",
    "Give an English translation of what is said.",
)


def split_of(english: str) -> str:
    """`train` or `val` (a tenth), by the English sentence: equal sentences share a split."""
    first = hashlib.sha256(english.encode()).digest()[0]
    return "val" if first < 26 else "train"


def make(out: Path, count: int, seed: int = 0) -> dict[str, int]:
    """Write `out`/train.jsonl, `out`/val.jsonl and their audio; returns their numbers of lines.

    Raises MissingDebianPackageError without libespeak-ng1.
    """
    from tqdm import tqdm

    from moss_audio.scenes.voices.espeak import EspeakVoice

    voice = EspeakVoice(seed)
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    (out / "audio").mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = {"train": [], "val": []}
    for number in tqdm(range(count), unit="sentence"):
        said = phrase(rng)
        language = rng.choice(LANGUAGES[1:])
        name = VOICES[language] + rng.choice(_VARIANTS)
        samples = voice.sound(said.within(language), name, noise)
        path = out / "audio" / f"{number:06d}.flac"
        write_atomic(path, flac.encode(samples), sync=False)
        entry = {
            "audio": f"audio/{path.name}",
            "question": rng.choice(_ASKED),
            "text": said.english,
            "duration": round(len(samples) / SAMPLE_RATE, 3),
            "spoken": said.within(language),
            "language": language,
        }
        lines[split_of(said.english)].append(json.dumps(entry, ensure_ascii=False) + "\n")
    for split, found in lines.items():
        write_atomic(out / f"{split}.jsonl", "".join(found))
    return {split: len(found) for split, found in lines.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.translations",
        description="Write German, French and Spanish sentences spoken by espeak-ng (Debian's "
        "libespeak-ng1), each with a question for its English translation: OUT/train.jsonl, "
        "OUT/val.jsonl and OUT/audio/.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; made if absent")
    parser.add_argument(
        "count", type=int, nargs="?", default=4000, metavar="COUNT",
        help="number of sentences (default: 4000)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: 0)")
    parsed = parser.parse_args(arguments)
    if parsed.count < 1:
        parser.error(f"COUNT is {parsed.count}; give at least 1")

    def work() -> str:
        counts = make(parsed.out, parsed.count, parsed.seed)
        return f"{parsed.out}: {counts['train']} for training, {counts['val']} for validation"

    return run(work)


if __name__ == "__main__":
    sys.exit(main())

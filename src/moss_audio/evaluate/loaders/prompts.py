"""The English prompts of Debian's asterisk-core-sounds-en-wav: one human speaker, 8 kHz.

Neither the recordings nor their sentences are in any training data. Spelling names (`letters/`,
`phonetic/`) and files whose text describes a sound are left out; so are texts with digits or
symbols, because what was spoken there is not what is written.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders.files import DataError, sound_file

DIRECTORY = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
TEXT = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
_PACKAGES = "apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-wav"
_LEFT_OUT = ("letters/", "phonetic/", "silence/")
_SPEAKABLE = re.compile(r"[A-Za-z ,.?!;:'\-]+")
_TONES = re.compile(r"tone|beep|\[|\]|monkeys|\b[A-Z]{2,}\b")  # sounds, and spelt abbreviations


def load() -> Dataset:
    """The recordings with their texts, where the packages put them. Raises DataError with the
    packages to install."""
    if not TEXT.is_file() or not DIRECTORY.is_dir():
        raise DataError(f"{DIRECTORY}: the human prompts are not installed: {_PACKAGES}")
    items, left_out = [], 0
    for line in gzip.decompress(TEXT.read_bytes()).decode("utf-8").splitlines():
        name, colon, words = line.partition(":")
        name, words = name.strip(), words.strip()
        path = DIRECTORY / f"{name}.wav"
        if not colon or line.startswith(";") or not path.is_file():
            continue
        if name.startswith(_LEFT_OUT) or not _SPEAKABLE.fullmatch(words) or _TONES.search(words):
            left_out += 1
            continue
        sound = sound_file(DIRECTORY, f"{name}.wav")
        items.append(Item(id=name, audio=(sound,), reference=words))
    if not items:
        raise DataError(f"{TEXT}: names none of the recordings in {DIRECTORY}")
    note = f"{left_out} prompts left out: spelling, digits, symbols, descriptions of sounds"
    return Dataset(items, "asterisk-core-sounds-en: one speaker, 8 kHz", (note,))

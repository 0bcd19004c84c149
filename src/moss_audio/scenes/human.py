"""Recorded human prompts with their texts: Debian's asterisk-core-sounds. No word times.

French and Spanish may train. English is the human test set: it is refused in every split but
`human-en`. The Spanish prompts are spoken by the person of the English ones, so a set of scenes
holds one or the other.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.recordings import load_audio
from moss_audio.scenes.composition import Composition
from moss_audio.scenes.corpora import prompt_lines
from moss_audio.scenes.missing import MissingDebianPackageError
from moss_audio.scenes.records import SpokenSentence
from moss_audio.scenes.sounds.tones import fade
from moss_audio.scenes.text import slot_split
from moss_audio.settings import packaged
from moss_audio.units import SAMPLE_RATE

HUMAN_EN = "human-en"  # the only split of English recordings
_SOUNDS = Path("/usr/share/asterisk/sounds")
_DOCS = Path("/usr/share/doc")
_LONGEST_S = 20.0


@dataclass(frozen=True)
class PromptSource:
    """A set of recordings by one speaker, each with its text."""

    name: str
    language: str
    folder: Path
    texts: Path
    packages: tuple[str, ...]
    licence: str
    provenance: str

    @property
    def speaker(self) -> str:
        """The name of its speaker in the truth."""
        return f"human/{self.name}"

    @property
    def installed(self) -> bool:
        """Whether sound and texts are both here."""
        return self.folder.is_dir() and self.texts.is_file()


@dataclass(frozen=True)
class RecordedPrompt:
    """One recording and what is said in it; `source` names it in the truth."""

    path: Path
    text: str
    source: str


def _asterisk(language: str, folder: str, provenance: str) -> PromptSource:
    package = f"asterisk-core-sounds-{language}"
    return PromptSource(
        f"asterisk-{language}",
        language,
        _SOUNDS / folder,
        _DOCS / package / f"core-sounds-{language}.txt.gz",
        (package, f"{package}-wav"),
        "CC-BY-SA-3.0",
        provenance,
    )


@cache
def prompt_sources() -> dict[str, PromptSource]:
    """All sets of recorded prompts, installed or not, by name."""
    listed = packaged(__package__, "sources.toml")["prompts"]
    return {f"asterisk-{language}": _asterisk(language, **t) for language, t in listed.items()}


def require_allowed(name: str, split: str) -> None:
    """Raises MossAudioError if a source may not be heard in a split: English trains nowhere."""
    source = prompt_sources().get(name)
    if source is None:
        raise MossAudioError(
            f"no recorded prompts {name!r}; there are {', '.join(sorted(prompt_sources()))}"
        )
    if (source.language == "en") != (split == HUMAN_EN):
        raise MossAudioError(
            f"{name}: English recordings are test only; take it out of 'prompts' and give hours "
            f"to the split {HUMAN_EN!r}"
            if source.language == "en"
            else f"{name}: the split {HUMAN_EN!r} holds English recordings only, not {split!r}"
        )


def key_of(text: str) -> str:
    """Words alone, in small letters, of any language: equal keys are equal sentences."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return " ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)*", plain))


def parts_of(text: str) -> set[str]:
    """Keys of a text as a whole and of each of its sentences."""
    parts = [text, *re.split(r"[.?!…]+(?:\s|$)|\.\.\.", text)]
    return {key for key in map(key_of, parts) if key}


def read_texts(source: PromptSource) -> dict[str, str]:
    """Recording's name -> its text, for those whose text can be taken at its word.

    Descriptions of tones, figures and signs that are read out in unknown words, and lines that
    ran together are left out. Raises MissingDebianPackageError if the source is not installed.
    """
    if not source.installed:
        raise MissingDebianPackageError(source.packages, f"The set of prompts {source.name!r}")
    return {
        name: text
        for name, text in prompt_lines(source.texts)
        if key_of(text) and not re.search(r"[\d\[\](){}<>*#/\\=+@%:\"�]", text)
    }


def prompts_of(
    source: PromptSource, split: str, *, with_test: bool, held_out: bool
) -> list[RecordedPrompt]:
    """Recordings of a source for a split, in a fixed order that mixes them.

    Whole groups of prompts go to one split: prompts that share a sentence belong together. A
    source whose speaker is held out belongs to `test-unseen` altogether, and only then is it
    heard there. Raises MossAudioError if the source may not be in the split at all.
    """
    require_allowed(source.name, split)
    texts = read_texts(source)
    groups = _groups(texts)
    found = []
    for name, text in texts.items():
        path = source.folder / f"{name}.wav"
        if split != HUMAN_EN:
            own = "test-unseen" if held_out else _seen_split(groups[name], with_test)
            if own != split:
                continue
        if path.is_file() and path.stat().st_size < _LONGEST_S * 16_000 * 2:
            found.append(RecordedPrompt(path, text, f"{source.name}/{name}.wav"))
    return sorted(found, key=lambda p: hashlib.sha256(p.source.encode()).digest())


def _seen_split(group: str, with_test: bool) -> str:
    # A tenth for validation and for the test each: there are few prompts.
    slot = int.from_bytes(hashlib.sha256(group.encode()).digest()[:4], "big") % 10
    return slot_split(slot, val=1, unseen=0, test=1 if with_test else 0)


def _groups(texts: dict[str, str]) -> dict[str, str]:
    """Name -> the smallest key of all prompts that hang together by sentences they share."""
    leader: dict[str, str] = {}

    def top(key: str) -> str:
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for text in texts.values():
        first, *others = sorted(top(part) for part in parts_of(text))
        for other in others:
            leader[other] = first
    return {name: top(key_of(text)) for name, text in texts.items()}


class PromptDeck:
    """Draws recorded prompts as scenes.

    `is_held_out` tells whether the speaker of a source is for `test-unseen` alone. `shard` is this
    deck's index and their number: the English recordings are dealt out among them.
    """

    def __init__(
        self, with_test: bool, is_held_out: Callable[[str], bool], shard: tuple[int, int]
    ) -> None:
        self._with_test, self._is_held_out, self._shard = with_test, is_held_out, shard
        self._prompts: dict[tuple[str, str], list[RecordedPrompt]] = {}
        self._heard = 0

    def draw(self, name: str, split: str, rng: np.random.Generator) -> Composition:
        """A prompt of the source `name`, whole, with a little silence around it.

        Raises MossAudioError if the source has none for the split.
        """
        prompts = self._of(name, split)
        if split == HUMAN_EN:
            index, shards = self._shard
            mine = prompts[index % min(shards, len(prompts)) :: shards]
            prompt = mine[self._heard % len(mine)]
            self._heard += 1
        else:
            prompt = prompts[int(rng.integers(len(prompts)))]
        body = fade(load_audio(prompt.path).samples)
        lead, tail = (int(rng.uniform(0.05, 0.4) * SAMPLE_RATE) for _ in range(2))
        tail = max(tail, SAMPLE_RATE - lead - body.size)
        loud = np.flatnonzero(np.abs(body) > 0.02 * float(np.max(np.abs(body)) + 1e-9))
        first, last = (int(loud[0]), int(loud[-1]) + 1) if loud.size else (0, body.size)
        start, end = (lead + first) / SAMPLE_RATE, (lead + last) / SAMPLE_RATE
        source = prompt_sources()[name]
        return Composition(
            np.pad(body, (lead, tail)),
            voice=source.speaker,
            sentences=(SpokenSentence(prompt.text, start, end),),
            language=source.language,
            speech_source=prompt.source,
        )

    def _of(self, name: str, split: str) -> list[RecordedPrompt]:
        key = (name, split)
        if key not in self._prompts:
            self._prompts[key] = prompts_of(
                prompt_sources()[name],
                split,
                with_test=self._with_test,
                held_out=self._is_held_out(name),
            )
            if not self._prompts[key]:
                raise MossAudioError(f"{name}: no recordings for the split {split!r}")
        return self._prompts[key]

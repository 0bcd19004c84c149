"""What the sources share: numbering, order, and checks of paths and texts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.data.config import SourceConfig
from moss_audio.data.raw import Lines, RawExample
from moss_audio.errors import MossAudioError
from moss_audio.recordings.entry import Clip, Unread, is_remote
from moss_audio.recordings.tars import TarMember


class Source:
    """A data set whose examples can be had in any order. A subclass fills `lines`, whose entries
    are numbered from 0, and gives `read`.

    Attributes:
        audio_s: float32 [n], seconds of audio.
        text_tokens: float32 [n], estimates of the tokens beside them.
        tasks: shares of tasks, or None.
        prompt: what to ask, or None.
        bad: the list's bad lines, which were skipped.
        numbers: int64 [n], the entry of each example: those found unusable are taken out.
    """

    def __init__(self, config: SourceConfig, name: str, lines: Lines) -> None:
        self.config, self.name = config, name
        self.tasks: Mapping[str, Any] | None = config.tasks
        self.prompt = config.prompt
        self.bad: Sequence[Unread] = lines.bad
        self.audio_s = np.array(lines.audio_s, np.float32)
        self.text_tokens = np.array(lines.text_tokens, np.float32)
        self.numbers = np.arange(len(self.audio_s))

    def __len__(self) -> int:
        return len(self.numbers)

    def keep(self, good: np.ndarray) -> None:
        """Keeps the examples where `good` [n] is true."""
        self.numbers = self.numbers[good]
        self.audio_s, self.text_tokens = self.audio_s[good], self.text_tokens[good]

    def id(self, index: int) -> str:
        """A name of the example, alike in every run and unique in the source."""
        return f"{self.name}/{self.numbers[index]}"

    def place(self, index: int) -> str:
        """Where the entry stands, for messages."""
        return self.id(index)

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """All indices, shuffled in a way that is cheap to read."""
        return rng.permutation(len(self))

    def raw(self, index: int) -> RawExample:
        """Reads the list's entry. Raises MossAudioError or OSError."""
        return self.read(int(self.numbers[index]))

    def read(self, number: int) -> RawExample:
        """The entry of that number."""
        raise NotImplementedError


def existing(path: str) -> Path:
    """The path. Raises MossAudioError if nothing is there."""
    if not os.path.exists(path):
        raise MossAudioError(f"{path}: no such file or folder of training data")
    return Path(path)


def checked(clip: Clip) -> Clip:
    """The clip. Raises MossAudioError if its file is not there."""
    audio = clip.audio
    is_path = isinstance(audio, str) and not is_remote(audio)
    if is_path and not os.path.isfile(audio):
        raise MossAudioError(f"no such audio file: {audio}")
    return clip


def opened(clip: Clip) -> Clip:
    """A clip that `load_audio` reads: the bytes of a tar's member in its place."""
    if isinstance(clip.audio, TarMember):
        return Clip(clip.audio.read(), clip.start_s, clip.end_s, clip.name)
    return clip


def checked_text(text: Any) -> str:
    """The text. Raises MossAudioError if it is missing or none."""
    if not isinstance(text, str):
        raise MossAudioError("the text is missing")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise MossAudioError("the text holds a lone surrogate, which is not text") from None
    return text

"""The sound that is sent: recordings, of which no two are quite the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from moss_audio.errors import MossAudioError
from moss_audio.recordings import AudioInput, load_audio
from moss_audio.recordings.wav import to_pcm16, wav_bytes
from moss_audio.units import SAMPLE_RATE

_EXAMPLES = Path(__file__).parents[4] / "examples"


@dataclass(frozen=True, eq=False)
class BenchClip:
    """What is said in one turn or sent in one request: 16-bit samples `[n]` at `rate` Hz.

    `number`: clips with the same hold the same samples.
    """

    number: int
    pcm: np.ndarray
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.pcm) / self.rate

    def wav(self) -> bytes:
        """As a file."""
        return wav_bytes(self.pcm, self.rate)


class ClipPool:
    """Clips without end. A server that keeps what it has heard would answer the second time from
    memory, so that each has its own faint noise (half a bit of 16).

    Args:
        sources: recordings.
        rate: Hz of what is sent.
        seed: of the noise and of the order.
        variants: different ones of each recording; None: no end of them.

    Raises:
        AudioError: if one cannot be read.
    """

    def __init__(
        self, sources: Sequence[AudioInput], rate: int, seed: int, variants: int | None = None
    ) -> None:
        self._sounds = [_at_rate(load_audio(source).samples, rate) for source in sources]
        self._rate, self._seed, self._variants = rate, seed, variants
        self._rng = random.Random(seed)
        self._drawn = 0

    @property
    def mean_s(self) -> float:
        """Seconds of a clip in the mean."""
        return sum(map(len, self._sounds)) / len(self._sounds) / self._rate

    def draw(self) -> BenchClip:
        """The next clip."""
        if self._variants is None:
            number, self._drawn = self._drawn, self._drawn + 1
        else:
            number = self._rng.randrange(self._variants * len(self._sounds))
        return self._clip(number)

    def all(self) -> list[BenchClip]:
        """Every clip that there is, where they have an end."""
        return [self._clip(i) for i in range((self._variants or 0) * len(self._sounds))]

    def _clip(self, number: int) -> BenchClip:
        sound = self._sounds[number % len(self._sounds)]
        noise = np.random.default_rng((self._seed, number)).integers(0, 2, len(sound), np.int16)
        room = np.minimum(sound, 32766)
        return BenchClip(number, room + noise, self._rate)


def example_clips() -> list[Path]:
    """The spoken example of a clone of the project.

    Raises:
        MossAudioError: where the package is installed without it.
    """
    path = _EXAMPLES / "speech.wav"
    if not path.is_file():
        raise MossAudioError("no recordings to send: give some with --audio")
    return [path]


def _at_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples, SAMPLE_RATE, rate)
    return to_pcm16(samples)

"""festival: every word has its time, and the same draws give the same sound."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from moss_audio.scenes.voices import open_voice
from moss_audio.scenes.voices.base import Voice

_HELD_OUT = Path("/usr/share/festival/voices/english/ked_diphone")
pytestmark = pytest.mark.skipif(
    shutil.which("festival") is None or not _HELD_OUT.is_dir(),
    reason="festival or festvox-kdlpc16k not installed",
)
TEXT = "Hello there, I don't know what's on the table. The dog's bone."


@pytest.fixture(scope="module")
def voice() -> Iterator[Voice]:
    opened = open_voice("festival")
    yield opened
    opened.close()  # type: ignore[attr-defined]


def test_every_written_word_has_its_time(voice: Voice) -> None:
    for speaker in voice.speakers():
        said = voice.speak(TEXT, speaker, np.random.default_rng(0))
        assert " ".join(w.text for w in said.words) == TEXT
        last = 0.0
        for word in said.words:
            assert last <= word.start < word.end <= said.samples.size / 16_000
            last = word.end
        # the pause between the sentences is quiet, the words are not
        stop, go = said.words[8].end, said.words[9].start
        level = np.sqrt(np.mean(said.samples**2))
        if go - stop > 0.1:
            pause = said.samples[int((stop + 0.03) * 16_000) : int((go - 0.03) * 16_000)]
            assert np.sqrt(np.mean(pause**2)) < 0.1 * level


def test_a_word_ends_where_the_sound_goes_on_without_it(voice: Voice) -> None:
    """The time of an s after a stop, against the noise that is heard there."""
    said = voice.speak("Pass a cup.", "festival/ked-0", np.random.default_rng(0))
    start, end = said.words[0].start, said.words[0].end
    x = said.samples[int(start * 16_000) : int(end * 16_000)]
    frames = x[: x.size // 160 * 160].reshape(-1, 160)
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(160), axis=1)) ** 2
    hiss = spectrum[:, 35:].sum(1) / (spectrum.sum(1) + 1e-9)
    assert hiss[-8:-3].mean() > 0.5 > hiss[5:9].mean()


def test_the_same_draws_give_the_same_sound(voice: Voice) -> None:
    speaker = "festival/ked-1"
    first = voice.speak("One two three.", speaker, np.random.default_rng(4))
    second = voice.speak("One two three.", speaker, np.random.default_rng(4))
    assert np.array_equal(first.samples, second.samples)
    assert first.words == second.words


def test_quotes_and_brackets_are_text_not_program(voice: Voice) -> None:
    said = voice.speak("Say nothing.", "festival/ked-0", np.random.default_rng(0))
    for odd in ('Say "nothing.', "Say \\nothing."):
        try:
            voice.speak(odd, "festival/ked-0", np.random.default_rng(0))
        except ValueError:
            pass  # its words may not match; it must go on
    again = voice.speak("Say nothing.", "festival/ked-0", np.random.default_rng(0))
    assert np.array_equal(said.samples, again.samples)

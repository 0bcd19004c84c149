"""Kokoro with a stand-in for its graph: phonemes, word times, mixes, and who is whom."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.errors import MossAudioError
from moss_audio.scenes.voices import kokoro, open_voice
from moss_audio.scenes.voices.kokoro import KokoroVoice
from moss_audio.scenes.voices.people import held_out_of, people_of

UNIT = 600  # samples of 25 ms at 24 kHz


def _espeak() -> bool:
    try:
        ctypes.CDLL("libespeak-ng.so.1")
    except OSError:
        return False
    return True


needs_espeak = pytest.mark.skipif(not _espeak(), reason="libespeak-ng1 not installed")


class ToneGraph:
    """Every symbol lasts three units, spaces and marks two: a tone, or silence for those."""

    def __init__(self, quiet: set[int]) -> None:
        self.quiet = quiet
        self.style = np.zeros(0)

    def run(self, _: None, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        self.style = inputs["style"]
        ids = inputs["tokens"][0].tolist()
        units = np.array([2 if i in self.quiet else 3 for i in ids], np.int64)
        units[[0, -1]] = 8
        loud = np.repeat([i not in self.quiet for i in ids], units * UNIT)
        tone = np.sin(np.arange(loud.size) * 0.3) * loud
        # the sound runs 75 ms ahead of the durations
        return np.roll(tone, -3 * UNIT).astype(np.float32), units


@pytest.fixture
def voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KokoroVoice:
    (tmp_path / "voices").mkdir()
    (tmp_path / "kokoro.onnx").touch()
    for n, name in enumerate(("af_bella", "am_puck", "bf_emma", "bm_george")):
        table = np.full((510, 256), n, np.float32) + np.arange(510)[:, None] / 1000
        table.astype(np.float32).tofile(tmp_path / "voices" / f"{name}.bin")
    graph = ToneGraph({0})
    monkeypatch.setattr(kokoro, "open_graph", lambda path, tensor: graph)
    opened = open_voice("kokoro", kokoro=tmp_path)
    assert isinstance(opened, KokoroVoice)
    graph.quiet |= {opened._symbols[s] for s in " ,.?!"}
    return opened


def _written(voice: KokoroVoice, text: str, accent: str) -> str:
    names = {number: name for name, number in voice._symbols.items()}
    return "".join(names[i] for i in voice._symbols_of(text, accent)[0])


@needs_espeak
def test_americans_flap_and_british_vowels_stay_long(voice: KokoroVoice) -> None:
    text = "You call at a better time."
    assert _written(voice, text, "a") == "ju kˈɔl æT ə bˈɛTəɹ tˈIm."
    assert _written(voice, text, "b") == "juː kˈɔːl at ə bˈɛtə tˈIm."


@needs_espeak
def test_every_word_has_its_time(voice: KokoroVoice) -> None:
    text = "One of the dogs, and a bird, isn't here."
    said = voice.speak(text, "kokoro/bf_emma", np.random.default_rng(0))
    assert [w.text for w in said.words] == text.split()
    _, owners = voice._symbols_of(text, "b")
    dogs = [i for i, owner in enumerate(owners) if owner == 3]
    # the pad, then three units a symbol and two a space or mark; 75 ms (three units) earlier
    before = 8 + sum(2 if owner < 0 else 3 for owner in owners[: dogs[0]])
    start = (before - 1 - 3) * 0.025  # and half of the space before it, up to where sound begins
    assert start - 0.001 <= said.words[3].start <= start + 0.026
    assert said.words[3].end == pytest.approx((before + 3 * len(dogs) - 3) * 0.025, abs=0.01)
    assert all(a.end <= b.start for a, b in zip(said.words, said.words[1:], strict=False))


@needs_espeak
def test_a_mix_is_the_mean_of_two_voices(voice: KokoroVoice) -> None:
    mix = next(s for s in voice.speakers() if s.startswith("kokoro/mix-af_bella+am_puck-"))
    share = int(mix.rsplit("-", 1)[1]) / 100
    voice.speak("Yes.", mix, np.random.default_rng(0))
    n = len(voice._symbols_of("Yes.", "a")[0])
    np.testing.assert_allclose(voice._session.style, share + (n - 1) / 1000, rtol=1e-5)
    assert not any("af" in s and "+b" in s for s in voice.speakers())  # accents do not mix


def test_who_is_held_out_is_in_no_mix(voice: KokoroVoice) -> None:
    out = held_out_of(voice.speakers(), ("kokoro/am_puck",))
    assert "kokoro/am_puck" in out
    assert "kokoro/af_bella" not in out
    assert {s for s in voice.speakers() if "am_puck" in s} == out
    assert people_of("kokoro/mix-a+b-40") == {"kokoro/a", "kokoro/b"}


def test_a_folder_without_the_graph_is_told(tmp_path: Path) -> None:
    with pytest.raises(MossAudioError, match=r"recipes\.kokoro"):
        open_voice("kokoro", kokoro=tmp_path)


def test_a_damaged_voice_is_named(voice: KokoroVoice) -> None:
    path: Any = voice._folder / "voices" / "bf_emma.bin"
    path.write_bytes(b"\0" * 100)
    with pytest.raises(MossAudioError, match=r"bf_emma\.bin: not a table"):
        voice._read_style("bf_emma")

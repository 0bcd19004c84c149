"""Channels are mixed without losing what is in them, in blocks that depend on no part's borders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.recordings import load_audio, stream_audio
from moss_audio.recordings.mix import Chunk, mono_chunks

from .test_audio import FORMATS, encode, float_wav, pcm_wav, tone

RATE = 16_000


@pytest.mark.parametrize("name", FORMATS)
def test_opposite_phase_is_heard(name: str) -> None:
    """A wrongly wired cable: the mean of the channels would be silence."""
    container, codec, rate, _ = FORMATS[name]
    left = tone(3, rate)
    audio = load_audio(encode(np.concatenate([left, -left]), rate, container, codec))
    expected = load_audio(encode(left, rate, container, codec))
    n = len(expected.samples) - 1_000
    assert audio.samples[:n].std() == pytest.approx(expected.samples[:n].std(), rel=0.1)
    assert len(audio.warnings) == 1
    assert "opposite phase" in audio.warnings[0]
    assert not audio.flawed  # training takes it


@pytest.mark.parametrize("scale", [1.0, 0.98, 0.9])
@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8])
def test_opposite_phase_in_an_array(scale: float, dtype: type) -> None:
    left = 0.6 * np.sin(np.arange(3 * RATE) / 9)
    both = np.stack([left, -scale * left])
    if dtype is np.uint8:
        both = np.round(both * 127 + 128)
    elif dtype is np.int16:
        both = np.round(both * 32767)
    audio = load_audio((both.astype(dtype), RATE))
    np.testing.assert_allclose(audio.samples[200:], left[200:], atol=0.01)
    assert "from 0.00 s on" in audio.warnings[0]


def test_what_has_nothing_in_common_is_averaged() -> None:
    """Two speakers, one to a channel; one channel of 64 that is not silent; equal channels."""
    rng = np.random.default_rng(1)
    two = rng.uniform(-0.5, 0.5, (2, 40_000))
    one_of_64 = np.zeros((64, 40_000))
    one_of_64[40] = two[0]
    for samples in (two, one_of_64, np.stack([two[0], two[0]])):
        audio = load_audio((samples, RATE))
        np.testing.assert_allclose(audio.samples, samples.mean(axis=0), atol=1e-7)
        assert audio.warnings == ()


def test_silence_is_no_opposite_phase() -> None:
    assert load_audio((np.zeros((2, 40_000)), RATE)).warnings == ()
    dither = np.random.default_rng(2).integers(-1, 2, 40_000) * 2.0**-23
    assert load_audio((np.stack([dither, -dither]), RATE)).warnings == ()


def half_upside_down(seconds: int, rate: int = RATE) -> np.ndarray:
    """[2, n] int16: opposite phase from 3.3 s to 27.1 s, in phase before and after."""
    rng = np.random.default_rng(5)
    left = rng.integers(-9_000, 9_000, seconds * rate).astype(np.int16)
    right = left.copy()
    right[round(3.3 * rate) : round(27.1 * rate)] *= -1
    return np.stack([left, right])


@pytest.mark.parametrize(("start", "end"), [(0.0, 3.0), (2.9, 4.9), (22.3, 29.0), (26.9, 40.0)])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_part_is_mixed_as_the_whole_is(start: float, end: float, rate: int) -> None:
    data = pcm_wav(half_upside_down(40, rate), rate)
    whole = load_audio(data)
    part = load_audio(data, start=start, end=end)
    expected = whole.samples[round(start * RATE) : round(end * RATE)]
    np.testing.assert_allclose(part.samples, expected, atol=0 if rate == RATE else 1e-6)
    blocks = np.concatenate([*stream_audio(data, block_s=0.3)])
    np.testing.assert_array_equal(blocks, whole.samples)
    loud = np.abs(whole.samples).reshape(-1, 8_000).max(axis=1)
    assert loud.min() > 0.1  # nothing is lost anywhere


@given(cuts=st.lists(st.integers(1, 40_000), max_size=8), seed=st.integers(0, 9))
@settings(max_examples=40)
def test_the_mix_depends_on_no_chunk_borders(cuts: list[int], seed: int) -> None:
    samples = half_upside_down(4)[:, seed:60_000]

    def mixed(at: list[int]) -> tuple[np.ndarray, list[str]]:
        borders = [0, *sorted(at), samples.shape[1]]
        pairs = itertools.pairwise(borders)
        notes: list[str] = []
        chunks = [Chunk(RATE, 777 + a, samples[:, a:b]) for a, b in pairs if a < b]
        return np.concatenate([c.samples for c in mono_chunks(chunks, "x", notes)]), notes

    whole, notes = mixed([])
    cut, cut_notes = mixed(cuts)
    np.testing.assert_array_equal(whole, cut)
    assert notes == cut_notes


def test_channels_may_change_in_mid_file() -> None:
    """The voice of two MP3s, mono and then stereo in opposite phase."""
    left = tone(3, 44_100)
    first = encode(left, 44_100, "mp3", "libmp3lame")
    second = encode(np.concatenate([left, -left]), 44_100, "mp3", "libmp3lame")
    audio = load_audio(first + second)
    assert audio.samples[-20_000:-2_000].std() > 0.1
    assert "opposite phase" in audio.warnings[0]


def test_a_single_channel_is_left_alone() -> None:
    samples = np.sin(np.arange(20_000, dtype=np.float32))
    np.testing.assert_array_equal(load_audio(float_wav(samples, RATE)).samples, samples)

"""Noise at the ratio asked for, and how loud things are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.dsp.loudness import (
    amplitude,
    audible_frames,
    frame_levels_db,
    level_db,
    measure_loudness,
    rms,
)
from moss_audio.dsp.noise import (
    COLOURS,
    at_snr,
    background_noise,
    coloured_noise,
    quick_noise,
    rng_of,
    with_noise,
)
from moss_audio.errors import MossAudioError

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("colour", COLOURS)
def test_noise_has_the_ratio_asked_for(colour: str) -> None:
    samples = np.sin(np.arange(16000) / 5).astype(np.float32) * 0.1
    added = with_noise(samples, 10.0, colour, "seed") - samples
    ratio = 10 * np.log10(np.mean(samples.astype(float) ** 2) / np.mean(added.astype(float) ** 2))
    assert ratio == pytest.approx(10, abs=0.01)
    assert np.array_equal(
        coloured_noise(100, colour, rng_of("a")), coloured_noise(100, colour, rng_of("a"))
    )
    assert not np.array_equal(
        coloured_noise(100, colour, rng_of("a")), coloured_noise(100, colour, rng_of("b"))
    )


def test_noise_colours_differ_in_their_slope_and_nothing_clips() -> None:
    def low_share(colour: str) -> float:
        power = np.abs(np.fft.rfft(coloured_noise(16000, colour, rng_of("x")))) ** 2
        return float(power[:1000].sum() / power.sum())

    assert low_share("white") < low_share("pink") < low_share("brown")
    loud = with_noise(np.ones(1000, np.float32), 0.0, "white", "s")
    assert np.abs(loud).max() <= 1.0
    with pytest.raises(MossAudioError, match="noise 'green': choose one of white"):
        coloured_noise(10, "green", rng_of("x"))


@given(seed=SEEDS, n=st.integers(2_000, 20_000), snr_db=st.floats(-10, 60))
def test_every_kind_of_noise_has_unit_power_and_lies_at_its_ratio(
    seed: int, n: int, snr_db: float
) -> None:
    for make, level in ((background_noise, np.std), (quick_noise, rms)):
        noise = make(n, np.random.default_rng(seed))
        assert (noise.shape, noise.dtype) == ((n,), np.float32)
        assert level(noise) == pytest.approx(1.0, abs=1e-3)
        laid = at_snr(noise, 0.25, snr_db)
        assert 20 * np.log10(0.25 * level(noise) / level(laid)) == pytest.approx(snr_db, abs=0.01)


@given(gain_db=st.floats(-60, 20), seed=SEEDS)
def test_a_gain_moves_every_level_by_itself(gain_db: float, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal(3200)
    louder = x * amplitude(gain_db)
    assert level_db(louder) - level_db(x) == pytest.approx(gain_db, abs=1e-4)
    moved = frame_levels_db(louder, 160) - frame_levels_db(x, 160)
    assert moved == pytest.approx(np.full(20, gain_db), abs=1e-3)
    assert audible_frames(louder, 160, -20.0).tolist() == audible_frames(x, 160, -20.0).tolist()


def test_levels_of_full_scale_and_of_silence() -> None:
    assert level_db(np.ones(100)) == pytest.approx(0.0, abs=1e-9)
    assert level_db(np.zeros(100)) == level_db(np.zeros(0)) == pytest.approx(-120.0)
    assert frame_levels_db(np.zeros(350), 160).tolist() == pytest.approx([-120.0, -120.0])
    assert not audible_frames(np.zeros(320), 160, -40.0).any()
    half = np.concatenate([np.full(160, 0.5), np.full(160, 0.005)])
    assert audible_frames(half, 160, -38.0).tolist() == [True, False]


def test_loudness_needs_a_block_of_the_standard() -> None:
    pytest.importorskip("pyloudnorm")
    tone = np.sin(2 * np.pi * 997 * np.arange(16_000) / 16_000).astype(np.float32)
    # ITU-R BS.1770: a full-scale sine of 997 Hz in one channel is -3.01 LKFS
    assert measure_loudness(tone) == pytest.approx(-3.01, abs=0.15)
    assert measure_loudness(tone[:6_399]) is None
    assert measure_loudness(np.zeros(16_000, np.float32)) == -70.0
    assert measure_loudness(np.full(16_000, np.nan, np.float32)) is None

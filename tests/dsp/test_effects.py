"""Rooms, codecs and tempo: what sounds at a time still sounds there, or at its factor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.dsp import codec, room
from moss_audio.dsp.codec import CODECS
from moss_audio.dsp.stretch import shift_pitch, stretch

SR = 16_000
STARTS_S = (0.4, 1.3, 2.1)
LENGTH_S = 0.3


def _clip(pitch_hz: float = 140.0) -> np.ndarray:
    """Three voiced bursts of 0.3 s on silence."""
    x = np.zeros(3 * SR, np.float32)
    t = np.arange(int(LENGTH_S * SR)) / SR
    tone = sum(np.sin(2 * np.pi * pitch_hz * k * t) / k for k in range(1, 16))
    for start in STARTS_S:
        at = int(start * SR)
        x[at : at + t.size] = 0.2 * tone * np.minimum(1, 60 * np.minimum(t, LENGTH_S - t))
    return x


def _envelope(x: np.ndarray) -> np.ndarray:
    return np.convolve(np.abs(x), np.hanning(160), "same")


def _lag_s(x: np.ndarray, y: np.ndarray) -> float:
    """Seconds by which y lies behind x, by the correlation of their envelopes."""
    n = 2 * max(x.size, y.size)
    a, b = (np.fft.rfft(_envelope(v) - _envelope(v).mean(), n) for v in (x, y))
    shift = int(np.argmax(np.fft.irfft(b * np.conj(a), n)))
    return (shift - n if shift > n // 2 else shift) / SR


@pytest.mark.parametrize("name", CODECS)
def test_codecs_delay_nothing(name: str) -> None:
    x = _clip()
    for rate in codec.bit_rates(name) or (None,):
        y = codec.through(x, name, rate)
        assert y.shape == x.shape
        assert y.dtype == np.float32
        assert abs(_lag_s(x, y)) < 0.01
        assert not np.array_equal(x, y)
    assert np.array_equal(codec.through(x, name, rate), y)


def test_the_measure_of_delay_can_fail() -> None:
    x = _clip()
    assert _lag_s(x, np.roll(x, 320)) == pytest.approx(0.02, abs=1e-3)


def test_the_telephone_has_no_high_tones() -> None:
    rng = np.random.default_rng(0)
    y = codec.through(0.2 * rng.standard_normal(SR).astype(np.float32), "mulaw")
    spectrum = np.abs(np.fft.rfft(y)) ** 2
    assert spectrum[4200:].sum() < 1e-3 * spectrum.sum()


@settings(max_examples=12)
@given(speed=st.floats(0.75, 1.33), pitch_hz=st.floats(85, 260))
def test_speed_moves_times_by_its_factor_and_keeps_the_pitch(speed: float, pitch_hz: float) -> None:
    x = _clip(pitch_hz)
    y = stretch(x, speed)
    assert y.size == round(x.size / speed)
    loud = _envelope(y) > 0.3 * _envelope(y).max()
    loud_before = _envelope(x) > 0.3 * _envelope(x).max()
    for start in STARTS_S:
        for edge in (start, start + LENGTH_S):
            # the same crossing of the same threshold, before and after
            before = _crossing(loud_before, edge)
            after = _crossing(loud, before / speed)
            assert abs(after - before / speed) < 0.01
    middle = int((STARTS_S[1] + 0.15) / speed * SR)
    part = y[middle - 1200 : middle + 1200] * np.hanning(2400)
    peak = np.argmax(np.abs(np.fft.rfft(part, 32_000))[: round(pitch_hz * 3)]) / 2
    assert peak == pytest.approx(pitch_hz, rel=0.04)


def _crossing(loud: np.ndarray, near_s: float) -> float:
    at = np.flatnonzero(np.diff(loud.astype(int))) / SR
    return float(at[np.argmin(np.abs(at - near_s))])


@pytest.mark.parametrize("semitones", [-3.0, 2.0])
def test_pitch_moves_nothing_in_time(semitones: float) -> None:
    x = _clip(150.0)
    y = shift_pitch(x, semitones)
    assert y.size == x.size
    assert abs(_lag_s(x, y)) < 0.01
    part = y[int(1.35 * SR) : int(1.55 * SR)] * np.hanning(3200)
    peak = np.argmax(np.abs(np.fft.rfft(part, 32_000))[:500]) / 2
    assert peak == pytest.approx(150.0 * 2 ** (semitones / 12), rel=0.02)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_rooms_begin_with_the_direct_sound_and_decay_as_said(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = room.draw_room(rng)
    response = room.impulse_response(drawn, rng)
    assert response[0] == 1.0
    for at, size in zip(drawn.source_m + drawn.microphone_m, drawn.size_m * 2, strict=True):
        assert 0 < at < size
    energy = np.cumsum(response[::-1] ** 2)[::-1]
    fall = 10 * np.log10(energy / energy[0] + 1e-12)
    if drawn.distance_m > 1.0:  # nearer, the direct sound is most of it: the fall begins at once
        five, twenty = np.argmax(fall < -5), np.argmax(fall < -20)
        assert (twenty - five) / SR * 4 == pytest.approx(drawn.rt60_s, rel=0.5, abs=0.1)
    late = response[response.size // 4 : response.size // 2]
    assert np.abs(response[:480]).max() > np.abs(late).max()
    click = np.zeros(SR, np.float32)
    click[4000] = 1.0
    heard = room.placed(click, drawn, np.random.default_rng(seed))
    assert np.argmax(np.abs(heard) > 0.5) == 4000
    assert np.abs(heard[:4000]).max() < 1e-6


@given(seed=st.integers(0, 10_000), quick=st.booleans())
def test_an_echo_leaves_the_direct_sound_where_it_was(seed: int, quick: bool) -> None:
    heard = room.quickly_reverberated if quick else room.reverberated
    click = np.zeros(SR, np.float32)
    click[4000] = 1.0
    echo = heard(click, np.random.default_rng(seed))
    assert echo.shape == click.shape
    assert echo.dtype == np.float32
    assert np.abs(echo[:4000]).max() < 1e-5
    assert echo[4000] == pytest.approx(1.0, abs=1e-3)
    assert 0 < np.sum(echo[4001:] ** 2) < 0.4


@given(x=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50))
def test_companding_is_finest_where_it_is_quiet(x: list[float]) -> None:
    samples = np.array(x, np.float32)
    error = np.abs(codec.mu_law(samples) - samples)
    assert (error <= 0.03 * np.abs(samples) + 2e-4).all()

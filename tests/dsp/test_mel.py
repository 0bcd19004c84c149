"""Features equal the reference extractor's; the formulas equal a brute-force count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from moss_audio.dsp.mel import (
    DYNAMIC_RANGE,
    LogMelStream,
    _bands,
    log_mel,
    mel_filters,
)
from moss_audio.errors import AudioError
from moss_audio.units import (
    FRAMES_PER_TOKEN,
    HOP_SAMPLES,
    num_frames,
    num_tokens,
    num_tokens_of_samples,
    samples_to_seconds,
    seconds_to_samples,
)

_EXTRACTORS = {n: WhisperFeatureExtractor(feature_size=n) for n in (80, 128)}
_KINDS = ("noise", "quiet", "silence", "dc", "clipped", "tone", "click", "half silent")

signals = st.tuples(st.sampled_from(_KINDS), st.integers(0, 5000), st.integers(0, 2**32 - 1))


def make_signal(kind: str, n_samples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(n_samples)
    if kind == "noise":
        signal = 0.1 * noise
    elif kind == "quiet":
        signal = 1e-4 * noise
    elif kind == "dc":
        signal = np.full(n_samples, rng.uniform(-1, 1))
    elif kind == "clipped":
        signal = np.clip(5 * noise, -1, 1)
    elif kind == "tone":
        signal = np.sin(2 * np.pi * rng.uniform(20, 7900) * np.arange(n_samples) / 16_000)
    else:
        signal = np.zeros(n_samples)
        if kind == "click" and n_samples:
            signal[rng.integers(n_samples)] = 1.0
        if kind == "half silent":
            signal[: n_samples // 2] = noise[: n_samples // 2]
    return signal.astype(np.float32)


def reference(samples: np.ndarray, n_mels: int) -> np.ndarray:
    """transformers' numpy path over the clip as it is, not padded to 30 s."""
    return _EXTRACTORS[n_mels]._np_extract_fbank_features(samples[None], "cpu")[0]


@settings(max_examples=150)
@given(signals, st.sampled_from((80, 128)))
def test_equals_the_reference_extractor(signal: tuple[str, int, int], n_mels: int) -> None:
    samples = make_signal(*signal)
    ours = log_mel(samples, n_mels)
    assert ours.dtype == np.float32
    assert ours.shape == (n_mels, len(samples) // 160)
    if len(samples) >= HOP_SAMPLES:  # the reference has no frame to take a maximum of below
        np.testing.assert_allclose(ours, reference(samples, n_mels), atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_samples", [160, 199, 200, 201, 319, 320, 400, 16_000, 163_841, 250_007])
def test_equals_the_reference_at_the_edges_and_over_block_borders(n_samples: int) -> None:
    samples = make_signal("noise", n_samples, seed=n_samples)
    np.testing.assert_allclose(log_mel(samples), reference(samples, 128), atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_mels", [80, 128])
def test_what_is_faint_beside_a_tone_equals_the_reference(n_mels: int) -> None:
    """Two tones and their skirts, 80 dB down: what float32 alone gets wrong by 1e-4 and more."""
    t = np.arange(2400) / 16_000
    rng = np.random.default_rng(n_mels)
    for _ in range(40):
        low, high = rng.uniform(20, 7980, 2)
        samples = 0.7 * np.sin(2 * np.pi * low * t) + 0.3 * np.sin(2 * np.pi * high * t)
        samples = samples.astype(np.float32)
        expected = reference(samples, n_mels)
        np.testing.assert_allclose(log_mel(samples, n_mels), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_mels", [1, 80, 128, 400])
def test_bands_hold_every_filter_once(n_mels: int) -> None:
    whole = np.zeros((402, n_mels), np.float32)
    for mels, parts, weights in _bands(n_mels):
        assert not whole[:, mels].any()
        whole[parts, mels] = weights
    assert np.array_equal(whole, np.repeat(mel_filters(n_mels), 2, 0))


@pytest.mark.parametrize("n_mels", [80, 128])
def test_mel_filters_equal_the_reference(n_mels: int) -> None:
    np.testing.assert_allclose(mel_filters(n_mels), _EXTRACTORS[n_mels].mel_filters, atol=1e-7)


def test_arrays_and_tensors_and_other_dtypes_give_the_same() -> None:
    samples = make_signal("noise", 3000, seed=1)
    expected = log_mel(samples)
    assert np.array_equal(log_mel(torch.from_numpy(samples)), expected)
    assert np.array_equal(log_mel(samples.astype(np.float64)), expected)


@pytest.mark.parametrize("shape", [(), (2, 800), (1, 800)])
def test_refuses_other_than_mono_samples(shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioError, match="mono"):
        log_mel(np.zeros(shape, np.float32))
    with pytest.raises(AudioError, match="mono"):
        LogMelStream().push(np.zeros(shape, np.float32))


@settings(max_examples=80)
@given(signals, st.lists(st.integers(0, 1500), max_size=20))
def test_stream_blocks_concatenate_to_the_whole(
    signal: tuple[str, int, int], block_sizes: list[int]
) -> None:
    samples = make_signal(*signal)
    stream = LogMelStream(n_mels=80)
    parts, at = [], 0
    for size in block_sizes:
        parts.append(stream.push(samples[at : at + size]))
        at = min(at + size, len(samples))
        # all that is certain is out: what is held back is less than a window and a reflection
        assert num_frames(at) - sum(p.shape[1] for p in parts) <= 2
    parts.append(stream.push(samples[at:]))
    parts.append(stream.finish())
    joined = np.concatenate(parts, axis=1)
    whole = (np.maximum(joined, stream.maximum - DYNAMIC_RANGE) + 4.0) / 4.0
    expected = log_mel(samples, 80)
    assert whole.shape == expected.shape
    np.testing.assert_allclose(whole, expected, atol=2e-6, rtol=0)
    if len(samples) >= HOP_SAMPLES:
        assert stream.maximum == pytest.approx(float(joined.max()))


def test_stream_keeps_no_more_than_a_window_of_a_long_clip() -> None:
    stream = LogMelStream()
    for _ in range(50):
        stream.push(np.zeros(1600, np.float32))
    assert stream._pending.shape[0] <= 2 * 400 + HOP_SAMPLES
    assert stream.n_samples == 80_000


def test_frame_and_token_counts_equal_brute_force() -> None:
    for n_frames in range(0, 2000):
        # a strided convolution of width 3, padding 1: one output for every even position
        count = n_frames
        for _ in range(3):
            count = len(range(0, count, 2))
        assert num_tokens(n_frames) == count
        # in chunks of any multiple of eight frames the sum is the same
        for chunk in (8, 104, 400):
            full, rest = divmod(n_frames, chunk)
            assert full * num_tokens(chunk) + num_tokens(rest) == count
    for n_samples in (0, 1, 159, 160, 161, 319, 320, 12_345, 160_000):
        assert num_frames(n_samples) == log_mel(np.zeros(n_samples, np.float32)).shape[1]
        assert num_tokens_of_samples(n_samples) == num_tokens(num_frames(n_samples))


def test_a_chunk_that_is_no_multiple_of_eight_would_break_the_sum() -> None:
    assert FRAMES_PER_TOKEN == 8
    assert num_tokens(100) + num_tokens(100) != num_tokens(200)


@given(st.integers(0, 10**7))
def test_seconds_and_counts_convert_both_ways(n: int) -> None:
    assert seconds_to_samples(samples_to_seconds(n)) == n

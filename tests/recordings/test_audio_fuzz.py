"""300 broken inputs, always the same ones: each gives an Audio or one AudioError of one line that
names it, soon, and without a word on the terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from moss_audio.errors import AudioError
from moss_audio.recordings import Audio, audio_duration, load_audio, stream_audio
from moss_audio.units import SAMPLE_RATE

from .test_audio import FORMATS, encode, float_wav, pcm_wav, tone

N_INPUTS = 300
EACH_S = 5.0
ALL_S = 30.0

Breaker = Callable[[np.random.Generator, bytes], bytes]


def truncate(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: rng.integers(1, len(data))]


def header_only(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: rng.integers(1, 300)]


def flip_bits(rng: np.random.Generator, data: bytes) -> bytes:
    broken = bytearray(data)
    for at in rng.integers(0, len(data), rng.integers(1, 200)):
        broken[at] ^= 1 << rng.integers(8)
    return bytes(broken)


def flip_header_bits(rng: np.random.Generator, data: bytes) -> bytes:
    return flip_bits(rng, data[:400]) + data[400:]


def cut_a_hole(rng: np.random.Generator, data: bytes) -> bytes:
    first, last = sorted(rng.integers(0, len(data), 2))
    return data[:first] + data[last:]


def overwrite(rng: np.random.Generator, data: bytes) -> bytes:
    first, last = sorted(rng.integers(0, len(data), 2))
    return data[:first] + rng.bytes(last - first) + data[last:]


def noise_after_magic(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: rng.integers(4, 64)] + rng.bytes(4_000)


def random_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    return rng.bytes(int(rng.integers(1, 20_000)))


def repeat_byte(rng: np.random.Generator, data: bytes) -> bytes:
    return bytes([rng.integers(256)]) * int(rng.integers(1, 20_000))


def absurd_rate(rng: np.random.Generator, data: bytes) -> bytes:
    rate = int(rng.choice([0, 1, 2, 999, 768_001, 10_000_000, 2**31 - 1]))
    wav = bytearray(pcm_wav(tone(0.1, 8_000), 8_000))
    wav[24:28] = rate.to_bytes(4, "little")
    return bytes(wav)


def absurd_channels(rng: np.random.Generator, data: bytes) -> bytes:
    wav = bytearray(pcm_wav(tone(0.1, 8_000), 8_000))
    wav[22:24] = int(rng.choice([0, 7, 255, 65_535])).to_bytes(2, "little")
    return bytes(wav)


def not_finite(rng: np.random.Generator, data: bytes) -> bytes:
    samples = rng.uniform(-1, 1, 4_000).astype(np.float32)
    samples[rng.integers(4_000)] = rng.choice([np.nan, np.inf, -np.inf, 3e38])
    return float_wav(samples, int(rng.choice([8_000, 16_000, 44_100])))


def seven_channels(rng: np.random.Generator, data: bytes) -> bytes:
    samples = rng.integers(-9_000, 9_000, (7, 2_000)).astype(np.int16)
    return truncate(rng, pcm_wav(samples, 16_000))


BREAKERS: list[Breaker] = [
    truncate, truncate, truncate, header_only, flip_bits, flip_bits, flip_header_bits, cut_a_hole,
    overwrite, noise_after_magic, random_bytes, repeat_byte, absurd_rate, absurd_channels,
    not_finite, seven_channels,
]  # fmt: skip


@pytest.fixture(scope="module")
def sound_files() -> dict[str, bytes]:
    made = {
        name: encode(tone(1.5, rate, channels=2), rate, container, codec)
        for name, (container, codec, rate, _) in FORMATS.items()
    }
    made["mp4"] = encode(tone(1.5, 44_100), 44_100, "mp4", "aac", video=True)
    made["avi"] = encode(np.zeros((0, 0)), 0, "avi", "", video=True)
    return made


def broken_inputs(sound_files: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """(file name, content); every breaker meets every format, and some extensions are wrong."""
    rng = np.random.default_rng(20_260)
    names = list(sound_files)
    made = [("empty.wav", b""), ("picture-only.mp4", sound_files["avi"])]
    while len(made) < N_INPUTS:
        i = len(made)
        name, breaker = names[i % len(names)], BREAKERS[(i // len(names) + i) % len(BREAKERS)]
        extension = names[(i + 5) % len(names)] if i % 4 == 0 else name
        content = breaker(rng, sound_files[name])
        made.append((f"{i:03}-{breaker.__name__}-{name}.{extension}", content))
    return made


def test_300_broken_inputs(
    sound_files: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inputs = broken_inputs(sound_files)
    assert len(inputs) == N_INPUTS
    used = {name.split("-")[1] for name, _ in inputs[2:]}
    assert used == {breaker.__name__ for breaker in BREAKERS}
    capfd.readouterr()
    loaded = refused = 0
    all_started = time.monotonic()
    for i, (name, content) in enumerate(inputs):
        path = tmp_path / name
        path.write_bytes(content)
        outcome = within_limit(partial(load_audio, path), name)
        if isinstance(outcome, AudioError):
            refused += 1
            message = str(outcome)
            assert type(outcome) is AudioError
            assert name in message
            assert len(message.splitlines()) == 1, message
        else:
            loaded += 1
            check_loaded(outcome, name)
            if i % 5 == 0:
                blocks = list(stream_audio(content, block_s=0.4))
                np.testing.assert_array_equal(np.concatenate(blocks), outcome.samples, name)
                duration_s = audio_duration(path)
                assert duration_s is None or duration_s > 0
    assert time.monotonic() - all_started < ALL_S
    assert capfd.readouterr() == ("", "")
    # Both outcomes are common; all of one kind would mean the inputs test nothing.
    assert loaded > 60
    assert refused > 60


def within_limit(load: Callable[[], Audio], name: str) -> Audio | AudioError:
    """Run ``load`` on a thread, so that a hang fails the test instead of hanging it too; any
    exception but AudioError is raised here."""
    outcomes: list[Audio | Exception] = []

    def work() -> None:
        try:
            outcomes.append(load())
        except Exception as error:
            outcomes.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(EACH_S)
    assert outcomes, f"{name}: no answer within {EACH_S} s"
    outcome = outcomes[0]
    if isinstance(outcome, (Audio, AudioError)):
        return outcome
    raise outcome


def check_loaded(audio: Audio, name: str) -> None:
    assert audio.samples.dtype == np.float32
    assert audio.samples.ndim == 1
    assert len(audio.samples) > 0
    assert np.isfinite(audio.samples).all()
    assert audio.duration_s < 600, f"{name}: {len(audio.samples) / SAMPLE_RATE} s from a few kB"
    for warning in audio.warnings:
        assert name in warning
        assert len(warning.splitlines()) == 1


def test_broken_late_parts_also_end(sound_files: dict[str, bytes]) -> None:
    """Seeking in broken files takes other paths than reading on does."""
    rng = np.random.default_rng(5)
    for name in ("wav", "flac", "mp3", "m4a", "opus", "webm", "mkv"):
        container, codec, rate, _ = FORMATS[name]
        whole = encode(tone(26, rate), rate, container, codec)
        for breaker in (truncate, flip_bits, overwrite, cut_a_hole):
            broken = breaker(rng, whole)
            outcome = within_limit(partial(load_audio, broken, start=23.0, end=24.0), name)
            if isinstance(outcome, AudioError):
                assert len(str(outcome).splitlines()) == 1
            else:
                assert 0 < len(outcome.samples) <= SAMPLE_RATE

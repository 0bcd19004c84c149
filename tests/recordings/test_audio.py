"""The loader: every kind of input and container, resampling, parts, blocks, and its errors."""

from __future__ import annotations

import base64
import contextlib
import http.server
import io
import math
import os
import threading
import time
import tracemalloc
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.errors import AudioError
from moss_audio.recordings import (
    Audio,
    FetchLimits,
    audio_duration,
    describe_source,
    load_audio,
    stream_audio,
)
from moss_audio.recordings import resample as audio_resample
from moss_audio.recordings.download import fetch
from moss_audio.recordings.web import AllowedHosts
from moss_audio.units import SAMPLE_RATE
from tests.web_server import serving

# name: (container, codec, rate, sample error of the codec at amplitude 0.5; None = lossless)
FORMATS: dict[str, tuple[str, str, int, float | None]] = {
    "wav": ("wav", "pcm_s16le", 22_050, None),
    "wav24": ("wav", "pcm_s24le", 48_000, None),
    "flac": ("flac", "flac", 44_100, None),
    "mp3": ("mp3", "libmp3lame", 44_100, 0.05),
    "m4a": ("ipod", "aac", 44_100, 0.05),
    "aac": ("adts", "aac", 32_000, 0.05),
    "opus": ("ogg", "libopus", 48_000, 0.1),
    "webm": ("webm", "libopus", 48_000, 0.1),
    "mkv": ("matroska", "flac", 16_000, None),
    "aiff": ("aiff", "pcm_s16be", 16_000, None),
}


def tone(duration_s: float, rate: int, hz: float = 440.0, channels: int = 1) -> np.ndarray:
    """[channels, n] int16: a sine whose loudness rises, so that no two places look alike."""
    t = np.arange(round(duration_s * rate)) / rate
    wave_ = 0.5 * np.sin(2 * np.pi * hz * t) * (0.2 + 0.8 * t / max(duration_s, 1e-9))
    return np.tile(np.round(wave_ * 32767).astype(np.int16), (channels, 1))


def encode(
    samples: np.ndarray, rate: int, container: str, codec: str, *, video: bool = False
) -> bytes:
    """Encode [channels, n] int16; with a few seconds of picture when ``video``."""
    buffer = io.BytesIO()
    layouts = {1: "mono", 2: "stereo", 6: "5.1", 7: "6.1"}
    with av.open(buffer, "w", format=container) as out:
        if video:
            picture: Any = out.add_stream("mpeg4", rate=5)
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        if len(samples):
            stream: Any = out.add_stream(codec, rate=rate, layout=layouts[len(samples)])
            for first in range(0, samples.shape[1], 4096):
                part = samples[:, first : first + 4096].T.reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(part), format="s16", layout=layouts[len(samples)]
                )
                frame.sample_rate, frame.pts = rate, first
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        if video:
            for i in range(10):
                grey = np.full((32, 32, 3), 20 * i, np.uint8)
                still = av.VideoFrame.from_ndarray(grey, format="rgb24")
                still.pts = i
                out.mux(picture.encode(still))
            out.mux(picture.encode(None))
    return buffer.getvalue()


def pcm_wav(samples: np.ndarray, rate: int) -> bytes:
    """[channels, n] int16 -> a plain RIFF file, for rates and channels of any kind."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(len(samples))
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.ascontiguousarray(samples.T).astype("<i2").tobytes())
    return buffer.getvalue()


def float_wav(samples: np.ndarray, rate: int) -> bytes:
    """[n] float32 -> a WAV with float samples, NaN included."""
    data = samples.astype("<f4").tobytes()
    fmt = b"".join(
        value.to_bytes(size, "little")
        for value, size in ((3, 2), (1, 2), (rate, 4), (4 * rate, 4), (4, 2), (32, 2))
    )
    body = b"WAVEfmt " + len(fmt).to_bytes(4, "little") + fmt
    body += b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def dominant_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * SAMPLE_RATE / len(samples))


def fails(x: Any, *parts: str, **options: Any) -> str:
    """``x`` must give one AudioError of one line, containing every part."""
    with pytest.raises(AudioError) as caught:
        load_audio(x, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


# --- containers and codecs ---------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_container_decodes_to_the_same_tone(name: str, channels: int) -> None:
    container, codec, rate, tolerance = FORMATS[name]
    source = tone(2.0, rate, channels=channels)
    data = encode(source, rate, container, codec)
    audio = load_audio(data)
    assert audio.samples.dtype == np.float32
    assert audio.samples.ndim == 1
    assert audio.warnings == ()
    assert abs(dominant_hz(audio.samples) - 440) < 1
    expected = soxr.resample(source[0].astype(np.float32) / 32768, rate, SAMPLE_RATE)
    if tolerance is None:
        np.testing.assert_allclose(audio.samples, expected, atol=2e-6)
    else:  # priming and padding may add part of a frame; what is aligned must agree
        assert abs(len(audio.samples) - len(expected)) < 0.15 * SAMPLE_RATE
        if name != "aac":  # bare ADTS cannot state its priming
            n = min(len(audio.samples), len(expected)) - 2000
            assert np.abs(audio.samples[2000:n] - expected[2000:n]).max() < tolerance
    duration_s = audio_duration(data)
    assert duration_s is not None
    assert abs(duration_s - 2.0) < 0.15


def test_video_with_audio_gives_its_audio_and_without_says_so() -> None:
    both = encode(tone(2.0, 44_100), 44_100, "mp4", "aac", video=True)
    assert abs(load_audio(both).duration_s - 2.0) < 0.1
    fails(encode(np.zeros((0, 0)), 0, "mp4", "", video=True), "no audio stream", "video")


@pytest.mark.parametrize("channels", [2, 6, 7])
def test_downmix_is_the_mean(channels: int) -> None:
    rng = np.random.default_rng(channels)
    samples = rng.integers(-30_000, 30_000, (channels, 5_000)).astype(np.int16)
    expected = samples.mean(axis=0) / 32768
    np.testing.assert_allclose(load_audio(pcm_wav(samples, 16_000)).samples, expected, atol=1e-7)
    np.testing.assert_allclose(load_audio((samples, 16_000)).samples, expected, atol=1e-7)


def test_sample_formats() -> None:
    ramp = np.linspace(-0.9, 0.9, 4_000).astype(np.float32)
    tolerances = {"pcm_u8": 0.0079, "pcm_mulaw": 0.05}
    for codec in ("pcm_u8", "pcm_f32le", "pcm_f64le", "pcm_s32le", "pcm_s64le", "pcm_mulaw"):
        data = encode((ramp[None] * 32767).astype(np.int16), 16_000, "wav", codec)
        np.testing.assert_allclose(
            load_audio(data).samples, ramp, atol=tolerances.get(codec, 1e-4), err_msg=codec
        )


def test_rate_and_layout_may_change_in_mid_file() -> None:
    """Two MP3s glued together, as broadcasters and voice messages do."""
    first = encode(tone(2.0, 44_100, 300), 44_100, "mp3", "libmp3lame")
    second = encode(tone(2.0, 24_000, 1_000, channels=2), 24_000, "mp3", "libmp3lame")
    audio = load_audio(first + second)
    assert abs(audio.duration_s - 4.0) < 0.3
    assert abs(dominant_hz(audio.samples[8_000:24_000]) - 300) < 2
    assert abs(dominant_hz(audio.samples[-24_000:-8_000]) - 1_000) < 2


# --- resampling --------------------------------------------------------------------------------


@given(rate=st.integers(1_000, 192_000), n=st.integers(200, 20_000))
@settings(max_examples=40)
def test_length_after_resampling(rate: int, n: int) -> None:
    audio = load_audio((np.zeros(n, np.float32), rate))
    assert abs(len(audio.samples) - n * SAMPLE_RATE / rate) <= 1


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 11_127])
def test_resampling_keeps_frequency_and_level(rate: int) -> None:
    t = np.arange(2 * rate) / rate
    audio = load_audio((0.5 * np.sin(2 * np.pi * 1_000 * t), rate))
    assert abs(dominant_hz(audio.samples) - 1_000) < 1
    expected = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE)
    np.testing.assert_allclose(audio.samples[500:-500], expected[500:-500], atol=2e-4)


def test_what_16_khz_cannot_hold_is_filtered_out() -> None:
    t = np.arange(48_000) / 48_000
    audio = load_audio((np.sin(2 * np.pi * 11_000 * t), 48_000))
    assert np.abs(audio.samples[500:-500]).max() < 1e-3


# --- parts and blocks --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_files() -> dict[str, bytes]:
    """50 s of noise bursts in each format: long enough that late parts are sought."""
    rng = np.random.default_rng(7)
    made = {}
    for name, (container, codec, rate, _) in FORMATS.items():
        loud = np.repeat(rng.uniform(0.05, 0.5, 100), rate // 2)
        noise = np.convolve(rng.uniform(-1.5, 1.5, 50 * rate), np.ones(8) / 8, "same") * loud
        noise = noise.clip(-0.9, 0.9)
        samples = np.round(noise[None] * 32767).astype(np.int16)
        made[name] = encode(samples, rate, container, codec)
    return made


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.3, 2.71), (33.333, 36.5), (48.2, None)])
def test_a_part_is_the_slice_of_the_whole(
    long_files: dict[str, bytes], name: str, start: float, end: float | None
) -> None:
    whole = load_audio(long_files[name])
    part = load_audio(long_files[name], start=start, end=end)
    stop = None if end is None else round(end * SAMPLE_RATE)
    expected = whole.samples[round(start * SAMPLE_RATE) : stop]
    assert part.start_s == pytest.approx(start, abs=1e-4)
    assert part.warnings == ()
    rate, tolerance = FORMATS[name][2:]
    if rate == SAMPLE_RATE or start < 20:
        np.testing.assert_array_equal(part.samples, expected)
    elif tolerance is None:
        np.testing.assert_allclose(part.samples, expected, atol=1e-6)
    else:  # Matroska's times are whole milliseconds: up to 16 samples of shift
        shifts = range(-16, 17)
        inner, first = part.samples[100:-100], round(start * SAMPLE_RATE) + 100
        errors = {
            shift: np.sqrt(
                np.mean((inner - whole.samples[first + shift : first + shift + len(inner)]) ** 2)
            )
            for shift in shifts
        }
        best = min(shifts, key=lambda shift: errors[shift])
        assert abs(len(part.samples) - len(expected)) <= abs(best) + 1
        assert name == "webm" or best == 0
        # AAC fills bands with noise that depends on where decoding began; the rest agrees.
        assert errors[best] < (0.1 * inner.std() if codec_of(name) == "aac" else 1e-5)


def codec_of(name: str) -> str:
    return FORMATS[name][1]


def test_a_late_part_is_sought_not_decoded_to(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(pcm_wav(np.zeros((1, 8_000 * 1_200), np.int16), 8_000))
    started = time.process_time()
    load_audio(path)
    whole_s = time.process_time() - started
    started = time.process_time()
    assert load_audio(path, start=1_190, end=1_195).duration_s == 5
    assert time.process_time() - started < whole_s / 2


@given(
    rate=st.sampled_from([8_000, 16_000, 44_100, 11_127]),
    n=st.integers(2_000, 60_000),
    a=st.floats(0, 0.9),
    b=st.floats(0, 1),
)
@settings(max_examples=40)
def test_any_part_of_an_array(rate: int, n: int, a: float, b: float) -> None:
    x = np.random.default_rng(n).uniform(-1, 1, n).astype(np.float32)
    whole = load_audio((x, rate)).samples
    start = a * n / rate
    end = start + b * n / rate + 0.001
    part = load_audio((x, rate), start=start, end=end)
    expected = whole[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    np.testing.assert_array_equal(part.samples, expected)


@given(at=st.floats(21, 57), rate=st.sampled_from([4_000, 8_000, 16_000, 22_050, 11_127]))
@settings(max_examples=15)
def test_a_sought_part_of_an_array(at: float, rate: int) -> None:
    x = np.random.default_rng(1).uniform(-1, 1, 60 * rate).astype(np.float32)
    whole = load_audio((x, rate)).samples
    part = load_audio((x, rate), start=at, end=at + 2)
    first = round(at * SAMPLE_RATE)
    np.testing.assert_allclose(
        part.samples, whole[first : first + 32_000], atol=1e-4 if rate == 11_127 else 2e-6
    )


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("block_s", [0.013, 1.0, 7.0, 100.0])
def test_blocks_join_to_the_whole(name: str, block_s: float) -> None:
    container, codec, rate, _ = FORMATS[name]
    data = encode(tone(3.3, rate), rate, container, codec)
    blocks = list(stream_audio(data, block_s=block_s))
    np.testing.assert_array_equal(np.concatenate(blocks), load_audio(data).samples)
    size = round(block_s * SAMPLE_RATE)
    assert all(len(block) == size for block in blocks[:-1])
    assert 0 < len(blocks[-1]) <= size


def test_streaming_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    peaks = []
    for minutes in (1, 10):
        path = tmp_path / f"{minutes}.wav"
        path.write_bytes(pcm_wav(np.zeros((1, minutes * 60 * 4_000), np.int16), 4_000))
        tracemalloc.start()
        total = sum(len(block) for block in stream_audio(path, block_s=10))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert total == minutes * 60 * SAMPLE_RATE
    assert peaks[1] < 1.2 * peaks[0] + 100_000


def test_a_stream_left_early_closes_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(pcm_wav(tone(2, 16_000), 16_000))
    with path.open("rb") as handle:
        handle.seek(5)
        with stream_audio(handle, block_s=0.1) as stream:
            next(stream)
        assert handle.tell() == 5  # put back, and still open
        assert next(stream, None) is None


@pytest.mark.parametrize(
    ("start", "end", "what"),
    [(3.0, 2.0, "after the start"), (2.0, 2.0, "after the start"), (-1.0, None, "start -1"),
     (math.nan, None, "start nan"), (None, math.inf, "end inf"), (5.0, None, "past the end"),
     (90.0, None, "past the end"), (1e300, None, "start")],
)  # fmt: skip
def test_parts_that_are_not_there(start: float | None, end: float | None, what: str) -> None:
    for x in (pcm_wav(tone(2, 8_000), 8_000), (np.zeros(32_000), 16_000)):
        fails(x, what, start=start, end=end)


# --- kinds of input ----------------------------------------------------------------------------


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "two words.wav"
    path.write_bytes(pcm_wav(tone(0.5, 16_000), 16_000))
    return path


def test_every_kind_of_input_gives_the_same(clip: Path) -> None:
    data = clip.read_bytes()
    expected = tone(0.5, 16_000)[0].astype(np.float32) / 32768
    uri = "data:audio/wav;base64," + base64.b64encode(data).decode()
    quoted = "data:audio/wav," + "".join(f"%{byte:02x}" for byte in data)
    with clip.open("rb") as handle:
        inputs: list[Any] = [clip, str(clip), clip.as_uri(), data, bytearray(data), handle]
        inputs += [io.BytesIO(data), uri, uri.rstrip("="), quoted, (expected, 16_000)]
        for x in [*inputs, Audio(expected, "me")]:
            np.testing.assert_array_equal(load_audio(x).samples, expected)
            assert audio_duration(x) == pytest.approx(0.5)
    assert load_audio(clip).source == str(clip)
    assert load_audio(expected, sample_rate=16_000).duration_s == 0.5
    assert describe_source(uri).startswith("<data URI audio/wav;base64")
    assert describe_source(data) == f"<{len(data)} bytes>"


def test_what_cannot_seek_is_read_to_its_end_first(clip: Path) -> None:
    data = encode(tone(1, 44_100), 44_100, "ipod", "aac")  # its index is at the end
    read_end, write_end = os.pipe()

    def write() -> None:
        with os.fdopen(write_end, "wb") as out:
            out.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(read_end, "rb") as handle:
        np.testing.assert_array_equal(load_audio(handle).samples, load_audio(data).samples)
    writer.join()
    read_end, write_end = os.pipe()
    os.write(write_end, data)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as handle:
        fails(handle, "limit of 100 bytes", "save it", limits=FetchLimits(max_bytes=100))


def test_arrays_of_all_shapes_and_types() -> None:
    mono = np.linspace(-0.5, 0.5, 1_000)
    both = np.stack([mono, -0.5 * mono])
    expected = (0.25 * mono).astype(np.float32)
    for x in (both, both.T, np.asfortranarray(both), both.astype(">f8")):
        np.testing.assert_allclose(load_audio((x, 16_000)).samples, expected, atol=1e-7)
    np.testing.assert_allclose(load_audio((mono[:, None], 16_000)).samples, mono, atol=1e-7)
    for dtype, scale in (("i1", 2**7), ("i2", 2**15), (">i2", 2**15), ("i4", 2**31)):
        x = (mono * scale).astype(dtype)
        np.testing.assert_allclose(load_audio((x, 16_000)).samples, mono, atol=1.1 / scale + 1e-6)
    unsigned = np.round(mono * 128 + 128).astype(np.uint8)
    np.testing.assert_allclose(load_audio((unsigned, 16_000)).samples, mono, atol=2**-7)


def test_arrays_that_are_not_audio() -> None:
    ones = np.ones(2_000)
    fails(ones, "[2000]", "needs its rate")
    fails((ones, 1), "1 Hz")
    fails((ones, 10_000_000), "10000000 Hz")
    fails((ones, "fast"), "not a number")
    fails((ones, 8_000), "two sample rates", sample_rate=16_000)
    fails((16_000, ones), "(array, sample rate)")
    fails((np.ones((2, 3, 4)), 16_000), "[2, 3, 4]")
    fails((np.ones((128, 300)), 16_000), "128 channels")
    fails((np.ones(0), 16_000), "empty")
    fails((np.ones(9, np.int64), 16_000), "int64", "convert")
    fails((np.ones(9, complex), 16_000), "complex")
    fails((np.array(["a"]), 16_000), "convert")
    for bad in (math.nan, math.inf, 1e300):
        x = ones.copy()
        x[1_500] = bad
        fails((x, 16_000), "NaN", "0.00 s")
    fails(Audio(np.zeros(0, np.float32), "nothing.wav"), "nothing.wav")
    with pytest.raises(AudioError):
        Audio(ones, "float64")


def test_integers_stored_as_floats_are_pointed_out() -> None:
    audio = load_audio((tone(1, 16_000)[0].astype(np.float32), 16_000))
    assert "full scale" in audio.warnings[0]
    assert audio.flawed


def test_a_part_of_an_audio_knows_where_it_began(clip: Path) -> None:
    once = load_audio(clip, start=0.1)
    twice = load_audio(once, start=0.1, end=0.2)
    assert twice.start_s == pytest.approx(0.2)
    np.testing.assert_array_equal(twice.samples, load_audio(clip, start=0.2, end=0.3).samples)
    assert load_audio(once) is once


# --- errors that name the input ----------------------------------------------------------------


def test_paths_that_are_no_audio(tmp_path: Path) -> None:
    fails(tmp_path / "gone.wav", "gone.wav", "no such file")
    fails(tmp_path, str(tmp_path), "directory")
    fails("", "empty")
    fails("/dev/null", "/dev/null", "not a regular file")
    fails("s3://bucket/a.wav", "s3://", "not supported")
    fails("a\0b.wav", r"a\x00b.wav")
    fails("x" * 5_000 + ".wav", "xxx", ".wav")
    fails(tmp_path / "line\nbreak.wav", r"line\nbreak.wav")
    empty = tmp_path / "empty.mp3"
    empty.touch()
    fails(empty, "empty.mp3", "0 bytes")
    text = tmp_path / "notes.wav"
    text.write_text("This is not a sound.\n" * 50)
    fails(text, "notes.wav", "not an audio file")
    fails(text, "notes.wav", "sample_rate", sample_rate=16_000)
    fails(pcm_wav(np.zeros((1, 0)), 16_000), "no audio samples")
    fails(object(), "object")
    fails(io.StringIO("text"), "text mode")
    closed = io.BytesIO(b"x")
    closed.close()
    fails(closed, "closed")
    with pytest.raises(AudioError, match="gone"):
        audio_duration(tmp_path / "gone.wav")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(clip: Path) -> None:
    clip.chmod(0)
    fails(clip, "permission denied")


def test_a_file_object_that_lies() -> None:
    class Liar(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return b"\0" * 1_000_000

    class Breaks(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise RuntimeError("disk on\nfire")

    fails(Liar(b"abc"), "returned 1000000 bytes")
    fails(Breaks(b"abc"), "disk on fire")


def test_a_playlist_opens_nothing_else(clip: Path) -> None:
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{clip.as_uri()}\n#EXT-X-ENDLIST\n"
    fails(hls.encode())
    fails(f"ffconcat version 1.0\nfile '{clip}'\n".encode())


def test_nan_in_a_float_file() -> None:
    samples = tone(3, 16_000)[0] / np.float32(32768)
    np.testing.assert_array_equal(load_audio(float_wav(samples, 16_000)).samples, samples)
    samples[40_000] = np.nan
    fails(float_wav(samples, 16_000), "NaN", "2.")


def test_absurd_rates_in_a_header() -> None:
    for rate in (1, 10_000_000):
        fails(pcm_wav(tone(0.001, 1_000_000), rate), f"{rate} Hz")


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "opus", "mkv", "aiff"])
def test_cut_short_keeps_what_decodes_and_says_so(name: str) -> None:
    container, codec, rate, _ = FORMATS[name]
    data = encode(tone(4, rate), rate, container, codec)
    audio = load_audio(data[: len(data) // 2])
    assert 1 < audio.duration_s < 3
    assert any("cut short" in warning for warning in audio.warnings)
    assert audio.flawed
    assert all("\n" not in warning for warning in audio.warnings)
    stream = stream_audio(data[: len(data) // 2])
    list(stream)
    assert tuple(stream.warnings) == audio.warnings


def test_damage_in_mid_file_is_skipped_and_reported() -> None:
    data = bytearray(encode(tone(4, 44_100), 44_100, "ipod", "aac"))
    middle = data.index(b"mdat") + 4_000
    data[middle : middle + 3_000] = np.random.default_rng(3).bytes(3_000)
    audio = load_audio(bytes(data))
    assert 1 < audio.duration_s <= 4.1
    assert any("damaged" in warning for warning in audio.warnings)
    assert audio.flawed
    part = load_audio(bytes(data), end=audio.duration_s - 0.2)
    assert any("damaged" in warning for warning in part.warnings)


def test_nothing_reaches_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    data = encode(tone(2, 44_100), 44_100, "mp3", "libmp3lame")
    capfd.readouterr()
    load_audio(data[:9_000] + b"\0" * 999 + data[12_000:-300])
    assert capfd.readouterr() == ("", "")


# --- URLs --------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    data = pcm_wav(tone(0.5, 16_000), 16_000)
    long = pcm_wav(tone(4, 16_000), 16_000)

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/a%20b.wav")
            self.end_headers()
        elif path == "/escape":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
        elif path == "/slow":
            time.sleep(1)
        elif path == "/drip":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(40):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                pass
        elif path == "/steady":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                for begin in range(0, len(self.long), 8192):
                    self.wfile.write(self.long[begin : begin + 8192])
                    time.sleep(0.03)
        elif path in ("/a%20b.wav", "/unsized", "/broken"):
            self.send_response(200)
            if path != "/unsized":
                self.send_header("Content-Length", str(len(self.data)))
            self.end_headers()
            self.wfile.write(self.data[: 9_000 if path == "/broken" else None])
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with serving(Handler) as place:
        yield f"http://{place}"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def test_urls(host: str) -> None:
    expected = load_audio(Handler.data).samples
    for path in ("/a b.wav", "/a%20b.wav?token=secret", "/moved", "/unsized"):
        audio = load_audio(host + path)
        np.testing.assert_array_equal(audio.samples, expected)
        assert audio.warnings == ()
    secret = host.replace("//", "//me:word@") + "/gone.wav?token=secret"
    message = fails(secret, "/gone.wav", "404 Not Found")
    assert "secret" not in message
    assert "word" not in message
    fails(host + "/escape", "/escape")


def test_url_limits(host: str) -> None:
    small, quick = FetchLimits(max_bytes=1_000), FetchLimits(timeout_s=0.3)
    fails(host + "/a%20b.wav", "limit of 1000 bytes; download", limits=small)
    fails(host + "/unsized", "limit of 1000 bytes", limits=small)
    for path in ("/slow", "/drip"):
        started = time.monotonic()
        fails(host + path, path, "0.3 s", "pass its path", limits=quick)
        assert time.monotonic() - started < 0.9
    assert load_audio(host + "/steady", limits=quick).duration_s == 4  # longer than 0.3 s
    place = host.removeprefix("http://")
    with pytest.raises(AudioError, match=r"longer than the limit of 0\.3 s$"):  # a stranger's
        fetch(host + "/steady", "clip", quick, AllowedHosts.of([place]))


def test_a_broken_download_keeps_what_came(host: str) -> None:
    audio = load_audio(host + "/broken")
    assert 0.2 < audio.duration_s < 0.3
    assert "9000" in audio.warnings[0]
    assert audio.flawed


def test_hosts_that_are_not_there() -> None:
    fails("http://127.0.0.1:1/a.wav", "127.0.0.1:1/a.wav", "cannot be reached", "network")
    fails("http://[::1/a.wav", "http://")
    fails("http:///a.wav", "a.wav")
    fails("http://127.0.0.1:99999999/a.wav", "a.wav")
    fails("data:audio/wav;base64", "comma")
    fails("data:audio/wav;base64,@@@", "base64")
    fails("data:audio/wav,", "empty")


def test_seek_threshold_is_inside_the_parts_tested() -> None:
    assert 3 < audio_resample.SEEK_FROM_S < 30

"""A recording is heard on its container's clock, as a player plays it, and a part is its slice."""

from __future__ import annotations

import io
import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.recordings import audio_duration, load_audio, stream_audio
from moss_audio.recordings.clock import Clock, Stamped
from moss_audio.units import SAMPLE_RATE

from .test_audio import encode, pcm_wav, tone

RATE = 48_000
# name: (container, codec, picture): those whose stamps are not counted from the samples
STAMPED = {
    "mkv": ("matroska", "libopus", "mpeg4"),
    "mka": ("matroska", "flac", "mpeg4"),
    "webm": ("webm", "libopus", "libvpx"),
    "mp4": ("mp4", "aac", "mpeg4"),
    "mov": ("mov", "aac", "mpeg4"),
    "ts": ("mpegts", "aac", "mpeg2video"),
    "flv": ("flv", "aac", "flv"),
}
OGG = {"ogg": ("ogg", "libopus", ""), "oga": ("ogg", "flac", "")}


def ticks(seconds: float, at: list[float], rate: int = RATE) -> np.ndarray:
    """[1, n] int16: silence with a tick of 50 ms at each time."""
    samples = np.zeros(round(seconds * rate), np.int16)
    for i, second in enumerate(at):
        n = round(0.05 * rate)
        tick = 12_000 * np.sin(2 * np.pi * (300 + 40 * i) * np.arange(n) / rate)
        samples[round(second * rate) :][:n] = tick.astype(np.int16)
    return samples[None]


def heard_at(samples: np.ndarray) -> list[float]:
    """The times at which ticks begin, to 5 ms."""
    loud = np.abs(samples[: len(samples) // 80 * 80]).reshape(-1, 80).max(axis=1) > 0.1
    begins = np.flatnonzero(loud[1:] & ~loud[:-1]) + 1
    times = [float(i) * 80 / SAMPLE_RATE for i in begins]
    return [t for i, t in enumerate(times) if i == 0 or t - times[i - 1] > 0.1]


def mux(
    samples: np.ndarray,
    container: str,
    codec: str,
    stamp: Callable[[float], float | None] = lambda second: second,
    picture: str = "",
    picture_s: float = 0.0,
) -> bytes:
    """A file whose sound of each second gets the stamp that ``stamp`` gives (None: left out)."""
    rate = 44_100 if container == "flv" else RATE
    if rate != RATE:
        samples = samples[:, (np.arange(samples.shape[1] * rate // RATE) * RATE / rate).astype(int)]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        if picture_s:
            video: Any = out.add_stream(picture, rate=25)
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        stream: Any = out.add_stream(codec, rate=rate, layout="mono")
        packets = []
        if picture_s:
            for i in range(round(picture_s * 25)):
                grey = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), "rgb24")
                grey.pts = i
                packets += video.encode(grey)
            packets += video.encode(None)
        for first in range(0, samples.shape[1], 4096):
            part = np.ascontiguousarray(samples[:, first : first + 4096])
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, first
            packets += stream.encode(frame)
        for packet in sorted(packets + stream.encode(None), key=lambda p: p.dts * p.time_base):
            if packet.stream is stream:
                second = float(packet.dts * packet.time_base)
                moved = stamp(second)
                if moved is None:
                    continue
                packet.pts = packet.dts = packet.dts + round((moved - second) / packet.time_base)
            out.mux(packet)
    return buffer.getvalue()


@pytest.mark.parametrize("name", STAMPED)
def test_sound_that_starts_late_has_silence_before_it(name: str) -> None:
    """A film whose sound begins 4.9 s after its picture: players show a tick of 1 s at 5.9 s."""
    container, codec, picture = STAMPED[name]
    data = mux(ticks(4, [1, 3]), container, codec, lambda s: s + 4.9, picture=picture, picture_s=10)
    samples = load_audio(data).samples
    assert heard_at(samples) == pytest.approx([5.9, 7.9], abs=0.07)  # with the codec's priming
    assert not samples[: round(4.8 * SAMPLE_RATE)].any()
    part = load_audio(data, start=5, end=7)
    np.testing.assert_array_equal(part.samples, samples[5 * SAMPLE_RATE : 7 * SAMPLE_RATE])


def test_a_file_of_sound_alone_begins_with_its_first_sample() -> None:
    data = mux(ticks(4, [1, 3]), "matroska", "flac", stamp=lambda s: s + 4.9)
    assert heard_at(load_audio(data).samples) == pytest.approx([1, 3], abs=0.01)


@pytest.mark.parametrize("name", [*STAMPED, *OGG])
def test_a_gap_in_time_stamps_is_silence(name: str) -> None:
    """Packets of 10 s are missing: later times stay right, wherever the reading begins, and
    nothing is cut short."""
    at = [1.5 + 3 * i for i in range(20)]
    container, codec, _ = {**STAMPED, **OGG}[name]
    data = mux(ticks(60, at), container, codec, stamp=lambda s: None if 5 < s < 15 else s)
    whole = load_audio(data)
    expected = [second for second in at if not 5 < second < 15]
    assert heard_at(whole.samples) == pytest.approx(expected, abs=0.07)
    assert whole.duration_s == pytest.approx(60, abs=0.1)
    assert whole.warnings == ()
    assert not whole.flawed
    for start in (4.0, 21.0, 22.1, 40.2):
        part = load_audio(data, start=start, end=start + 6)
        there = [t - start for t in heard_at(whole.samples) if start < t < start + 6]
        assert heard_at(part.samples) == pytest.approx(there, abs=0.0051)
        assert len(part.samples) == 6 * SAMPLE_RATE


def test_a_part_inside_a_gap_is_silent() -> None:
    data = mux(ticks(60, [1]), "matroska", "flac", stamp=lambda s: None if 10 < s < 50 else s)
    part = load_audio(data, start=30, end=40)
    assert len(part.samples) == 10 * SAMPLE_RATE
    assert not part.samples.any()


@pytest.mark.parametrize("container", ["mpegts", "ogg", "webm"])
def test_a_clock_that_starts_again_is_followed(container: str) -> None:
    """Recordings joined byte by byte: all is heard, no hours of silence, and parts fit."""
    codec = "aac" if container == "mpegts" else "libopus"
    far = 30_000.0 if container == "mpegts" else 0.0
    first = mux(ticks(30, [5, 25]), container, codec)
    second = mux(ticks(30, [5, 25]), container, codec, lambda s: s + far)
    whole = load_audio(first + second)
    assert heard_at(whole.samples) == pytest.approx([5, 25, 35, 55], abs=0.1)
    assert whole.duration_s == pytest.approx(60, abs=0.2)
    assert len(whole.warnings) == 1
    assert "its clock starts again at 30." in whole.warnings[0]
    if container != "webm":  # nothing in a WebM tells of its second half before it is read
        part = load_audio(first + second, start=33, end=37)
        expected = whole.samples[33 * SAMPLE_RATE : 37 * SAMPLE_RATE]
        np.testing.assert_array_equal(part.samples, expected)


def test_stamps_of_bare_streams_are_not_believed() -> None:
    """AC-3 at 44.1 kHz: FFmpeg counts its frames in rounded steps, 10 ms a minute off."""
    rng = np.random.default_rng(3)
    noise = (rng.uniform(-9_000, 9_000, 70 * 44_100)).astype(np.int16)[None]
    data = encode(noise, 44_100, "ac3", "ac3")
    whole, part = load_audio(data).samples, load_audio(data, start=60, end=62).samples
    np.testing.assert_array_equal(part, whole[60 * SAMPLE_RATE : 62 * SAMPLE_RATE])


def test_a_long_gap_takes_no_memory() -> None:
    peaks = []
    for hours in (0.1, 0.9):
        data = mux(
            ticks(4, [1, 3]), "matroska", "flac",
            stamp=lambda s, hours=hours: s if s < 2 else s + 3600 * hours,
        )  # fmt: skip
        tracemalloc.start()
        total = sum(len(block) for block in stream_audio(data, block_s=10))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert total / SAMPLE_RATE == pytest.approx(4 + 3600 * hours, abs=0.1)
    assert peaks[1] < 1.2 * peaks[0] + 100_000


def test_a_stated_length_is_no_proof_that_something_is_cut() -> None:
    """A film that goes on after its sound, and one whose header was never finished."""
    film = mux(ticks(4, [1]), "matroska", "libopus", picture="mpeg4", picture_s=10)
    assert load_audio(film).warnings == ()
    assert audio_duration(film) == pytest.approx(10, abs=0.1)


def test_lengths_that_ffmpeg_would_guess_are_counted() -> None:
    """Loud first, then silence: a guess from the first bit rate is wrong by half."""
    samples = np.concatenate([tone(10, 44_100), np.zeros((1, 50 * 44_100), np.int16)], axis=1)
    for container, codec in (("adts", "aac"), ("mp3", "libmp3lame")):
        data = encode(samples, 44_100, container, codec)
        if container == "mp3":  # without the frame that states the number of frames
            data = data.replace(b"Info", b"\0\0\0\0").replace(b"Xing", b"\0\0\0\0")
        assert audio_duration(data) == pytest.approx(60, abs=0.2)


def test_half_an_rf64_is_cut_short() -> None:
    wav = pcm_wav(tone(4, 16_000), 16_000)
    size = len(wav) - 44
    sizes = (size + 72).to_bytes(8, "little") + size.to_bytes(8, "little") + bytes(12)
    ds64 = b"ds64" + len(sizes).to_bytes(4, "little") + sizes
    none = b"\xff" * 4
    data = b"RF64" + none + b"WAVE" + ds64 + wav[12:40] + none + wav[44:]
    assert load_audio(data).warnings == ()
    audio = load_audio(data[: len(data) // 2])
    assert audio.duration_s == pytest.approx(2, abs=0.01)
    assert "cut short" in audio.warnings[0]


# --- the clock alone ---------------------------------------------------------------------------


def sounds(stamps: list[float | None], rate: int = 1_000, n: int = 20) -> Iterator[Stamped]:
    for i, second in enumerate(stamps):
        yield Stamped(rate, np.full((1, n), i + 1, np.float32), second)


def placed(stamps: list[float | None], zero_s: float | None = 0.0) -> tuple[np.ndarray, Clock]:
    clock = Clock(zero_s, max_gap_s=60.0)
    chunks = list(clock.place(sounds(stamps)))
    for before, after in itertools.pairwise(chunks):
        assert after.first == before.first + before.samples.shape[1]
    return np.concatenate([chunk.samples[0] for chunk in chunks]), clock


@given(
    jitter=st.lists(st.floats(-0.04, 0.04), min_size=50, max_size=50),
    gap_s=st.floats(0.2, 50),
    at=st.integers(1, 48),
)
@settings(max_examples=100)
def test_jitter_moves_nothing_and_a_gap_is_filled_once(
    jitter: list[float], gap_s: float, at: int
) -> None:
    steady, _ = placed([0.02 * i + j for i, j in enumerate(jitter)])
    np.testing.assert_array_equal(steady, np.repeat(np.arange(1, 51), 20))
    gapped, clock = placed([0.02 * i + (gap_s if i >= at else 0.0) for i in range(50)])
    silence = np.flatnonzero(gapped == 0)
    assert len(silence) == round(1_000 * gap_s)
    assert silence[0] == 20 * at
    assert clock.restarts == []


def test_a_broken_stamp_moves_nothing() -> None:
    stamps: list[float | None] = [0.02 * i for i in range(20)]
    stamps[7], stamps[12] = 31.0, None
    samples, clock = placed(stamps)
    np.testing.assert_array_equal(samples, np.repeat(np.arange(1, 21), 20))
    assert clock.restarts == []


def test_packets_stamped_as_they_came_in_bursts_move_nothing() -> None:
    samples, _ = placed([0.3 * (i // 15) for i in range(60)])
    np.testing.assert_array_equal(samples, np.repeat(np.arange(1, 61), 20))


def test_what_comes_twice_is_heard_once() -> None:
    stamps = [*(0.02 * i for i in range(20)), *(0.02 * i for i in range(10, 30))]
    samples, clock = placed(stamps)
    assert len(samples) == 600
    np.testing.assert_array_equal(samples[400:], np.repeat(np.arange(31, 41), 20))
    assert clock.restarts == []


@pytest.mark.parametrize("far_s", [-7.0, 100.0, 90_000.0])
def test_a_jump_is_a_restart(far_s: float) -> None:
    stamps = [8 + 0.02 * i for i in range(20)] + [8 + far_s + 0.02 * i for i in range(20)]
    samples, clock = placed(stamps, zero_s=8.0)
    np.testing.assert_array_equal(samples, np.repeat(np.arange(1, 41), 20))
    assert clock.restarts == [pytest.approx(0.4)]


def test_places_do_not_drift_where_the_rate_changes() -> None:
    clock = Clock(0.0, max_gap_s=60.0)
    mixed = [*sounds([0.02 * i for i in range(10)])]
    mixed += [
        Stamped(r, np.ones((1, r // 50), np.float32), 0.2 + 0.02 * i)
        for i, r in enumerate([8_000, 44_100] * 50)
    ]
    chunks = list(clock.place(mixed))
    assert chunks[-1].first / chunks[-1].rate == pytest.approx(0.2 + 0.02 * 99, abs=1e-3)


def test_avi_has_no_stamps_to_move_its_sound() -> None:
    """FFmpeg counts AVI's up in rounded steps: at 16 kHz AAC they claim gaps that are none, which
    once tore speech apart and made later times late."""
    at = [float(i) + 0.5 for i in range(40)]
    data = encode(ticks(40.5, at, 16_000), 16_000, "avi", "aac", video=True)
    heard = load_audio(data)
    assert heard.duration_s == pytest.approx(40.5, abs=0.2)
    assert heard_at(heard.samples) == pytest.approx(at, abs=0.1)

"""Kinds of input that were lost, misread or read twice: interrupts, pipes, tensors, tracks."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from moss_audio.errors import AudioError
from moss_audio.recordings import FetchLimits, audio_duration, describe_source, load_audio
from moss_audio.recordings.reader import ByteReader, CallbackReader
from moss_audio.recordings.sources import Pipe, rereadable

from .test_audio import FORMATS, encode, fails, pcm_wav, tone


class Interrupted(BaseException):
    """What a signal handler raises, as Ctrl-C does."""


def interrupt(*_: object) -> None:
    raise Interrupted


class Interrupting(io.BytesIO):
    """A file during whose n-th read or seek Ctrl-C is pressed."""

    def __init__(self, data: bytes, n: int) -> None:
        super().__init__(data)
        self.left = n

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def read(self, size: int | None = -1) -> bytes:
        self.count()
        return super().read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        self.count()
        return super().seek(offset, whence)


@pytest.mark.parametrize("name", ["wav", "flac", "m4a", "opus", "webm"])
def test_an_interrupt_while_reading_is_never_lost(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It became a note of damage, and the reading went on."""
    container, codec, rate, _ = FORMATS[name]
    data = encode(tone(22, rate), rate, container, codec)
    capfd.readouterr()
    counter = Interrupting(data, 0)
    load_audio(counter, start=21)
    assert -counter.left > 10
    for n in range(1, -counter.left):
        with pytest.raises(KeyboardInterrupt):
            load_audio(Interrupting(data, n), start=21)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_a_time_limit_by_a_signal_holds(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Signals are handled when C calls Python back, before any ``try`` of the function called."""
    path = tmp_path / "a.wav"
    path.write_bytes(pcm_wav(np.zeros((1, 3_000_000), np.int16), 48_000))
    load_audio(path)
    capfd.readouterr()
    sent = caught = 0

    def limit(number: int, frame: object) -> None:
        nonlocal sent
        sent += 1
        interrupt(number, frame)

    before = signal.signal(signal.SIGALRM, limit)
    try:
        for i in range(60):
            try:
                # Comes again: PyAV itself loses a signal at the very end of a file now and then.
                signal.setitimer(signal.ITIMER_REAL, 0.0005 * (1 + i % 10), 0.5)
                while True:  # until the limit, wherever it falls
                    assert load_audio(path).warnings == ()
            except Interrupted:
                signal.setitimer(signal.ITIMER_REAL, 0)
                caught += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert caught == 60
    assert sent - caught <= 3
    assert "pyio" not in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="raise() of the C library")
def test_a_signal_that_waits_when_c_calls_back_is_kept() -> None:
    """Deterministic: the signal comes in C, and the callback is the next Python that runs."""
    import ctypes
    import functools
    import operator

    before = signal.signal(signal.SIGUSR1, interrupt)
    send = functools.partial(ctypes.CDLL(None)["raise"], int(signal.SIGUSR1))
    try:
        calls = CallbackReader(ByteReader(io.BytesIO(b"abc"), "x"))
        both = map(operator.call, [send, functools.partial(calls.read, 2)])
        with pytest.raises(Interrupted), calls:
            data = [*both]
        assert data == [0, b""]  # what C gets; the exception comes when its call has ended
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_failing_file_is_an_error_and_no_damage() -> None:
    class Breaks(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 300_000:
                raise OSError("the disk is gone")
            return super().read(size)

    fails(Breaks(pcm_wav(np.zeros((1, 900_000), np.int16), 16_000)), "the disk is gone")


# --- pipes ---------------------------------------------------------------------------------------


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "f.wav"
    os.mkfifo(path)
    return path


def test_a_length_is_not_asked_of_what_reading_uses_up(fifo: Path) -> None:
    started = time.monotonic()
    assert audio_duration(fifo) is None  # nobody writes: it would wait for ever
    assert time.monotonic() - started < 1
    read_end, write_end = os.pipe()
    os.close(write_end)
    with os.fdopen(read_end, "rb") as handle:
        assert audio_duration(handle) is None


def test_a_pipe_can_be_kept_for_reading_again(fifo: Path) -> None:
    data = pcm_wav(tone(1, 16_000), 16_000)
    writer = threading.Thread(target=fifo.write_bytes, args=(data,))
    writer.start()
    kept = rereadable(str(fifo))
    assert describe_source(kept) == str(fifo)
    for _ in range(2):
        np.testing.assert_array_equal(load_audio(kept).samples, load_audio(data).samples)
    writer.join()
    small = Pipe(SimpleNamespace(read=io.BytesIO(data).read), FetchLimits(max_bytes=100))
    fails(small, "limit of 100 bytes")
    for x in ("/no/such/file.wav", io.BytesIO(data)):
        assert rereadable(x) is x


def test_messages_name_a_path_once() -> None:
    message = fails("/dev/null", "not a regular file")
    assert message.count("/dev/null") == 1


# --- arrays of other libraries -------------------------------------------------------------------


def test_tensors_are_arrays() -> None:
    """What torchaudio.load returns, and other kinds of tensors."""
    torch = pytest.importorskip("torch")
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 20_000)).astype(np.float32)
    expected = load_audio((samples, 16_000)).samples
    tensor = torch.from_numpy(samples)
    for x in (tensor, tensor.clone().requires_grad_(), tensor.double()):
        np.testing.assert_allclose(load_audio((x, 16_000)).samples, expected, atol=1e-7)
    np.testing.assert_array_equal(load_audio(tensor, sample_rate=16_000).samples, expected)
    assert audio_duration((tensor, 16_000)) == 20_000 / 16_000
    assert describe_source((tensor, 16_000)) == "<array [2, 20000] torch.float32>"
    fails(tensor, "needs its rate")
    fails((tensor.to("meta"), 16_000), "meta", "x.cpu()")
    fails((tensor.bfloat16(), 16_000), "cannot be read as an array")


def test_a_row_of_a_data_set_and_a_matrix() -> None:
    samples = np.linspace(-0.5, 0.5, 20_000)
    expected = load_audio((samples, 8_000)).samples
    row = {"path": None, "array": samples, "sampling_rate": 8_000}
    np.testing.assert_array_equal(load_audio(row).samples, expected)  # type: ignore[arg-type]
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(samples)
    np.testing.assert_array_equal(load_audio((matrix, 8_000)).samples, expected)
    fails({"array": samples}, "dict")


@pytest.mark.parametrize("value", ["1", [0, 1], True, b"1", object()])
def test_times_that_are_no_numbers(value: Any) -> None:
    x = (np.zeros(32_000), 16_000)
    fails(x, "start", "number of seconds", start=value)
    fails(x, "end", "number of seconds", end=value)
    assert load_audio(x, start=np.float32(0.5), end=np.int64(1)).duration_s == 0.5


# --- tracks --------------------------------------------------------------------------------------


def two_tracks() -> bytes:
    """A screen recording: silence from the desktop, then the microphone."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        streams: list[Any] = [out.add_stream("flac", rate=16_000, layout="mono") for _ in range(2)]
        for stream, samples in zip(streams, (0 * tone(2, 16_000), tone(2, 16_000)), strict=True):
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 0
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return buffer.getvalue()


def test_a_track_can_be_chosen_and_the_choice_is_told() -> None:
    data = two_tracks()
    heard = load_audio(data)
    assert not heard.samples.any()
    assert "has 2 audio tracks, track 1 was heard" in heard.warnings[0]
    second = load_audio(data, track=2)
    np.testing.assert_array_equal(second.samples, tone(2, 16_000)[0] / np.float32(32768))
    assert second.warnings == ()
    assert load_audio(data, track=1).warnings == ()
    fails(data, "has 2 audio tracks, no track 3", track=3)
    fails(pcm_wav(tone(1, 8_000), 8_000), "has 1 audio track, no track 2", track=2)
    for bad in (0, -1, "1", 1.5, True):
        fails(data, "track", "from 1 on", track=bad)
    with pytest.raises(AudioError, match="track"):
        load_audio((np.zeros(9_000), 16_000), track=2)

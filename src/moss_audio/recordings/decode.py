"""Encoded media -> mono float32 chunks at their own rate, by PyAV (FFmpeg).

Private to the audio loader. Broken input gives what can be decoded and a warning, or one
``AudioError``; it never loops and never makes FFmpeg open anything else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

from moss_audio.errors import AudioError
from moss_audio.recordings.resample import CHUNK_S, SEEK_FROM_S, Chunk, check_rate, downmix
from moss_audio.recordings.sources import ByteReader, one_line

# Bounds on broken input. A hole of 1000 packets is about 25 s of mp3 or 20 s of Opus.
MAX_BAD_PACKETS_IN_A_ROW = 1_000
MAX_SILENT_PACKETS_IN_A_ROW = 20_000
MAX_DEMUX_ERRORS_IN_A_ROW = 16

SHORT_BY_S = 0.25  # shorter than declared by this much and by a thousandth: cut short

# Containers whose header states a duration, rather than FFmpeg guessing one from the bit rate.
_STATES_DURATION = {"flac", "mov", "matroska", "aiff", "caf", "w64", "asf", "tta", "wv", "ape"}


class MediaSource:
    """The best audio stream of a media file, decoded by FFmpeg.

    Raises ``AudioError`` from the constructor when the content is not media, has no audio
    stream, or its codec or sample rate cannot be used.
    """

    def __init__(self, reader: ByteReader, name: str) -> None:
        self.name = name
        self.warnings: list[str] = []
        self._reader = reader
        self._wav_missing_s = _wav_missing_s(reader)
        self._ogg_unended = _ogg_is_unended(reader)
        self._mp3_has_count = _mp3_has_frame_count(reader)
        self._container: Any = None
        self._open()

    def _open(self) -> None:
        self._release()
        self._bad_packets = 0
        self._first_bad_s = 0.0
        self._stopped = False
        self._reader.seek(0)
        try:
            # No protocol is allowed: a playlist must not make FFmpeg open other files or hosts.
            self._container = av.open(
                self._reader, options={"protocol_whitelist": ""}, metadata_errors="replace"
            )
            stream: Any = self._container.streams.best("audio")
        except AudioError:
            raise
        except (av.FFmpegError, OSError, IndexError, ValueError, RuntimeError) as error:
            raise AudioError(
                f"{self.name} is not an audio file that can be read ({one_line(error)})"
            ) from error
        if stream is None:
            kinds = sorted({s.type or "unknown" for s in self._container.streams})
            what = f"only {', '.join(kinds)}" if kinds else "no stream at all"
            raise AudioError(f"{self.name} has no audio stream ({what})")
        context = stream.codec_context
        if context is None:
            raise AudioError(f"{self.name}: its audio codec is not supported")
        if context.sample_rate:  # 0 when only decoding will tell
            check_rate(context.sample_rate, self.name)
        context.thread_count = 1  # audio decoders gain nothing from threads
        self._stream = stream

    def _release(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def close(self) -> None:
        """Let go of the file; ``warnings`` is complete afterwards."""
        if self._container is not None:
            self._report_damage()
        self._release()

    @property
    def sample_rate(self) -> int:
        """What the header says, in Hz; 0 when only decoding would tell."""
        return int(self._stream.codec_context.sample_rate or 0)

    @property
    def channels(self) -> int:
        """What the header says; 0 when only decoding would tell."""
        return int(self._stream.codec_context.channels or 0)

    def duration_s(self) -> float | None:
        """What the container says, in seconds; may be an estimate; None when it says nothing."""
        stream, container = self._stream, self._container
        seconds = 0.0
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            seconds = container.duration / av.time_base
        return seconds if seconds > 0 else None

    def cut_short(self, decoded_s: float) -> str | None:
        if self._ogg_unended:
            return "its end-of-stream mark is missing"
        missing_s = self._missing_s(decoded_s)
        return None if missing_s is None else f"its header declares {missing_s:.2f} s more"

    def _missing_s(self, decoded_s: float) -> float | None:
        if self._wav_missing_s is not None:
            return self._wav_missing_s
        names = set(self._container.format.name.split(","))
        if not (names & _STATES_DURATION or ("mp3" in names and self._mp3_has_count)):
            return None
        if not self._stream.duration and len(self._container.streams) > 1:
            return None  # the longest stream's duration; audio may rightly end before the picture
        declared_s = self.duration_s()
        if declared_s is None:
            return None
        missing_s = declared_s - decoded_s
        return missing_s if missing_s > max(SHORT_BY_S, declared_s / 1000) else None

    def chunks(self, from_s: float) -> Iterator[Chunk]:
        sought = self._seek(from_s) if from_s > SEEK_FROM_S else None
        position, frames = sought or (0, self._frames())
        waiting: list[np.ndarray] = []
        n_waiting = rate = 0
        for frame in frames:
            if frame.sample_rate != rate or n_waiting >= CHUNK_S * rate:
                if n_waiting:
                    yield Chunk(rate, position, np.concatenate(waiting))
                position += n_waiting
                waiting, n_waiting = [], 0
                rate = check_rate(frame.sample_rate, self.name)
            waiting.append(self._mono(frame))
            n_waiting += len(waiting[-1])
        if n_waiting:
            yield Chunk(rate, position, np.concatenate(waiting))

    def _report_damage(self) -> None:
        if self._bad_packets:
            what = "packet was" if self._bad_packets == 1 else "packets were"
            self.warnings.append(
                f"{self.name} is damaged: {self._bad_packets} {what} skipped, the first near "
                f"{self._first_bad_s:.2f} s; later times may be early by what is lost"
            )
        if self._stopped:
            self.warnings.append(f"{self.name}: reading stopped at damage that does not end")

    def _frames(self, decoded_s: float = 0.0) -> Iterator[Any]:
        """Decoded frames in order, skipping what is damaged, never without end. They begin at
        about ``decoded_s``, which only dates damage."""
        bad = silent = demux_errors = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    try:
                        frames = packet.decode()
                    except EOFError:
                        frames = []
                    except (av.FFmpegError, ValueError, RuntimeError):
                        self._note_damage(decoded_s)
                        bad += 1
                        if bad >= MAX_BAD_PACKETS_IN_A_ROW:
                            self._stopped = True
                            return
                        continue
                    for frame in frames:
                        if frame.samples and frame.sample_rate:
                            decoded_s += frame.samples / frame.sample_rate
                            bad = silent = demux_errors = 0
                            yield frame
                    silent += 1
                    if silent >= MAX_SILENT_PACKETS_IN_A_ROW:
                        self._stopped = True
                        return
                return
            except AudioError:
                raise
            # IndexError: PyAV meets a packet of a stream that appeared only in mid-file.
            except (av.FFmpegError, OSError, IndexError, ValueError, RuntimeError):
                self._note_damage(decoded_s)
                demux_errors += 1
                if demux_errors >= MAX_DEMUX_ERRORS_IN_A_ROW:
                    self._stopped = True
                    return

    def _note_damage(self, at_s: float) -> None:
        self._bad_packets += 1
        if self._bad_packets == 1:
            self._first_bad_s = at_s

    def _seek(self, from_s: float) -> tuple[int, Iterator[Any]] | None:
        """Jump to at most ``from_s``: the index of the first sample given and the frames from
        it. None (and back at the start) if the container cannot seek or tell where it landed."""
        try:
            first = next(self._frames(), None)
            if first is not None and first.pts is not None and first.time_base:
                origin = first.pts * first.time_base
                target = int((origin + Fraction(from_s)) / self._stream.time_base)
                self._container.seek(target, stream=self._stream, backward=True)
                frames = self._frames(from_s)
                frame = next(frames, None)
                if frame is not None and frame.pts is not None and frame.time_base:
                    offset_s = frame.pts * frame.time_base - origin
                    index = round(offset_s * frame.sample_rate)
                    same_rate = frame.sample_rate == first.sample_rate
                    if same_rate and 0 <= index <= from_s * frame.sample_rate:
                        # Packets that lean on ones before the landing point fail: not damage.
                        self._bad_packets = 0
                        return index, itertools.chain([frame], frames)
        except AudioError:
            raise
        except (av.FFmpegError, OSError, OverflowError, ValueError, RuntimeError):
            pass
        self._open()
        return None

    def _mono(self, frame: Any) -> np.ndarray:
        try:
            if frame.format.name.startswith("s64"):  # the one format without an array form
                resampler = av.AudioResampler(format="dblp")
                frame = resampler.resample(frame)[0]
            samples = frame.to_ndarray()
        except (av.FFmpegError, ValueError, KeyError, TypeError, IndexError) as error:
            raise AudioError(f"{self.name}: samples cannot be read: {one_line(error)}") from error
        if not frame.format.is_planar:
            samples = samples.reshape(-1, frame.layout.nb_channels).T
        return downmix(samples)


def _wav_missing_s(reader: ByteReader) -> float | None:
    """Seconds that a RIFF WAV's header declares but the file lacks (FFmpeg keeps silent about
    it). None when complete, when the size is a streaming placeholder, or when it is no WAV."""
    size = reader.size()
    head = reader.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    bytes_per_s = 0
    for _ in range(64):
        tag = reader.read(8)
        if len(tag) < 8:
            return None
        length = int.from_bytes(tag[4:], "little")
        if tag[:4] == b"data":
            missing = length - (size - reader.tell())
            if not bytes_per_s or missing <= 0 or length >= 0x7FFF0000:
                return None
            return missing / bytes_per_s
        after = reader.tell() + length + length % 2
        if tag[:4] == b"fmt ":
            bytes_per_s = int.from_bytes(reader.read(12)[8:12], "little")
        reader.seek(after)
    return None


def _mp3_has_frame_count(reader: ByteReader) -> bool:
    """Whether a Xing/Info/VBRI header gives the number of frames; otherwise FFmpeg's duration
    is a guess from the first bit rate, wrong for variable ones."""
    reader.seek(0)
    head = reader.read(10)
    if head[:3] == b"ID3" and len(head) == 10:  # four 7-bit bytes of size, which may hold a cover
        tag_bytes = sum((head[9 - i] & 0x7F) << (7 * i) for i in range(4))
        reader.seek(10 + tag_bytes)
        head = b""
    head += reader.read(2_048)
    return any(mark in head for mark in (b"Xing", b"Info", b"VBRI"))


def _ogg_is_unended(reader: ByteReader) -> bool:
    """Whether this is Ogg whose last page lacks the end-of-stream mark, or is itself partial."""
    size = reader.size()
    if reader.read(4) != b"OggS":
        return False
    reader.seek(max(0, size - 65_536))  # a page is shorter than this
    tail = reader.read(65_536)
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return True
    lengths = tail[page + 27 : page + 27 + tail[page + 26]]
    return not tail[page + 5] & 4 or len(tail) < page + 27 + tail[page + 26] + sum(lengths)

"""Encoded media -> chunks of samples at their own rate, by PyAV (FFmpeg).

Private to the audio loader. Broken input gives what can be decoded and a warning, or one
``AudioError``; it never loops and never makes FFmpeg open anything else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import av

from moss_audio.errors import AudioError
from moss_audio.recordings.clock import MAX_GAP_S, MAX_JUMP_S, Clock, Stamped
from moss_audio.recordings.container import ContainerHeader
from moss_audio.recordings.mix import Chunk
from moss_audio.recordings.names import one_line
from moss_audio.recordings.proof import FileProof
from moss_audio.recordings.reader import ByteReader, CallbackReader
from moss_audio.recordings.resample import SEEK_FROM_S, check_rate

# Bounds on broken input. A hole of 1000 packets is about 25 s of mp3 or 20 s of Opus.
MAX_BAD_PACKETS_IN_A_ROW = 1_000
MAX_SILENT_PACKETS_IN_A_ROW = 20_000
MAX_DEMUX_ERRORS_IN_A_ROW = 16

# What PyAV raises for broken media. Not OSError: what a caller's signal handler raises (a
# TimeoutError) passes through, and failures to read come from ``CallbackReader``.
_BROKEN = (av.FFmpegError, IndexError, ValueError, RuntimeError)


class MediaSource:
    """An audio track of a media file, decoded by FFmpeg, on its container's clock.

    ``track`` counts the audio tracks from 1; None takes the one that FFmpeg holds for the main
    one, with a warning if there are others. Raises ``AudioError`` from the constructor when the
    content is not media, has no such audio track, or its codec or sample rate cannot be used.
    """

    _container: Any = None

    def __init__(self, reader: ByteReader, name: str, track: int | None = None) -> None:
        self.name = name
        self.warnings: list[str] = []
        self.flawed = False
        self._reader = reader
        self._track = track
        self._proof = FileProof.of(reader)
        self._clock: Clock | None = None
        self._open()
        if track is None:
            self._note_tracks(self._container.streams.audio)

    def _note_tracks(self, tracks: Any) -> None:
        if len(tracks) > 1:
            self.warnings.append(
                f"{self.name} has {len(tracks)} audio tracks, track "
                f"{tracks.index(self._stream) + 1} was heard; --track (in Python track=) chooses "
                "another"
            )

    def _open(self) -> None:
        self._release()
        self._bad_packets = 0
        self._first_bad_s = 0.0
        self._stopped = False
        self._reader.seek(0)
        self._calls = CallbackReader(self._reader)
        try:
            with self._calls:
                # No protocol is allowed: a playlist must not make FFmpeg open files or hosts.
                self._container = av.open(
                    self._calls,  # type: ignore[arg-type]
                    options={"protocol_whitelist": ""},
                    metadata_errors="replace",
                )
                self._stream = self._chosen()
        except AudioError:
            raise
        except _BROKEN as error:
            raise AudioError(
                f"{self.name} is not an audio file that can be read ({one_line(error)})"
            ) from error
        context = self._stream.codec_context
        if context is None:
            raise AudioError(f"{self.name}: its audio codec is not supported")
        if context.sample_rate:  # 0 when only decoding will tell
            check_rate(context.sample_rate, self.name)
        context.thread_count = 1  # audio decoders gain nothing from threads
        self._header = ContainerHeader(self._container, self._stream, self._proof)

    def _chosen(self) -> Any:
        streams = self._container.streams
        n = len(streams.audio)
        stream = streams.best("audio")
        if stream is None:
            kinds = sorted({s.type or "unknown" for s in streams})
            what = f"only {', '.join(kinds)}" if kinds else "no stream at all"
            raise AudioError(f"{self.name} has no audio stream ({what})")
        if self._track is None:
            return stream
        if self._track > n:
            what = "1 audio track" if n == 1 else f"{n} audio tracks"
            raise AudioError(f"{self.name} has {what}, no track {self._track}")
        return streams.audio[self._track - 1]

    def _release(self) -> None:
        if self._container is not None:
            with self._calls:
                self._container.close()
            self._container = None
            self._calls.release()

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
        """Seconds as the container states them, or, where it would have to guess, as its packets
        do, which moves the reading position; None when neither does."""
        if self._header.states_duration:
            return self._header.stated_s
        seconds = 0.0
        try:
            for packet in self._packets():
                seconds += float(packet.duration * packet.time_base) if packet.duration else 0.0
        except _BROKEN:
            pass  # as far as it can be read
        return seconds if seconds > 0 else None

    def cut_short(self, decoded_s: float) -> str | None:
        return self._header.proof_of_cut(decoded_s)

    def chunks(self, from_s: float) -> Iterator[Chunk]:
        """Samples in order from ``from_s`` at the latest, silence included where it belongs."""
        sought = self._seek(from_s) if from_s > SEEK_FROM_S else None
        if sought is not None:
            yield from sought
            return
        self._clock = self._new_clock()
        yield from self._clock.place(self._sounds())

    def _new_clock(self) -> Clock:
        header = self._header
        max_gap_s = MAX_JUMP_S if header.clock_may_restart else MAX_GAP_S
        return Clock(header.start_s, max_gap_s, header.stated_s if header.states_duration else None)

    def _report_damage(self) -> None:
        if self._clock is not None and self._clock.restarts:
            self.warnings.append(
                f"{self.name}: its clock starts again at {self._clock.restarts[0]:.2f} s; from "
                "there on, times count on from what was heard before"
            )
        self.flawed |= self._stopped or self._bad_packets > 0
        if self._bad_packets:
            what = "packet was" if self._bad_packets == 1 else "packets were"
            self.warnings.append(
                f"{self.name} is damaged: {self._bad_packets} {what} skipped, the first near "
                f"{self._first_bad_s:.2f} s; later times may be early by what is lost"
            )
        if self._stopped:
            self.warnings.append(f"{self.name}: reading stopped at damage that does not end")

    def _sounds(self, from_s: float = 0.0) -> Iterator[Stamped]:
        """Decoded frames in order, skipping what is damaged, never without end. They begin at
        about ``from_s``, which only dates damage."""
        bad = silent = demux_errors = bad_before = 0
        decoded_s = from_s
        while True:
            try:
                for packet in self._packets():
                    try:
                        frames = packet.decode()
                    except EOFError:
                        frames = []
                    except _BROKEN:
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
                            lost, bad_before = self._bad_packets > bad_before, self._bad_packets
                            yield self._stamped(frame, lost)
                    silent += 1
                    if silent >= MAX_SILENT_PACKETS_IN_A_ROW:
                        self._stopped = True
                        return
                return
            except AudioError:
                raise
            # IndexError: PyAV meets a packet of a stream that appeared only in mid-file.
            except _BROKEN:
                self._note_damage(decoded_s)
                demux_errors += 1
                if demux_errors >= MAX_DEMUX_ERRORS_IN_A_ROW:
                    self._stopped = True
                    return

    def _packets(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            with self._calls:
                packet = next(packets, None)
            if packet is None:
                return
            yield packet

    def _note_damage(self, at_s: float) -> None:
        self._bad_packets += 1
        if self._bad_packets == 1:
            self._first_bad_s = at_s

    def _seek(self, from_s: float) -> Iterator[Chunk] | None:
        """Jump to at most ``from_s``: the chunks from there. None (and back at the start) if the
        container cannot seek or tell where it landed, or if its clock may start again."""
        if self._header.clock_may_restart or not self._header.has_stamps:
            return None
        clock = self._new_clock()
        try:
            first = next(clock.place(self._sounds()), None)  # now the clock knows its zero
            if first is not None and clock.zero_s is not None:
                target = int((clock.zero_s + from_s) / self._stream.time_base)
                with self._calls:
                    self._container.seek(target, stream=self._stream, backward=True)
                sounds = self._sounds(from_s)
                sound = next(sounds, None)
                landed_s = None if sound is None else clock.start_at(sound)
                if (
                    sound is not None
                    and landed_s is not None
                    and 0 <= landed_s <= from_s
                    and sound.rate == first.rate
                ):
                    # Packets that lean on ones before the landing point fail: not damage.
                    self._bad_packets = 0
                    self._clock = clock
                    return clock.place(itertools.chain([sound], sounds))
        except AudioError:
            raise
        except (*_BROKEN, OverflowError):
            pass
        self._open()
        return None

    def _stamped(self, frame: Any, after_loss: bool) -> Stamped:
        rate = check_rate(frame.sample_rate, self.name)
        time_s = None
        if self._header.has_stamps and frame.pts is not None and frame.time_base:
            time_s = float(frame.time)
        try:
            if frame.format.name.startswith("s64"):  # the one format without an array form
                resampler = av.AudioResampler(format="dblp")
                frame = resampler.resample(frame)[0]
            samples = frame.to_ndarray()
        except (*_BROKEN, KeyError, TypeError) as error:
            raise AudioError(f"{self.name}: samples cannot be read: {one_line(error)}") from error
        if not frame.format.is_planar:
            samples = samples.reshape(-1, frame.layout.nb_channels).T
        return Stamped(rate, samples, time_s, after_loss)

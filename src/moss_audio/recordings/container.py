"""What an opened container says about its sound: its clock, its length, its end.

Private to the audio loader.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import av

from moss_audio.recordings.proof import FileProof

SHORT_BY_S = 0.25  # shorter than declared by this much and by a thousandth: cut short

# Containers whose header counts the samples; what lacks is lost.
_COUNTS_SAMPLES = {"flac", "aiff", "caf", "w64", "tta", "wv", "ape"}
# Those whose stated duration is one, and no guess from the first bit rate.
_STATES_DURATION = _COUNTS_SAMPLES | {
    "wav", "mov", "matroska", "asf", "ogg", "flv", "avi", "mpegts", "mpeg", "au", "rm",
}  # fmt: skip
# Bare streams and AVI have no stamps: FFmpeg counts them up, in rounded steps, so that they drift.
_NO_STAMPS = {"ac3", "eac3", "dts", "truehd", "mlp", "avi"}


class ContainerHeader:
    """The header of PyAV's ``container`` on its audio ``stream``."""

    def __init__(self, container: Any, stream: Any, proof: FileProof) -> None:
        self._container = container
        self._stream = stream
        self._proof = proof
        self._names = set(container.format.name.split(","))
        self._counts_samples = bool(self._names & _COUNTS_SAMPLES) or (
            "mp3" in self._names and proof.mp3_states_frames
        )

    @property
    def states_duration(self) -> bool:
        """Whether ``stated_s`` is stated rather than guessed."""
        return self._counts_samples or bool(self._names & _STATES_DURATION)

    @property
    def has_stamps(self) -> bool:
        """Whether time stamps can be trusted to stay with the sound."""
        return not self._names & _NO_STAMPS

    @property
    def clock_may_restart(self) -> bool:
        """Whether this is a broadcast format, whose parts may be joined as they are."""
        if "ogg" in self._names:
            return self._proof.is_chained
        return bool(self._container.format.flags & av.format.Flags.ts_discont.value)

    @cached_property
    def start_s(self) -> float | None:
        """The earliest stamp of picture or sound, where players begin; a cover has no time."""
        starts = [
            float(stream.start_time * stream.time_base)
            for stream in self._container.streams
            if stream.type in ("audio", "video")
            and stream.start_time is not None
            and stream.time_base
            and not stream.disposition & av.stream.Disposition.attached_pic
        ]
        return min(starts, default=None)

    @property
    def stated_s(self) -> float | None:
        """The recording's length in seconds, to the end of its sound where that is stated."""
        stream, container = self._stream, self._container
        seconds = 0.0
        if self._proof.is_chained:
            return None
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
            if stream.start_time is not None and self.start_s is not None:
                seconds += max(0.0, float(stream.start_time * stream.time_base) - self.start_s)
        elif container.duration:
            seconds = container.duration / av.time_base
        return seconds if seconds > 0 else None

    def proof_of_cut(self, decoded_s: float) -> str | None:
        """How it shows that the end is missing: by bytes that the file declares and lacks, or
        samples that it counts. Stamps and stated durations prove nothing; pauses count in them."""
        if self._proof.cut:
            return self._proof.cut
        if "mov" in self._names:
            ends = (entry.pos + entry.size for entry in self._stream.index_entries)
            missing = max(ends, default=0) - self._proof.size
            return f"its index declares {missing} more bytes" if missing > 0 else None
        stated_s = self.stated_s
        if stated_s is None or not self._counts_samples:
            return None
        missing_s = stated_s - decoded_s
        if missing_s <= max(SHORT_BY_S, stated_s / 1000):
            return None
        return f"its header declares {missing_s:.2f} s more"

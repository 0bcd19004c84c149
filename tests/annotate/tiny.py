"""Small but real steps that plug into the data engine: they listen to the sound and say what
they heard, without a model. `configs` and `stages` are made of the same table as the real ones."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from moss_audio.annotate.build import PipelinePart
from moss_audio.annotate.records import AudioSegment, Recording, SegmentCaption, Span, ToolResult
from moss_audio.annotate.sft.talk import AUDIO
from moss_audio.annotate.stage import StageItem
from moss_audio.errors import MossAudioError

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class CutConfig:
    length_s: float = 0.5


class Cut:
    """Pieces of one length; the last one takes what is left."""

    name = "segment"

    def __init__(self, config: CutConfig) -> None:
        self.config = config

    @property
    def fingerprint(self) -> str:
        return f"cut {self.config}"

    def setup(self) -> None:
        pass

    def segment(self, recording: Recording, samples: np.ndarray) -> list[AudioSegment]:
        size = round(self.config.length_s * SAMPLE_RATE)
        assert len(samples) == round(recording.duration_s * SAMPLE_RATE)
        count = max(1, len(samples) // size)
        ends = [size * (i + 1) for i in range(count - 1)] + [len(samples)]
        starts = [0, *ends[:-1]]
        return [
            AudioSegment(f"{recording.id}-{i}", recording, a / SAMPLE_RATE, b / SAMPLE_RATE)
            for i, (a, b) in enumerate(zip(starts, ends, strict=True))
        ]


@dataclass(frozen=True)
class StageConfig:
    version: str = "1"
    fail_above: float | None = None  # RMS of a segment that the step cannot bear
    crash: bool = False  # the step has a bug: an unexpected error
    missing: bool = False  # a model is not there
    die: bool = False  # the system ends the process
    setups: str | None = None  # a file that gets a line for each time that models are loaded
    sleep_s: float = 0.0


class Stage:
    """What all of these have in common."""

    name = "stage"

    def __init__(self, config: StageConfig) -> None:
        self.config = config
        self.ready = False

    @property
    def fingerprint(self) -> str:
        return f"{self.name} {self.config.version}"

    def setup(self) -> None:
        if self.config.missing:
            raise MossAudioError(f"{self.name}: the model is missing; get it first")
        if self.config.setups is not None:
            with Path(self.config.setups).open("a") as file:
                file.write(f"{self.name} {os.getpid()}\n")
        self.ready = True

    def process_batch(self, items: Sequence[StageItem]) -> list[AudioSegment]:
        assert self.ready
        if self.config.die:
            os.kill(os.getpid(), signal.SIGKILL)
        return [self._one(item) for item in items]

    def _one(self, item: StageItem) -> AudioSegment:
        samples = item.samples()
        assert samples.dtype == np.float32
        assert len(samples) == round(item.segment.duration_s * SAMPLE_RATE)
        rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
        if self.config.sleep_s:
            time.sleep(self.config.sleep_s)
        if self.config.fail_above is not None and rms > self.config.fail_above:
            if self.config.crash:
                raise KeyError("too loud")
            raise MossAudioError(f"{self.name}: too loud ({rms:.2f})")
        return self.add(item.segment, samples, rms)

    def add(self, segment: AudioSegment, samples: np.ndarray, rms: float) -> AudioSegment:
        raise NotImplementedError

    def result(self, segment: AudioSegment, **fields: object) -> AudioSegment:
        made = ToolResult(self.name, self.config.version, **fields)  # type: ignore[arg-type]
        return replace(segment, results=(*segment.results, made))


class Profile(Stage):
    name = "profile"

    def add(self, segment: AudioSegment, samples: np.ndarray, rms: float) -> AudioSegment:
        return replace(segment, profile={"speech": round(min(1.0, rms * 2), 6)})


class Speech(Stage):
    name = "speech"

    def add(self, segment: AudioSegment, samples: np.ndarray, rms: float) -> AudioSegment:
        crossings = int(np.count_nonzero(np.diff(np.signbit(samples))))
        assert segment.profile
        return self.result(segment, branch="speech", kind="transcript", text=f"{crossings} turns")


class Music(Stage):
    name = "music"

    def add(self, segment: AudioSegment, samples: np.ndarray, rms: float) -> AudioSegment:
        assert not segment.find("transcript")  # branches do not see each other
        peak = np.float32(np.abs(samples).max(initial=0))  # a scalar of numpy goes to JSON too
        return self.result(segment, branch="music", kind="dynamics", values={"energy": peak})


class General(Stage):
    name = "general"

    def add(self, segment: AudioSegment, samples: np.ndarray, rms: float) -> AudioSegment:
        span = Span("a tone", 0.0, segment.duration_s, round(rms, 6))
        return self.result(segment, branch="general", kind="events", spans=(span,))


class Merge(Stage):
    name = "merge"

    def add(self, segment: AudioSegment, samples: np.ndarray, rms: float) -> AudioSegment:
        heard = [one.branch for one in segment.results]
        assert heard == ["speech", "music", "general"]
        text = f"{segment.find('transcript')[0].text} at {rms:.4f}."
        return replace(segment, caption=SegmentCaption(text, f"tiny {self.config.version}"))


class Tasks(Stage):
    name = "tasks"

    def add(self, segment: AudioSegment, samples: np.ndarray, rms: float) -> AudioSegment:
        assert segment.caption is not None
        words = [
            {"role": "user", "message_type": "audio", "content": AUDIO},
            {"role": "user", "message_type": "text", "content": "What is heard?"},
            {"role": "assistant", "message_type": "text", "content": segment.caption.text},
        ]
        return replace(segment, conversations=({"conversation": words, "task": "caption"},))


PARTS = (
    PipelinePart("segment", lambda: (Cut, CutConfig)),
    PipelinePart("profile", lambda: (Profile, StageConfig), ("segment",)),
    PipelinePart("speech", lambda: (Speech, StageConfig), ("profile",)),
    PipelinePart("music", lambda: (Music, StageConfig), ("profile",)),
    PipelinePart("general", lambda: (General, StageConfig), ("profile",)),
    PipelinePart("merge", lambda: (Merge, StageConfig), ("speech", "music", "general")),
    PipelinePart("tasks", lambda: (Tasks, StageConfig), ("merge",)),
)

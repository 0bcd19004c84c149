"""Who speaks when, by a pyannote pipeline (package pyannote.audio, weights from the hub)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import SpeechTool
from moss_audio.errors import CheckpointError, MissingDependencyError, short_reason
from moss_audio.units import SAMPLE_RATE


@dataclass(frozen=True)
class PyannoteConfig:
    """A pipeline of the hub or a folder. Gated ones need a token of the hub in its own place."""

    pipeline: str = "pyannote/speaker-diarization-3.1"
    device: str = "cpu"


class PyannoteTool(SpeechTool):
    """Turns of the voices of a segment: kind `speakers`."""

    kind = "speakers"
    name = "pyannote"
    packages = ("pyannote.audio",)
    defaults = PyannoteConfig
    config: PyannoteConfig

    def load(self) -> Any:
        """The pipeline. Raises MissingDependencyError without pyannote.audio, CheckpointError if
        the pipeline cannot be loaded."""
        try:
            from pyannote.audio import Pipeline
        except ImportError as error:
            raise MissingPyannoteError() from error
        import torch

        name = self.config.pipeline
        try:
            pipeline = Pipeline.from_pretrained(name)
        except Exception as error:  # hub, configuration and torch errors of many kinds
            detail = short_reason(error)
            raise CheckpointError(f"{name}: pyannote cannot load this ({detail})") from error
        if pipeline is None:  # what it answers for gated weights
            raise CheckpointError(
                f"{name}: accept its conditions on the hub and log in, or give a local pipeline"
            )
        return pipeline.to(torch.device(self.config.device))

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """The turns, speakers numbered as they come; nothing without speech."""
        import torch

        wave = torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None]
        found = self.model({"waveform": wave, "sample_rate": SAMPLE_RATE})
        # Since 4.0 the pipeline answers with an object that holds the annotation.
        found = getattr(found, "speaker_diarization", found)
        names: dict[str, str] = {}
        spans = tuple(
            Span(
                names.setdefault(label, f"speaker {len(names) + 1}"),
                float(turn.start),
                float(turn.end),
            )
            for turn, _, label in found.itertracks(yield_label=True)
        )
        return self.found(spans=spans, values={"count": len(names)}) if spans else []


class MissingPyannoteError(MissingDependencyError):
    """Not part of an extra: it pins torch itself, which limits what can be installed with it."""

    def __init__(self) -> None:
        ValueError.__init__(
            self, "Diarization by pyannote needs pyannote.audio: pip install pyannote.audio"
        )

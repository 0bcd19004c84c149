"""A MOSS-Audio checkpoint as recogniser and aligner: loaded once a worker, shared by its tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from moss_audio import api, settings
from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import Listener, SpeechTool, package_version, weights_digest
from moss_audio.annotate.tools.speech.agreement import agreed_text
from moss_audio.engine.aligner import WordAligner
from moss_audio.model.checkpoint import EMBEDDED, Checkpoint
from moss_audio.recordings import is_url
from moss_audio.units import SAMPLE_RATE


@dataclass(frozen=True)
class MossConfig:
    """Which checkpoint: "nano" (the embedded one), a folder, a hub id, or the address of a server,
    which chooses device and dtype itself. None device: the best."""

    name: str = "nano"
    device: str | None = "cpu"
    dtype: str | None = None


class SharedMoss(Listener):
    """A checkpoint for several tools."""

    defaults = MossConfig
    config: MossConfig

    def load(self) -> api.MossAudio:
        """The checkpoint. Raises CheckpointError if there is none of this name."""
        config = self.config
        if is_url(config.name):
            return api.load(config.name)
        return api.load(config.name, device=config.device, dtype=config.dtype)

    @cached_property
    def version(self) -> str:  # type: ignore[override]
        """Of the package, the weights and the settings."""
        found = api.open_checkpoint(self.config.name)
        if isinstance(found, Checkpoint):
            weights = weights_digest(found.folder)
        else:
            weights = found.fingerprint
        told = settings.digest([self.config, weights], 12)
        return f"{package_version('moss-audio')}+{told}"


class _SharedTool(SpeechTool):
    defaults = SharedMoss
    config: SharedMoss

    @property
    def version(self) -> str:
        return self.config.version


class MossTool(_SharedTool):
    """Speech to text by a MOSS-Audio checkpoint: kind `transcript`, without spans."""

    kind = "transcript"
    name = "moss"

    def load(self) -> api.MossAudio:
        return self.config.model

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """One transcript; what was repaired in the answer is in `warnings`."""
        return self.annotate_batch([samples], [segment])[0]

    def annotate_batch(
        self, samples: Sequence[np.ndarray], segments: Sequence[AudioSegment]
    ) -> list[list[ToolResult]]:
        """One transcript each; decoded together, the weights are read once for all of them."""
        found: Any = self.model.transcribe([(one, SAMPLE_RATE) for one in samples])
        values = {"language": "en"} if self.config.config.name == EMBEDDED else {}  # all it knows
        return [self.found(text=one.text, warnings=one.warnings, values=values) for one in found]


class MossAligner(_SharedTool):
    """Gives the agreed transcript its word times from the checkpoint's own audio tokens, in steps
    of 80 ms: kind `words`. For checkpoints that learnt to be aligned (`engine.aligner`)."""

    kind = "words"
    name = "align-moss"

    def load(self) -> WordAligner:
        return WordAligner(self.config.model.engine)

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Times of the agreed words; nothing for a segment without any."""
        text = agreed_text(segment)
        if not text:
            return []
        words = self.model(np.ascontiguousarray(samples, np.float32), text)
        spans = tuple(Span(word.text, word.start, word.end) for word in words)
        return self.found(text=text, spans=spans)

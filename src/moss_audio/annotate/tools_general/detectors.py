"""Detectors from plain values of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from moss_audio.annotate.tools_general.events import EventDetector
from moss_audio.errors import MossAudioError


def make_detector(description: Mapping[str, Any], name: str) -> EventDetector:
    """The detector with the fields of `annotate.detectors`' configuration, {"kind": "tagger",
    "model": FOLDER} say. Its models load with its `setup`.

    Args:
        name: where the description stands, for messages.

    Raises:
        MossAudioError: naming every field that is wrong.
    """
    settings = import_module("moss_audio.settings")
    make = import_module("moss_audio.annotate.detectors.make")
    problems: list[str] = []
    config = settings.build(make.DetectorConfig, description, name, problems)
    if problems:
        raise MossAudioError("; ".join(problems))
    detector: EventDetector = make.make_detector(config)
    return detector

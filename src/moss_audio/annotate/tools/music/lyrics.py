"""Lyrics: a recogniser of the speech branch listens to singing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from moss_audio.annotate.records import AudioSegment, ToolResult
from moss_audio.annotate.tool import Tool


class LyricsTool(Tool):
    """Kind `lyrics`: what the recogniser's `transcript` says where the profile hears singing.

    Recognisers are made for speech: sung words come out worse than spoken ones, so the result
    names the recogniser and keeps its score.
    """

    branch = "music"
    kind = "lyrics"

    def __init__(self, recogniser: Tool, min_singing: float = 0.5) -> None:
        self.recogniser = recogniser
        self.min_singing = min_singing
        self.name = f"music/lyrics {recogniser.name}"  # with the recogniser's

    @property
    def version(self) -> str:
        """The recogniser's."""
        return f"1 {self.recogniser.version}"

    def setup(self) -> None:
        """Loads the recogniser."""
        self.recogniser.setup()

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Nothing without singing, or without words in it."""
        if segment.profile.get("singing", 0.0) < self.min_singing:
            return []
        return [
            replace(one, tool=self.name, version=self.version, branch="music", kind="lyrics")
            for one in self.recogniser.annotate(samples, segment)
            if one.kind == "transcript" and one.text.strip()
        ]

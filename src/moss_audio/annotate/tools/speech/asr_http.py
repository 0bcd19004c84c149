"""Transcripts of any server with OpenAI's `/audio/transcriptions`, such as vLLM or our own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moss_audio import settings
from moss_audio.annotate.records import AudioSegment, ToolResult
from moss_audio.annotate.tool import SpeechTool
from moss_audio.endpoint import Endpoint, EndpointClient
from moss_audio.recordings.wav import wav_bytes
from moss_audio.text import single_line


@dataclass(frozen=True)
class SpeechServer(Endpoint):
    """A server that hears speech: it transcribes, or describes a speaker."""

    language: str | None = None  # of the speech, as the server wants it; None: it finds out

    @property
    def version(self) -> str:
        """Of the request, not of where the server is; what runs there is unknown."""
        return f"{self.model_name}+{settings.digest([self.model_name, self.language], 12)}"


class HttpTranscriber(SpeechTool):
    """Speech to text by a server: kind `transcript`, without spans."""

    kind = "transcript"
    name = "http"
    config: SpeechServer

    @property
    def version(self) -> str:
        return self.config.version

    def load(self) -> EndpointClient:
        return self.config.connect("Transcription by a server")

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """One transcript. Raises MossAudioError when the server cannot be asked or refuses."""
        text = self.model.transcribe(
            wav_bytes(samples), f"{segment.id}.wav", language=self.config.language
        )
        return self.found(text=single_line(text))

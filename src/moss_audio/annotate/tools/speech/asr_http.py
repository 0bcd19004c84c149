"""Transcripts of any server with OpenAI's `/audio/transcriptions`, such as vLLM or our own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moss_audio.annotate.records import Segment, ToolResult
from moss_audio.annotate.tools.endpoint import connect
from moss_audio.annotate.tools.identity import digest
from moss_audio.annotate.tools.speech.wav import wav_bytes
from moss_audio.errors import MossAudioError, short_reason
from moss_audio.text import single_line


@dataclass(frozen=True)
class EndpointConfig:
    """A server, e.g. `http://localhost:8000/v1`, and the model it is asked for.

    The key is read from the environment, so that it stands in no file of results.
    """

    base_url: str = ""
    model: str = ""
    api_key_variable: str = "OPENAI_API_KEY"
    language: str | None = None
    timeout_s: float = 120.0
    retries: int = field(default=2)


def client(config: EndpointConfig, purpose: str) -> Any:
    """A client of the server. Raises MossAudioError without an address or a model's name,
    MissingDependencyError without the package openai."""
    if not config.base_url or not config.model:
        raise MossAudioError(f"{purpose} needs base_url and model of an endpoint; got {config}")
    return connect(
        config.base_url,
        config.api_key_variable,
        purpose,
        timeout_s=config.timeout_s,
        retries=config.retries,
    )


def unreachable(config: EndpointConfig, error: Exception) -> MossAudioError:
    """The one line of a request that failed."""
    detail = short_reason(error)
    return MossAudioError(
        f"{config.base_url}: the model {config.model!r} cannot be asked ({detail}); check the "
        f"address, the model's name and the key in {config.api_key_variable}"
    )


class HttpTranscriber:
    """Speech to text by a server: kind `transcript`, without spans."""

    def __init__(self, config: EndpointConfig, name: str = "http") -> None:
        self.config = config
        self.name = name
        self._client: Any = None

    @property
    def version(self) -> str:
        """Of the settings: what runs behind the address it cannot know."""
        return f"{self.config.model}+{digest(self.config)}"

    def setup(self) -> None:
        """Make the client; nothing is asked yet."""
        if self._client is None:
            self._client = client(self.config, "Transcription by a server")

    def annotate(self, samples: np.ndarray, segment: Segment) -> list[ToolResult]:
        """One transcript. Raises MossAudioError when the server cannot be asked or refuses."""
        self.setup()
        from openai import OpenAIError

        extra = {} if self.config.language is None else {"language": self.config.language}
        try:
            answer = self._client.audio.transcriptions.create(
                model=self.config.model,
                file=(f"{segment.id}.wav", wav_bytes(samples), "audio/wav"),
                response_format="json",
                temperature=0.0,
                **extra,
            )
        except OpenAIError as error:
            raise unreachable(self.config, error) from error
        text = getattr(answer, "text", None)
        if not isinstance(text, str):
            raise MossAudioError(
                f"{self.config.base_url}: the answer has no 'text'; is it an address of "
                "/audio/transcriptions?"
            )
        return [
            ToolResult(
                tool=self.name,
                version=self.version,
                branch="speech",
                kind="transcript",
                text=single_line(text),
            )
        ]

"""Describers: audio language models asked for the fields of a speech caption that no one measures.

Both are told to leave out what they cannot hear, and an answer that cannot be read gives nothing.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np

from moss_audio import settings
from moss_audio.annotate.tools.speech.asr_http import SpeechServer
from moss_audio.annotate.tools.speech.moss import SharedMoss
from moss_audio.annotate.tools.speech.speech_fields import ASKED_FIELDS, Describer
from moss_audio.endpoint import EndpointClient
from moss_audio.recordings.wav import wav_bytes
from moss_audio.text import single_line, split_thinking
from moss_audio.units import SAMPLE_RATE

PROMPT = (
    "Describe the speaker and the way of speaking in this recording. Answer with one JSON object "
    f"and nothing else; its keys are {', '.join(ASKED_FIELDS)}, its values short English phrases "
    "(summary: one sentence). Leave out every key that you cannot tell from the sound."
)
LINES_PROMPT = (
    "Describe the speaker and the way of speaking. Answer with these lines:\n"
    + "\n".join(f"{name}: ..." for name in ASKED_FIELDS)
)
_NOTHING = re.compile(
    r"(?i)^(\W*|unknown|none|n/?a|null|unclear|not (sure|known|clear|specified|applicable))\.?$"
)
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


def fields_of(answer: str) -> dict[str, str]:
    """Known fields of an answer, a JSON object or lines "name: text"; empty if it is neither."""
    text: str = split_thinking(answer)[1]
    rows: dict[str, Any] = {}
    if found := _OBJECT.search(text):
        try:
            rows = json.loads(found[0])
        except (ValueError, RecursionError):
            rows = {}
    else:
        for line in text.splitlines():
            name, colon, value = line.partition(":")
            if colon:
                rows.setdefault(name.strip(" -*\"'").lower(), value)
    out = {}
    for name in ASKED_FIELDS:
        told: Any = rows.get(name) if isinstance(rows, dict) else None
        plain = single_line(told) if isinstance(told, str) else ""
        if plain and plain != "..." and not _NOTHING.match(plain):
            out[name] = plain
    return out


class HttpDescriber(Describer):
    """Any server with OpenAI's `/chat/completions` that takes `input_audio`."""

    config: SpeechServer

    def __init__(self, server: SpeechServer) -> None:
        super().__init__(server)
        self.name = f"describe-{server.model_name}"

    @property
    def version(self) -> str:
        return settings.digest([self.config.version, PROMPT], 12)

    def load(self) -> EndpointClient:
        """The client; nothing is asked yet."""
        return self.config.connect("Description of speakers by a server")

    def describe(self, samples: np.ndarray) -> dict[str, str]:
        """Fields of the answer. Raises MossAudioError when the server cannot be asked."""
        sound = base64.b64encode(wav_bytes(samples)).decode("ascii")
        content = [
            {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}},
            {"type": "text", "text": PROMPT},
        ]
        return fields_of(self.model.chat([{"role": "user", "content": content}]))


class MossDescriber(Describer):
    """A MOSS-Audio checkpoint that was trained to describe speakers (the embedded one was not)."""

    name = "describe-moss"
    config: SharedMoss

    @property
    def version(self) -> str:
        return settings.digest([self.config.version, LINES_PROMPT], 12)

    def load(self) -> Any:
        return self.config.model

    def describe(self, samples: np.ndarray) -> dict[str, str]:
        """Fields of the answer."""
        answer: Any = self.model.ask((samples, SAMPLE_RATE), LINES_PROMPT)
        return fields_of(answer.text)

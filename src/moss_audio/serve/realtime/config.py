"""What a client can set for a session; updates are merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from moss_audio.serve.errors import ApiError
from moss_audio.serve.forms import parse
from moss_audio.settings import Between

# What a client can have included; hypotheses are ours.
_LOGPROBS = "item.input_audio_transcription.logprobs"
_HYPOTHESES = "item.input_audio_transcription.hypothesis"
_TELEPHONE_HZ = 8_000
# Of semantic_vad: milliseconds of silence that end a turn.
_PATIENCE = {"low": 1600, "medium": 1000, "auto": 1000, "high": 600}

Milliseconds = Annotated[int, Between(0, 10_000)]


@dataclass(frozen=True)
class AudioFormat:
    """How sound is sent. G.711 (`audio/pcmu`, `audio/pcma`) is at 8 kHz, whatever `rate` says."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    rate: Annotated[int, Between(4_000, 192_000)] = 24_000

    @property
    def hertz(self) -> int:
        """Samples a second."""
        return self.rate if self.type == "audio/pcm" else _TELEPHONE_HZ


@dataclass(frozen=True)
class TurnDetection:
    """How the server finds turns. `semantic_vad` is the same detector with longer silence."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: Annotated[float, Between(0, 1)] = 0.5
    prefix_padding_ms: Milliseconds = 300
    silence_duration_ms: Milliseconds = 500
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"

    @property
    def silence_ms(self) -> int:
        """Milliseconds of silence that end a turn."""
        semantic = self.type == "semantic_vad"
        return _PATIENCE[self.eagerness] if semantic else self.silence_duration_ms

    def told(self) -> dict[str, Any]:
        """As a client sees it."""
        if self.type == "semantic_vad":
            return {"type": self.type, "eagerness": self.eagerness}
        return {key: value for key, value in asdict(self).items() if key != "eagerness"}


@dataclass(frozen=True)
class Transcription:
    """`model` has to be one that is served. The others are taken, but no checkpoint listens to
    them."""

    model: str = ""
    language: str = ""
    languages: tuple[str, ...] = ()
    prompt: str = ""
    keywords: tuple[str, ...] = ()


class SessionConfig:
    """The settings of a session.

    Args:
        check_model: raises ApiError for a model that is not served.
        model: what the client asked for when it connected.
    """

    def __init__(self, check_model: Callable[[str], str], model: str) -> None:
        self._check_model = check_model
        self._raw: dict[str, Any] = {
            "format": {},
            "transcription": {"model": check_model(model)},
            "turn_detection": {},
            "noise_reduction": None,
        }
        self._include: list[Any] = []
        self._build(self._raw)

    @property
    def logprobs(self) -> bool:
        """Whether transcripts are to have log-probabilities."""
        return _LOGPROBS in self._include

    @property
    def hypotheses(self) -> bool:
        """Whether there is to be a text while somebody speaks."""
        return _HYPOTHESES in self._include

    def update(self, session: Any) -> None:
        """Merge an update: what it does not name keeps its value, null clears.

        Raises:
            ApiError: for a wrong value; then nothing has changed.
        """
        session = _fields(session, "session")
        if session.get("type", "transcription") != "transcription":
            raise ApiError(400, "session.type: only transcription sessions are served",
                           code="unsupported_value", param="session.type")  # fmt: skip
        audio = _fields(session.get("audio"), "session.audio")
        given = _fields(audio.get("input"), "session.audio.input")
        include = session.get("include", self._include) or []
        if not isinstance(include, list):
            raise ApiError(400, "session.include: expected a list", code="invalid_value",
                           param="session.include")  # fmt: skip
        merged = {
            name: _merged(before, given[name]) if name in given else before
            for name, before in self._raw.items()
        }
        self._build(merged)
        self._raw, self._include = merged, include

    def told(self) -> dict[str, Any]:
        """`audio` and `include` of a session, as a client sees them."""
        turns = self.turn_detection
        form = {"type": self.format.type}
        rate = {"rate": self.format.rate} if self.format.type == "audio/pcm" else {}
        heard = {key: value for key, value in asdict(self.transcription).items() if value}
        heard["model"] = self._check_model(self.transcription.model)
        return {
            "audio": {
                "input": {
                    "format": form | rate,
                    "transcription": heard,
                    "noise_reduction": self._raw["noise_reduction"],
                    "turn_detection": None if turns is None else turns.told(),
                }
            },
            "include": self._include,
        }

    def _build(self, raw: Mapping[str, Any]) -> None:
        form = _parse(AudioFormat, raw["format"], "format")
        transcription = _parse(Transcription, raw["transcription"], "transcription")
        turns = None
        if raw["turn_detection"] is not None:
            turns = _parse(TurnDetection, raw["turn_detection"], "turn_detection")
        self._check_model(transcription.model)
        self.format, self.transcription, self.turn_detection = form, transcription, turns


def _fields(values: Any, name: str) -> Mapping[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ApiError(400, f"{name}: expected an object", code="invalid_value", param=name)
    return values


def _merged(before: Any, given: Any) -> Any:
    """Fields over those that were there, unless they are of another type."""
    if not isinstance(given, Mapping) or not isinstance(before, Mapping):
        return given
    other = "type" in given and given["type"] != before.get("type", given["type"])
    return dict(given) if other else {**before, **given}


def _parse(kind: type[Any], values: Any, name: str) -> Any:
    where = f"session.audio.input.{name}"
    try:
        return parse(kind, _fields(values, where))
    except ApiError as error:
        if (error.param or "").startswith(where):
            raise
        raise ApiError(400, f"{where}.{error}", code=error.code,
                       param=f"{where}.{error.param}") from None  # fmt: skip

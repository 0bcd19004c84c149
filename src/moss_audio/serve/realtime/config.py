"""What a client can set for a session; updates are merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from moss_audio.serve.chat import EFFORTS
from moss_audio.serve.errors import ApiError
from moss_audio.serve.forms import parse
from moss_audio.serve.realtime.events import invalid, objects
from moss_audio.serve.realtime.patience import silence_ms
from moss_audio.settings import Between

Kind = Literal["realtime", "transcription"]

# What a client can have included; hypotheses are ours.
_LOGPROBS = "item.input_audio_transcription.logprobs"
_HYPOTHESES = "item.input_audio_transcription.hypothesis"
_TELEPHONE_HZ = 8_000
_INPUT = "session.audio.input"
_MOST_INSTRUCTIONS = 100_000

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
    """How the server finds turns. `semantic_vad` is the same detector, with a silence that depends
    on what seems to have been said.
    `create_response`, `interrupt_response` and `idle_timeout_ms` are of conversations alone: after
    so long a silence behind a response, it is the turn of the model once more."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: Annotated[float, Between(0, 1)] = 0.5
    prefix_padding_ms: Milliseconds = 300
    silence_duration_ms: Milliseconds = 500
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True
    idle_timeout_ms: Annotated[int, Between(5_000, 30_000)] | None = None

    def check(self, kind: Kind) -> None:
        """Raises ApiError for what a session of this kind cannot have."""
        at = f"{_INPUT}.turn_detection.idle_timeout_ms"
        if self.idle_timeout_ms is None:
            return
        if kind != "realtime":
            raise invalid(f"{at}: it is for sessions of type realtime, which have responses; leave "
                          "it out", at, "unsupported_value")  # fmt: skip
        if self.type != "server_vad":
            raise invalid(f"{at}: only server_vad has it; leave it out", at, "unsupported_value")

    def silence_ms(self, text: str | None = None) -> int:
        """Milliseconds of silence that end a turn, of which `text` is what is heard so far."""
        if self.type == "semantic_vad":
            return silence_ms(text, self.eagerness)
        return self.silence_duration_ms

    def told(self, kind: Kind) -> dict[str, Any]:
        """As a client sees it."""
        names = ["type"]
        if self.type == "semantic_vad":
            names.append("eagerness")
        else:
            names += ["threshold", "prefix_padding_ms", "silence_duration_ms"]
            names += ["idle_timeout_ms"] if kind == "realtime" else []
        if kind == "realtime":
            names += ["create_response", "interrupt_response"]
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Transcription:
    """`model` has to be one that is served. `exact`, of our own: turns are heard just as files
    with the same samples. The others are taken, but no checkpoint listens to them."""

    model: str = ""
    language: str = ""
    languages: tuple[str, ...] = ()
    prompt: str = ""
    keywords: tuple[str, ...] = ()
    exact: bool = False


@dataclass(frozen=True)
class ReplyConfig:
    """How responses are written, in a session or one of them.

    Attributes:
        instructions: the system message.
        max_output_tokens: "inf": as many as the server allows.
        reasoning: `effort` for a checkpoint that can think.
    """

    instructions: str = ""
    output_modalities: tuple[str, ...] = ("text",)
    max_output_tokens: Annotated[int, Between(1)] | Literal["inf"] = "inf"
    reasoning: Mapping[str, Any] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()

    @property
    def effort(self) -> Any:
        """How much a checkpoint is to think; None leaves it to the checkpoint."""
        return (self.reasoning or {}).get("effort")

    def check(self, where: str) -> None:
        """Raises ApiError for what is not possible."""
        if self.output_modalities != ("text",):
            at = f"{where}.output_modalities"
            raise invalid(f'{at}: answers are written, not spoken: give only "text"', at,
                          "unsupported_value")  # fmt: skip
        if len(self.instructions) > _MOST_INSTRUCTIONS:
            raise invalid(f"{where}.instructions: at most {_MOST_INSTRUCTIONS} characters",
                          f"{where}.instructions")  # fmt: skip
        effort = self.effort
        if effort is not None and effort not in ("none", *EFFORTS):
            known = ", ".join(("none", *EFFORTS))
            raise invalid(f"{where}.reasoning.effort: give one of {known}",
                          f"{where}.reasoning.effort")  # fmt: skip
        if self.tools:
            raise invalid(f"{where}.tools: this model calls no tools", f"{where}.tools",
                          "unsupported_value")  # fmt: skip


class SessionConfig:
    """The settings of a session.

    Args:
        check_model: raises ApiError for a model that is not served.
        model: what the client asked for when it connected.
        kind: of session, which an update may change.
    """

    def __init__(self, check_model: Callable[[str], str], model: str, kind: Kind) -> None:
        self._check_model = check_model
        self._model = check_model(model)
        self.kind: Kind = kind
        self._raw: dict[str, Any] = {
            "format": {},
            "transcription": self._heard_by_default(kind),
            "turn_detection": {},
            "noise_reduction": None,
        }
        self._raw_reply: dict[str, Any] = {}
        self._include: list[Any] = []
        self._build(kind, self._raw, self._raw_reply)

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
        session = objects(session, "session")
        kind = session.get("type", self.kind)
        if kind not in ("realtime", "transcription"):
            raise invalid("session.type: give realtime or transcription", "session.type",
                          "unsupported_value")  # fmt: skip
        audio = objects(session.get("audio"), "session.audio")
        given = objects(audio.get("input"), _INPUT)
        include = session.get("include", self._include) or []
        if not isinstance(include, list):
            raise invalid("session.include: expected a list", "session.include")
        if unknown := [one for one in include if one not in (_LOGPROBS, _HYPOTHESES)]:
            raise invalid(f"session.include: {str(unknown[0])[:80]!r} is none of {_LOGPROBS}, "
                          f"{_HYPOTHESES}", "session.include", "unsupported_value")  # fmt: skip
        before = dict(self._raw)
        if kind != self.kind:
            before["transcription"] = self._heard_by_default(kind)
        merged = {
            name: _merged(value, given[name]) if name in given else value
            for name, value in before.items()
        }
        reply = dict(self._raw_reply)
        if kind == "realtime":
            names = set(ReplyConfig.__dataclass_fields__) & set(session)
            reply |= {name: session[name] for name in names}
            if isinstance(session.get("model"), str):
                self._check_model(session["model"])
        self._build(kind, merged, reply)
        self.kind, self._raw, self._raw_reply, self._include = kind, merged, reply, include

    def told(self) -> dict[str, Any]:
        """A session as a client sees it, but for its id and end."""
        turns = self.turn_detection
        form = {"type": self.format.type}
        rate = {"rate": self.format.rate} if self.format.type == "audio/pcm" else {}
        heard = None
        if self.transcription is not None:
            heard = {key: value for key, value in asdict(self.transcription).items() if value}
            heard["model"] = self._check_model(self.transcription.model)
        audio = {
            "input": {
                "format": form | rate,
                "transcription": heard,
                "noise_reduction": self._raw["noise_reduction"],
                "turn_detection": None if turns is None else turns.told(self.kind),
            }
        }
        if self.kind == "transcription":
            named = {"object": "realtime.transcription_session", "type": self.kind}
            return {**named, "audio": audio, "include": self._include}
        return {
            "object": "realtime.session",
            "type": self.kind,
            "model": self._model,
            "instructions": self.reply.instructions,
            "output_modalities": list(self.reply.output_modalities),
            "max_output_tokens": self.reply.max_output_tokens,
            "tools": [],
            "tool_choice": "auto",
            "audio": audio,
            "include": self._include,
        }

    def _heard_by_default(self, kind: Kind) -> dict[str, Any] | None:
        return {"model": self._model} if kind == "transcription" else None

    def _build(self, kind: Kind, raw: Mapping[str, Any], raw_reply: Mapping[str, Any]) -> None:
        form = _parse(AudioFormat, raw["format"], "format")
        transcription = None
        if raw["transcription"] is not None or kind == "transcription":
            transcription = _parse(Transcription, raw["transcription"], "transcription")
            self._check_model(transcription.model)
        turns = None
        if raw["turn_detection"] is not None:
            turns = _parse(TurnDetection, raw["turn_detection"], "turn_detection")
            turns.check(kind)
        reply = parse_at(ReplyConfig, raw_reply, "session")
        reply.check("session")
        self.format, self.transcription, self.turn_detection = form, transcription, turns
        self.reply = reply


def parse_at(kind: type[Any], values: Any, where: str) -> Any:
    """A dataclass from the fields of an object, whose place is named in errors."""
    try:
        return parse(kind, objects(values, where))
    except ApiError as error:
        if (error.param or "").startswith(where):
            raise
        raise invalid(f"{where}.{error}", f"{where}.{error.param}",
                      error.code or "invalid_value") from None  # fmt: skip


def _parse(kind: type[Any], values: Any, name: str) -> Any:
    return parse_at(kind, values, f"{_INPUT}.{name}")


def _merged(before: Any, given: Any) -> Any:
    """Fields over those that were there, unless they are of another type."""
    if not isinstance(given, Mapping) or not isinstance(before, Mapping):
        return given
    other = "type" in given and given["type"] != before.get("type", given["type"])
    return dict(given) if other else {**before, **given}

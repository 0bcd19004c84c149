"""The one client of servers that speak OpenAI's protocol: chat, structured replies, transcripts.

Every setting that names such a server is an `Endpoint`, so that it is spelt the same everywhere:
`url`, `model`, `key_env`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from moss_audio.errors import MissingDependencyError, MossAudioError, short_reason
from moss_audio.text import split_thinking

T = TypeVar("T")
Message = Mapping[str, Any]

_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_CORRECTION = "That was not what was asked for ({problem}). Answer with the JSON object alone."


class EndpointError(MossAudioError):
    """No usable answer to one request; another request may fare better."""


class EndpointRefusedError(MossAudioError):
    """The address, the model or the key is refused: no request would fare better."""


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server, e.g. `http://localhost:8000/v1`, and a model that it serves.

    Attributes:
        url: its address; empty: the environment's `OPENAI_BASE_URL`.
        model: the model's name there; empty: the environment's `OPENAI_MODEL`.
        key_env: the environment variable that holds the key; the key itself is kept nowhere, and
            local servers want none.
        timeout_s: for one answer, above 0.
        retries: of a request that failed on the way, with growing pauses.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {
        "base_url": "url", "api_key_variable": "key_env", "api_key_env": "key_env",
    }  # fmt: skip

    url: str = ""
    model: str = ""
    key_env: str = "OPENAI_API_KEY"
    timeout_s: float = 120.0
    retries: int = 2

    def __post_init__(self) -> None:
        """Raises MossAudioError for numbers that make no sense."""
        if not self.timeout_s > 0:
            raise MossAudioError(f"timeout_s must be above 0 seconds, got {self.timeout_s!r}")
        if self.retries < 0:
            raise MossAudioError(f"retries must be 0 or more, got {self.retries!r}")

    @property
    def address(self) -> str:
        """`url`, or what the environment says."""
        return self.url or os.environ.get("OPENAI_BASE_URL", "")

    @property
    def model_name(self) -> str:
        """`model`, or what the environment says."""
        return self.model or os.environ.get("OPENAI_MODEL", "")

    def connect(self, purpose: str, *, extra: str = "annotate") -> EndpointClient:
        """A client, which threads may share; nothing is asked yet.

        Args:
            purpose: what it is for ("A judge"), in errors.
            extra: of this package, that installs what is missing.

        Raises MossAudioError without an address or a model, MissingDependencyError without the
        package openai.
        """
        if not self.address or not self.model_name:
            raise MossAudioError(
                f"{purpose} needs url and model of an endpoint, or OPENAI_BASE_URL and "
                "OPENAI_MODEL in the environment"
            )
        try:
            from openai import OpenAI
        except ImportError as error:
            raise MissingDependencyError("openai", extra, purpose) from error
        connection = OpenAI(
            base_url=self.address,
            api_key=os.environ.get(self.key_env) or "none",
            timeout=self.timeout_s,
            max_retries=self.retries,
        )
        return EndpointClient(self, connection)


@dataclass(frozen=True)
class Structured(Generic[T]):
    """What came of a request for a structured reply: `value`, or None and the `problem` with the
    last of the `replies`."""

    value: T | None
    replies: tuple[str, ...]
    problem: str = ""


class EndpointClient:
    """A connection to an `Endpoint`; made by `Endpoint.connect`."""

    def __init__(self, endpoint: Endpoint, connection: Any) -> None:
        self.endpoint = endpoint
        self._connection = connection
        self._structured = True  # until the server refuses a schema

    def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
        max_tokens: int | None = None,
        seed: int | None = None,
    ) -> str:
        """The answer to `messages`; "" where the server gives none.

        With `schema` (JSON schema of an object) the server is made to keep to it. One that cannot
        is asked without: have the messages ask for JSON too, and read it with `json_object`.

        Raises EndpointRefusedError or EndpointError.
        """
        options: dict[str, Any] = {"max_tokens": max_tokens, "seed": seed}
        options = {name: value for name, value in options.items() if value is not None}
        if schema is not None and self._structured:
            named = {"name": "answer", "schema": dict(schema), "strict": True}
            options["response_format"] = {"type": "json_schema", "json_schema": named}
        create = self._connection.chat.completions.create
        asked = {"messages": list(messages), "temperature": temperature, **options}
        try:
            answer = self._request(create, **asked)
        except EndpointError as error:
            if asked.pop("response_format", None) is None or not _malformed(error):
                raise
            self._structured = False
            answer = self._request(create, **asked)
        choices = getattr(answer, "choices", None)
        return (choices[0].message.content or "") if choices else ""

    def ask(
        self,
        messages: Sequence[Message],
        parse: Callable[[str], T],
        *,
        attempts: int = 2,
        **options: Any,
    ) -> Structured[T]:
        """The answer as `parse` reads it. One that it refuses (by MossAudioError) is asked for
        again, with what was wrong; `options`: see `chat`, which also says what is raised."""
        asked, replies, problem = list(messages), [], ""
        for _ in range(attempts):
            reply = self.chat(asked, **options)
            replies.append(reply)
            try:
                return Structured(parse(reply), tuple(replies))
            except MossAudioError as error:
                problem = str(error)
                correction = {"role": "user", "content": _CORRECTION.format(problem=problem)}
                asked = [*messages, {"role": "assistant", "content": reply}, correction]
        return Structured(None, tuple(replies), problem)

    def transcribe(self, wav: bytes, name: str, *, language: str | None = None) -> str:
        """The transcript of the bytes of a WAV file. Raises EndpointRefusedError or EndpointError;
        the latter also where the server's answer has no text."""
        answer = self._request(
            self._connection.audio.transcriptions.create,
            file=(name, wav, "audio/wav"),
            response_format="json",
            temperature=0.0,
            **({} if language is None else {"language": language}),
        )
        text = getattr(answer, "text", None)
        if not isinstance(text, str):
            raise EndpointError(
                f"{self.endpoint.address}: the answer has no 'text'; is it an address of "
                "/audio/transcriptions?"
            )
        return text

    def _request(self, call: Callable[..., Any], **arguments: Any) -> Any:
        import openai

        refusals = (
            openai.AuthenticationError,
            openai.PermissionDeniedError,
            openai.NotFoundError,
        )
        endpoint = self.endpoint
        try:
            return call(model=endpoint.model_name, **arguments)
        except openai.OpenAIError as error:
            kind = EndpointRefusedError if isinstance(error, refusals) else EndpointError
            raise kind(
                f"{endpoint.address}: the model {endpoint.model_name!r} cannot be asked "
                f"({short_reason(error)}); check the address, the model's name and the key in "
                f"{endpoint.key_env}"
            ) from error


def _malformed(error: EndpointError) -> bool:
    """Whether the server did not understand the request."""
    import openai

    return isinstance(error.__cause__, openai.BadRequestError | openai.UnprocessableEntityError)


def json_object(reply: str) -> dict[str, Any]:
    """The JSON object that a reply is, after any thinking block and without one code fence around
    all of it. Raises MossAudioError saying what is wrong."""
    text = split_thinking(reply)[1].strip()
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1]
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MossAudioError("not JSON") from error
    if not isinstance(data, dict):
        raise MossAudioError("not a JSON object")
    return data

"""Chat, structured replies, answers as they are written, and transcripts of a server.

Every setting that names such a server is an `Endpoint`, so that it is spelt the same everywhere:
`url`, `model`, `key_env`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from moss_audio.endpoint.http import BrokenOffError, Connection, HttpError, message_of, multipart
from moss_audio.endpoint.line import CallLine
from moss_audio.errors import MossAudioError
from moss_audio.text import split_thinking

T = TypeVar("T")
Message = Mapping[str, Any]

_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_LISTED = 5  # models named in an error
_CORRECTION = "That was not what was asked for ({problem}). Answer with the JSON object alone."


class EndpointError(MossAudioError):
    """No usable answer to one request; another request may fare better."""


class BrokenAnswerError(EndpointError):
    """An answer that broke off while it was written."""


class EndpointRefusedError(MossAudioError):
    """The address, the model or the key is refused: no request would fare better."""


def _is_number(value: Any, kinds: Any) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


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
        if not (_is_number(self.timeout_s, int | float) and self.timeout_s > 0):
            raise MossAudioError(f"timeout_s must be above 0 seconds, got {self.timeout_s!r}")
        if not (_is_number(self.retries, int) and self.retries >= 0):
            raise MossAudioError(f"retries must be 0 or more, got {self.retries!r}")

    @property
    def address(self) -> str:
        """`url`, or what the environment says."""
        return self.url or os.environ.get("OPENAI_BASE_URL", "")

    @property
    def model_name(self) -> str:
        """`model`, or what the environment says."""
        return self.model or os.environ.get("OPENAI_MODEL", "")

    def connect(self, purpose: str) -> EndpointClient:
        """A client, which threads may share; nothing is asked yet.

        Args:
            purpose: what it is for ("A judge"), in errors.

        Raises MossAudioError without an address or a model, or for a key that cannot be sent.
        """
        if not self.address or not self.model_name:
            raise MossAudioError(
                f"{purpose} needs url and model of an endpoint, or OPENAI_BASE_URL and "
                "OPENAI_MODEL in the environment"
            )
        return EndpointClient(self)


@dataclass(frozen=True)
class Structured(Generic[T]):
    """What came of a request for a structured reply: `value`, or None and the `problem` with the
    last of the `replies`."""

    value: T | None
    replies: tuple[str, ...]
    problem: str = ""


class EndpointClient:
    """A connection to an `Endpoint`; made by `Endpoint.connect`."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises MossAudioError for a key that cannot be sent."""
        self.endpoint = endpoint
        self._structured = True  # until the server refuses a schema
        key = os.environ.get(endpoint.key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise MossAudioError(f"{endpoint.key_env} holds characters that no key has")
        self._http = Connection(
            endpoint.address.rstrip("/"), key, endpoint.timeout_s, endpoint.retries
        )

    def models(self) -> list[Mapping[str, Any]]:
        """What the server serves, as it says. Raises EndpointRefusedError or EndpointError."""
        found = self._request(lambda: self._http.json("/models"))
        rows = found.get("data") if isinstance(found, Mapping) else None
        if not isinstance(rows, list) or not all(
            isinstance(row, Mapping) and isinstance(row.get("id"), str) for row in rows
        ):
            raise self._misunderstood("no list of models")
        return rows

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
        asked = {"messages": list(messages), "temperature": temperature, **options}
        try:
            answer = self._post(asked)
        except EndpointError as error:
            if asked.pop("response_format", None) is None or not _malformed(error):
                raise
            self._structured = False
            answer = self._post(asked)
        choices = answer.get("choices")
        if not choices:
            return ""
        try:
            return choices[0]["message"].get("content") or ""
        except (TypeError, LookupError, AttributeError):
            raise self._misunderstood("no message") from None

    def stream(
        self, asked: Mapping[str, Any], line: CallLine | None = None
    ) -> Generator[Mapping[str, Any], None, None]:
        """The chunks of an answer as they are written; closing the iterator hangs up.

        Args:
            asked: the body of the request but for the model: "messages" and options.
            line: that it goes over, which another thread may cut.

        Raises EndpointRefusedError or EndpointError, of which BrokenAnswerError where an answer
        that had begun does not end.
        """
        body = self._body({**asked, "stream": True})
        try:
            with closing(self._http.events("/chat/completions", body, line=line)) as events:
                for chunk in events:
                    if not isinstance(chunk, Mapping):
                        raise self._misunderstood("a chunk that is no object")
                    if "error" in chunk:
                        raise BrokenAnswerError(f"{self.place}: {message_of(chunk)}")
                    yield chunk
        except BrokenOffError as error:
            raise BrokenAnswerError(f"{self.place}: {error}") from error
        except HttpError as error:
            self._fail(error)

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
        fields = {"model": self.endpoint.model_name, "response_format": "json", "temperature": "0"}
        if language is not None:
            fields["language"] = language
        body, kind = multipart(fields, name, wav, "audio/wav")
        answer = self._request(lambda: self._http.json("/audio/transcriptions", body, kind))
        text = answer.get("text") if isinstance(answer, Mapping) else None
        if not isinstance(text, str):
            raise self._misunderstood("no 'text'; is it an address of /audio/transcriptions?")
        return text

    def complete(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """The whole answer of `/chat/completions`. Raises EndpointRefusedError or EndpointError."""
        return self._post(asked)

    def order(self, path: str, asked: Mapping[str, Any] | None = None) -> bytes:
        """What a path of the server itself, from its root on, answers to a POST. Raises
        EndpointRefusedError or EndpointError."""
        root = replace(self._http, address=self._http.address.removesuffix("/v1"))
        body = b"" if asked is None else json.dumps(asked).encode()
        answer: bytes = self._request(lambda: root.ask(path, body))
        return answer

    @property
    def place(self) -> str:
        """What is asked, at the start of every error."""
        endpoint = self.endpoint
        named = f", model {endpoint.model_name!r}" if endpoint.model_name else ""
        return f"{endpoint.address}{named}"

    def _misunderstood(self, what: str) -> EndpointError:
        return EndpointError(f"{self.place}: the answer is not that of OpenAI's protocol: {what}")

    def _body(self, asked: Mapping[str, Any]) -> bytes:
        return json.dumps({"model": self.endpoint.model_name, **asked}).encode()

    def _post(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        body = self._body(asked)
        answer = self._request(lambda: self._http.json("/chat/completions", body))
        if not isinstance(answer, Mapping):
            raise self._misunderstood("no object")
        return answer

    def _request(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except HttpError as error:
            self._fail(error)

    def _fail(self, error: HttpError) -> NoReturn:
        """Raises what a failed request means, and what to do about it."""
        endpoint, status = self.endpoint, error.status
        kind: type[MossAudioError] = EndpointError
        if status in (401, 403):
            kind = EndpointRefusedError
            text = f"the key in {endpoint.key_env} is missing or refused ({error})"
        elif status == 404:
            kind = EndpointRefusedError
            text = f"not found ({error}); {self._served()}"
        elif status == 429:
            text = (
                f"too many requests ({error}), even at attempt {endpoint.retries + 1}; ask fewer "
                "at a time, or later"
            )
        elif status is not None and status >= 500:
            text = f"the server failed ({error}); its log may say why"
        elif status is not None:
            text = f"the request is refused ({error})"
        elif error.timed_out:
            text = f"no answer within {endpoint.timeout_s:g} s; the server may be busy"
        elif error.transient:
            text = f"cannot be reached ({error}); check the address and that the server runs"
        else:
            text = f"{error}; is this the address of an OpenAI-compatible server, ending in /v1?"
        raise kind(f"{self.place}: {text}") from error

    def _served(self) -> str:
        """What to do where an address or a model is not found."""
        try:
            found = self._http.json("/models")
            names = ", ".join(repr(row["id"]) for row in found["data"][:_LISTED])
        except (HttpError, TypeError, LookupError):
            return "check the address, which usually ends in /v1"
        return f"served there: {names or 'nothing'}"


def _malformed(error: EndpointError) -> bool:
    """Whether the server did not understand the request."""
    cause = error.__cause__
    return isinstance(cause, HttpError) and cause.status in (400, 422)


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

"""An answer as it arrives from a server, chunk by chunk."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, get_args

from moss_audio.endpoint import EndpointError
from moss_audio.engine.base import FinishReason, Generation, GenerationOptions, TokenLogprob
from moss_audio.engine.repetition import repeats

_OPEN, _CLOSE = "<think>", "</think>"


class RemoteAnswer:
    """The text so far, and why it ended.

    A server that says nothing of tokens is taken to send one a chunk; the answer then has no ids.
    One that sends thoughts apart from the answer gets them written before it, as the model did.
    """

    def __init__(self, options: GenerationOptions, place: str, begun: str = "") -> None:
        """`place`: what is asked, in errors; `begun`: how the answer begins, in the prompt."""
        self.begun = begun
        self.text = ""
        self.finish_reason: FinishReason | None = None
        self._options = options
        self._place = place
        self._ids: list[int] = []
        self._tokens: list[Hashable] = []  # ids, or the chunks' texts
        self._logprobs: list[TokenLogprob] = []
        self._accounted = 0  # characters whose log-probabilities have come
        self._prompt_tokens = 0
        self._cached_tokens: int | None = None
        self._told_tokens = 0
        self._thought_tokens = 0
        self._apart = False  # in thoughts that the server sends apart

    @property
    def n_tokens(self) -> int:
        """Tokens that the server has generated."""
        return len(self._tokens)

    @property
    def thought_enough(self) -> bool:
        """Whether the thinking budget is used up in the midst of a thought."""
        budget, unfinished = self._options.thinking_budget, self.finish_reason is None
        over = budget is not None and self._thought_tokens >= budget
        return over and unfinished and self._thinks

    @property
    def hung_up(self) -> bool:
        """Whether what the server still has to say is not wanted."""
        return self.finish_reason == "repetition" or self.thought_enough

    def write(self, piece: str) -> str:
        """Add text that the server did not say."""
        self.text += piece
        return piece

    def take(self, chunk: Mapping[str, Any]) -> str:
        """Add what a chunk brings; its text. Raises EndpointError for one of another protocol."""
        try:
            return self._take(chunk)
        except EndpointError:
            raise
        except (TypeError, AttributeError, LookupError, ValueError) as error:
            raise EndpointError(
                f"{self._place}: the answer is not that of OpenAI's protocol: {chunk!r:.80}"
            ) from error

    def end(self) -> None:
        """Nothing more comes. Raises EndpointError where the server did not say why."""
        if self.finish_reason is None:
            raise EndpointError(f"{self._place}: the answer ended without a finish_reason")

    def generation(self) -> Generation:
        """The finished answer. Raises EndpointError where log-probabilities were asked for and the
        server gave none."""
        assert self.finish_reason is not None
        logprobs = None
        if self._options.logprobs is not None:
            logprobs = tuple(self._logprobs[: len(self._ids)])
            if len(logprobs) < len(self._ids) or (self.text and not self._ids):
                raise EndpointError(f"{self._place}: the server gives no log-probabilities by id")
        return Generation(
            self.text,
            tuple(self._ids),
            self.finish_reason,
            self._prompt_tokens,
            logprobs=logprobs,
            cached_tokens=self._cached_tokens,
            told_tokens=None if self._ids or not self.text else self._told_tokens or self.n_tokens,
        )

    @property
    def _thinks(self) -> bool:
        whole = self.begun + self.text
        return whole.rfind(_OPEN) > whole.rfind(_CLOSE)

    def _take(self, chunk: Mapping[str, Any]) -> str:
        usage, prompt_ids = chunk.get("usage") or {}, chunk.get("prompt_token_ids")
        if not self._prompt_tokens:
            self._prompt_tokens = len(prompt_ids or ()) or usage.get("prompt_tokens") or 0
        if self._cached_tokens is None:
            self._cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        if not chunk.get("choices"):
            self._told_tokens += usage.get("completion_tokens") or 0
            return ""
        choice = chunk["choices"][0]
        delta = choice.get("delta") or {}
        thought = delta.get("reasoning") or delta.get("reasoning_content") or ""
        thinks, ids = self._thinks, choice.get("token_ids")
        said, told = delta.get("content") or "", (choice.get("logprobs") or {}).get("content") or ()
        if thinks and self._over_budget(ids or (), told):
            said, ids, told = self._within_budget(ids, told)
            choice = {}
        piece = self.write(self._joined(thought, said))
        if told:
            self._logprobs += _logprobs(told, self._accounted, self.text)
            self._accounted = len(self.text)
        self._push(ids if ids is not None else [piece] if piece else [], thinks)
        self._ids += ids or ()
        if (reason := choice.get("finish_reason")) is not None and self.finish_reason is None:
            self._finish(reason, choice.get("stop_reason"))
        return piece

    def _over_budget(self, ids: Sequence[int], told: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the tokens of a chunk, of which a busy server sends several at once, go beyond
        the thinking budget, and can be told from each other."""
        budget = self._options.thinking_budget
        if budget is None or len(told) < len(ids) or len(ids) <= budget - self._thought_tokens:
            return False
        return _CLOSE not in self.text[-len(_CLOSE) :] + self._within_budget(ids, told)[0]

    def _within_budget(
        self, ids: Sequence[int], told: Sequence[Mapping[str, Any]]
    ) -> tuple[str, Sequence[int], Sequence[Mapping[str, Any]]]:
        """The text, ids and log-probabilities of the tokens that the budget allows."""
        assert self._options.thinking_budget is not None
        left = self._options.thinking_budget - self._thought_tokens
        data = b"".join(bytes(one.get("bytes") or ()) for one in told[:left])
        return data.decode("utf-8", "ignore"), ids[:left], told[:left]

    def _joined(self, thought: str, said: str) -> str:
        if thought and not self._apart:
            self._apart = True
            thought = thought if self._thinks else f"{_OPEN}\n{thought}"
        if said and self._apart:
            self._apart = False
            if thought or self._thinks:  # else it was closed for the server
                said = f"\n{_CLOSE}\n\n{said.lstrip()}"
        return thought + said

    def _push(self, tokens: Sequence[Any], thinks: bool) -> None:
        for token in tokens:
            self._tokens.append(token)
            self._thought_tokens += thinks
            if self._options.stop_repetition and repeats(self._tokens):
                self.finish_reason = "repetition"

    def _finish(self, reason: str, by: Any) -> None:
        if reason == "stop" and isinstance(by, str):
            self.finish_reason = "stop_string"
        elif reason in get_args(FinishReason):
            self.finish_reason = reason  # type: ignore[assignment]
            if reason == "stop":
                del self._ids[-1:]  # the end token
        else:
            raise EndpointError(f"{self._place}: the answer ended by {reason!r}")


def _logprobs(entries: Sequence[Mapping[str, Any]], begin: int, text: str) -> list[TokenLogprob]:
    """What a server says of the tokens of a text from `begin` on, which it was asked to name by
    their ids. Their bytes tell how far each of them goes."""
    found, end = [], begin
    for number, entry in enumerate(entries, 1):
        data = entry.get("bytes")
        data = None if data is None else bytes(data)
        end += len((data or b"").decode("utf-8", "replace"))
        end = len(text) if number == len(entries) else min(end, len(text))
        top = tuple((_id_of(one), one["logprob"]) for one in entry.get("top_logprobs") or ())
        found.append(TokenLogprob(_id_of(entry), entry["logprob"], top, end, data))
    return found


def _id_of(entry: Mapping[str, Any]) -> int:
    return int(entry["token"].removeprefix("token_id:"))

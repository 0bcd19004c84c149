"""What an engine takes and gives: requests, options, generations, and the protocol itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Protocol

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.text import single_line

Messages = Sequence[Mapping[str, Any]]
# A clip of a request: float32 mono samples `[n]` at 16 kHz, or what `Engine.encode` returned.
ClipLike = Any

_WHOLE_MAX = 2**31 - 1
_SEED_MAX = 2**63 - 1
_LOGPROBS_MAX = 20
_BEAMS_MAX = 64

FinishReason = Literal["stop", "stop_string", "length", "repetition"]


@dataclass(frozen=True)
class GenerationOptions:
    """How an answer is decoded. The defaults are greedy.

    Attributes:
        max_new_tokens: upper bound of the answer, thinking included.
        temperature: 0 is greedy; otherwise logits are divided by it and sampled.
        top_p: sample only from the smallest set of tokens with this much probability.
        top_k: sample only from the k likeliest tokens; 0 is all.
        seed: of this request alone; an answer does not depend on what else is in the batch.
        stop: the answer ends before the first of these strings.
        thinking: True opens a think block, False an empty one, None leaves it to the model.
        thinking_budget: tokens after which an open think block is closed; None is no bound.
        num_return_sequences: answers a request; the i-th is that of the seed `seed + i`.
        stop_repetition: end an answer that repeats the same tokens over and over.
        logprobs: also give the log-probability of each token, and of the so many likeliest in its
            place (0 to 20); None gives none.
        trace: also record what each token was drawn from (`Trace`), as policy gradients need it.
        num_beams: above 1, the likeliest answer is searched by so many beginnings at once, by the
            rules of transformers' `generate`; `num_return_sequences` may be as many (a search that
            leaves out some may find fewer). It is written when it is whole; `stop` and a draft do
            not shorten the search.
        length_penalty: of a search: an answer's log-probability is divided by its number of tokens
            to the power of this.
        early_stopping: a search ends with the `num_beams`-th finished answer, even if others may
            become better.
        fork_below: of a search: a beginning whose next token is at least this likely goes on with
            that alone; 1 leaves out nothing.
        beam_margin: of a search: beginnings whose log-probability is so far (in nats) behind the
            best are dropped; None drops none.

    Raises:
        MossAudioError: naming the option and its value.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()
    thinking: bool | None = None
    thinking_budget: int | None = None
    num_return_sequences: int = 1
    stop_repetition: bool = False
    logprobs: int | None = None
    trace: bool = False
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool = False
    fork_below: float = 1.0
    beam_margin: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.stop, str):
            object.__setattr__(self, "stop", (self.stop,))
        elif isinstance(self.stop, list):
            object.__setattr__(self, "stop", tuple(self.stop))
        _whole(self, "max_new_tokens", 1)
        _whole(self, "top_k", 0)
        _whole(self, "seed", 0, _SEED_MAX)
        _whole(self, "num_return_sequences", 1)
        if self.thinking_budget is not None:
            _whole(self, "thinking_budget", 0)
        if self.logprobs is not None:
            _whole(self, "logprobs", 0, _LOGPROBS_MAX)
        for name, top in (("temperature", math.inf), ("top_p", 1.0)):
            value = getattr(self, name)
            if not _number(value, 0, top):
                bound = "0 or more" if top == math.inf else "above 0 and at most 1"
                raise MossAudioError(f"{name}={value!r}: give a number, {bound}")
        if self.top_p == 0:
            raise MossAudioError("top_p=0: give a number above 0 and at most 1")
        texts = self.stop if isinstance(self.stop, tuple) else (None,)
        if any(not isinstance(text, str) or not text for text in texts):
            raise MossAudioError(f"stop={self.stop!r}: give a text or several, none of them empty")
        if self.trace and self.temperature == 0:
            raise MossAudioError("trace=True: nothing is drawn at temperature 0; give one above 0")
        if self.thinking is not None and type(self.thinking) is not bool:
            given = single_line(repr(self.thinking))
            raise MossAudioError(f"thinking={given}: give True, False or None")
        _check_search(self)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The options there are."""
        return tuple(entry.name for entry in fields(cls))

    def changed(self, **changes: Any) -> GenerationOptions:
        """A copy with other values. Raises MossAudioError for an option that does not exist."""
        unknown = sorted(set(changes) - set(self.names()))
        if unknown:
            raise MossAudioError(
                f"unknown option {unknown[0]!r}; the options are {', '.join(self.names())}"
            )
        return replace(self, **changes)


def _whole(options: GenerationOptions, name: str, least: int, most: int = _WHOLE_MAX) -> None:
    value = getattr(options, name)
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        raise MossAudioError(f"{name}={value!r}: give a whole number from {least} to {most}")


def _check_search(options: GenerationOptions) -> None:
    """Raises MossAudioError for what a search cannot be or cannot do."""
    _whole(options, "num_beams", 1, _BEAMS_MAX)
    for name, good, what in (
        ("length_penalty", _number(options.length_penalty, -10, 10), "a number from -10 to 10"),
        ("early_stopping", type(options.early_stopping) is bool, "True or False"),
        ("fork_below", _number(options.fork_below, 0, 1), "a number from 0 to 1"),
        (
            "beam_margin",
            options.beam_margin is None or _number(options.beam_margin, 0, math.inf),
            "a number, 0 or more, or None",
        ),
    ):
        if not good:
            raise MossAudioError(f"{name}={getattr(options, name)!r}: give {what}")
    if options.num_beams == 1:
        return
    if options.num_return_sequences > options.num_beams:
        raise MossAudioError(
            f"num_return_sequences={options.num_return_sequences}: a search of "
            f"{options.num_beams} beams finds no more than that"
        )
    for name in ("temperature", "thinking", "thinking_budget"):
        if getattr(options, name):
            raise MossAudioError(
                f"{name}={getattr(options, name)!r}: not with num_beams={options.num_beams}"
            )


def _number(value: Any, least: float, most: float) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and least <= value <= most


@dataclass(frozen=True, eq=False)
class Request:
    """One prompt and its clips.

    Attributes:
        messages: a conversation as in `moss_audio.prompt`; its audio parts need no clip.
        clips: one for each audio part, in order: float32 mono samples `[n]` at 16 kHz, or handles
            from `Engine.encode`.
        options: how to decode.
        reuse: keep the clips' encoding and prefill for later requests on the same clips. Not
            worth it for the windows of a long recording, which nobody asks about twice.
        priority: of waiting requests the highest goes first; what is being decoded stays.
        key: whose request it is, e.g. a user's name. Of equal priority, the key goes first for
            which least was computed of late, so that many requests of one do not keep another
            waiting.
        draft: a guess of how the answer begins. It is checked in one pass and kept as far as the
            model agrees: it saves time where it is right and does not change the answer. (Where
            rounding depends on how many tokens are in a pass, in bfloat16 and in 4 bits, a near
            tie may fall the other way.)
        continues: the last message is the assistant's, and the answer goes on where it ends; it is
            what is new. Whether that thinks is for its text to say, which may open with a think
            block.

    Raises:
        MossAudioError: for a priority, a key or a draft that is no such thing, and for
            `thinking=True` of an answer that is begun.
    """

    messages: Messages
    clips: tuple[ClipLike, ...] = ()
    options: GenerationOptions = field(default_factory=GenerationOptions)
    reuse: bool = True
    priority: int = 0
    key: str = ""
    draft: str = ""
    continues: bool = False

    def __post_init__(self) -> None:
        if self.continues and self.options.thinking:
            raise MossAudioError("thinking=True: the answer is begun; begin it with <think>")
        if type(self.priority) is not int:
            raise MossAudioError(f"priority={self.priority!r}: give a whole number")
        for name in ("key", "draft"):
            if not isinstance(getattr(self, name), str):
                raise MossAudioError(f"{name}={getattr(self, name)!r}: give a text")

    @classmethod
    def question(
        cls,
        question: str,
        *clips: ClipLike,
        options: GenerationOptions | None = None,
        reuse: bool = True,
    ) -> Request:
        """A single user turn: the clips, then the question, as the processor writes it."""
        content = [*({"type": "audio"} for _ in clips), {"type": "text", "text": question}]
        message = {"role": "user", "content": content}
        return cls((message,), clips, options or GenerationOptions(), reuse)


@dataclass(frozen=True)
class TokenLogprob:
    """How likely a generated token was, before temperature and other bounds.

    Attributes:
        token_id: what was generated.
        logprob: natural logarithm of its probability.
        top: (token id, logprob) of the likeliest in its place, highest first.
        end: characters of the answer's text after it.
        data: its bytes, where a server tells them.
        ended: the log-probability that the answer ends in its place; None where nobody says.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]
    end: int
    data: bytes | None = None
    ended: float | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class Trace:
    """What the tokens of an answer were drawn from; n of them, the end token included.

    Attributes:
        ids: int32 `[n]`.
        logprobs: float32 `[n]`, of the truncated distribution at the temperature: that which the
            tokens were drawn from.
        kept: int32 `[n, K]`, the ids that top-k and top-p kept at each step, -1 beyond them; None
            where nothing but the audio ids was left out.
        forced: bool `[n]`, put in by the engine and not drawn (an opened think block, the end of a
            thinking budget); their log-probability is 0.
    """

    ids: np.ndarray
    logprobs: np.ndarray
    kept: np.ndarray | None
    forced: np.ndarray


@dataclass(frozen=True)
class Generation:
    """One answer.

    Attributes:
        text: without control tokens; a think block stays in it.
        token_ids: what was generated, without the end token; none where a server keeps them.
        finish_reason: "stop" (the model ended it), "stop_string", "length", or "repetition".
        prompt_tokens: positions of the prompt, audio included.
        alternatives: the further answers where `num_return_sequences` is above 1.
        logprobs: one for each token, where they were asked for.
        cached_tokens: positions of the prompt that were computed before; None where nobody says.
        told_tokens: how many tokens were generated, where a server tells that and not which.
        trace: what they were drawn from, where it was asked for.
        score: of an answer that was searched (`num_beams`), the log-probability of its tokens, end
            token included, divided by their number to the power of `length_penalty`.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    prompt_tokens: int
    alternatives: tuple[Generation, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None
    cached_tokens: int | None = field(default=None, compare=False)
    told_tokens: int | None = None
    trace: Trace | None = field(default=None, compare=False)
    score: float | None = None

    @property
    def n_tokens(self) -> int:
        """How many tokens were generated, without the end token where that is known."""
        return len(self.token_ids) if self.told_tokens is None else self.told_tokens


class Session(Protocol):
    """One clip, kept encoded and prefilled, for any number of questions."""

    def ask(self, question: str, options: GenerationOptions | None = None) -> Generation: ...

    def stream(self, question: str, options: GenerationOptions | None = None) -> Iterator[str]: ...

    def close(self) -> None: ...


class Engine(Protocol):
    """Runs a model. One request at a time or thousands, from any number of threads: the engine
    decodes them together."""

    @property
    def description(self) -> str:
        """What runs it, for people: "torch float32 on cpu", or a server's address."""

    @property
    def precision(self) -> str:
        """The numbers that it computes in, on which answers depend: "torch.float32"."""

    @property
    def batch_size(self) -> int:
        """Prompts that are decoded at once."""

    @property
    def max_positions(self) -> int | None:
        """Of a prompt and its answer together; None where nobody says."""

    @property
    def window_s(self) -> float | None:
        """The longest clip that the checkpoint was trained on; None where nobody says."""

    @property
    def task_windows_s(self) -> Mapping[str, float]:
        """The same for tasks, by name, for which it is another (`listen.task_window_s`)."""

    @property
    def thinks(self) -> bool:
        """Whether the checkpoint thinks before it answers, if it is not told otherwise."""

    def generate(
        self,
        requests: Sequence[Request],
        on_result: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        """Answers in the order of the requests; `on_result(index, answer)` as each is done."""

    def stream(self, request: Request) -> Generator[str, None, Generation]:
        """The answer in pieces of whole characters; joined they are `Generation.text`. The
        generator returns the whole answer."""

    def encode(self, clip: np.ndarray) -> ClipLike:
        """A handle that stands for the clip in requests, without encoding it again."""

    def open(self, clip: ClipLike) -> Session:
        """A session on one clip: its prompt prefix is computed now and reused."""

    def forget(self) -> None:
        """Give back the memory that is kept for further questions about the same clips."""

    def check(self, request: Request) -> int:
        """Positions of the prompt. Raises MossAudioError if the request cannot be answered."""

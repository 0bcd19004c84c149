"""The engine on a server: requests go, by OpenAI's chat protocol, to what serves the checkpoint.

vLLM is meant and tested; any other server that takes `input_audio` and streams will do. Prompts,
parsers, windows and writers stay those of this package. What a server does not have: audio tokens
to align words with, and a check that text is not read as control tokens (its chat template makes
text of a conversation first). A request's `key` and `draft` stay here; its `priority` counts
among the requests of one call.
"""

from __future__ import annotations

import base64
import queue
import struct
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from moss_audio import settings
from moss_audio.endpoint import BrokenAnswerError, Endpoint, EndpointClient, EndpointError
from moss_audio.engine.base import ClipLike, Generation, GenerationOptions, Request
from moss_audio.engine.prompts import clip_samples
from moss_audio.engine.remote_answer import RemoteAnswer
from moss_audio.engine.row import members
from moss_audio.engine.thinking import TRANSITION
from moss_audio.errors import CheckpointError, MossAudioError, PromptError
from moss_audio.prompt import AudioPart, Turn, audio_parts, parse_messages
from moss_audio.units import SAMPLE_RATE, num_tokens_of_samples

BATCH_SIZE = 16  # requests under way at once
TIMEOUT_S = 300.0  # a long clip on a busy server waits before its first token
_LISTING_S = 30.0  # a list of models does not wait


@dataclass(frozen=True)
class ServedCheckpoint:
    """What is known of a checkpoint that a server holds.

    Attributes:
        endpoint: the server, and the checkpoint's name there.
        root: what the server says that it loaded; "" where it does not say.
        max_positions: of a prompt and its answer together; None where it does not say.
    """

    times: ClassVar[str] = "written"

    endpoint: Endpoint
    root: str = ""
    max_positions: int | None = None

    @classmethod
    def open(cls, address: str, model: str | None = None, **options: Any) -> ServedCheckpoint:
        """Ask a server what it serves.

        Args:
            address: `http://host:8000/v1`, or `http://host:8000/v1#name` with the model's name.
            model: the name, if it is not in the address; needed where several are served.
            options: `key_env`, `timeout_s` and `retries` of `Endpoint`.

        Raises:
            CheckpointError: if there is no such model.
            MossAudioError: if the server cannot be asked; an option that does not exist.
        """
        url, _, named = address.partition("#")
        if model and named and model != named:
            raise CheckpointError(f"{address}: the model is also named {model!r}; name it once")
        endpoint = Endpoint(url, model or named, **{"timeout_s": TIMEOUT_S, **options})
        listing = replace(endpoint, timeout_s=min(_LISTING_S, endpoint.timeout_s))
        rows = {row["id"]: row for row in EndpointClient(listing).models()}
        name = endpoint.model or (next(iter(rows)) if len(rows) == 1 else "")
        if name not in rows:
            served = ", ".join(map(repr, rows)) or "nothing"
            wanted = f"{name!r} is not served there" if name else "which model is meant"
            raise CheckpointError(f"{url}: {wanted}; served: {served}; name one as {url}#NAME")
        row = rows[name]
        length = row.get("max_model_len")
        return cls(
            replace(endpoint, model=name),
            root=row.get("root") or "",
            max_positions=length if isinstance(length, int) and length > 0 else None,
        )

    @property
    def name(self) -> str:
        """The address, with the model's name."""
        return f"{self.endpoint.url}#{self.endpoint.model}"

    @property
    def thinks(self) -> bool:
        """Whether it thinks before it answers: its name tells, as with the released folders."""
        names = (self.endpoint.model, self.root.rpartition("/")[2])
        return any("thinking" in one.lower() for one in names)

    @property
    def fingerprint(self) -> str:
        """A hash of the address and of what the server calls the model: 64 hexadecimal digits. Its
        files are not seen: other weights under the same names stay unnoticed."""
        return settings.digest([self.endpoint.url, self.endpoint.model, self.root], 64)


@dataclass(frozen=True, eq=False)
class SentClip:
    """A clip as it is sent: a WAV file in base64; stands for its samples in requests."""

    n_samples: int
    data: str


class RemoteEngine:
    """`Engine` over a server. Any number of threads may share it.

    Args:
        checkpoint: what is served, and where.
        batch_size: requests under way at once, of all threads together; None: 16.
        window_s: the longest clip that the checkpoint was trained on; None where nobody says.
    """

    def __init__(
        self,
        checkpoint: ServedCheckpoint,
        *,
        batch_size: int | None = None,
        window_s: float | None = None,
    ) -> None:
        self.batch_size = batch_size or BATCH_SIZE
        self.max_positions = checkpoint.max_positions
        self.window_s = window_s
        self.thinks = checkpoint.thinks
        self.description = "a server"
        self.precision = "as served"
        self._client = checkpoint.endpoint.connect("An engine on a server")
        self._slots = threading.BoundedSemaphore(self.batch_size)

    def generate(
        self,
        requests: Sequence[Request],
        on_result: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        """Answers in the order of the requests, `batch_size` of them under way at once.

        Args:
            requests: any mix of prompts, clips and options.
            on_result: called with the index and the answer as each request is done.

        Raises:
            MossAudioError: before anything is asked, if a request cannot be answered; at once
                where the server refuses all; else the first of what failed, once the others are
                done.
        """
        for request in requests:
            self.check(request)
        done: list[list[Generation | None]] = [
            [None] * request.options.num_return_sequences for request in requests
        ]
        failed: EndpointError | None = None
        for index, member, outcome in self._outcomes(requests):
            if isinstance(outcome, EndpointError):
                failed = failed or outcome
                continue
            done[index][member] = outcome
            finished = [one for one in done[index] if one is not None]
            if on_result is not None and len(finished) == len(done[index]):
                on_result(index, members(finished))
        if failed is not None:
            raise failed
        return [members([one for one in answers if one is not None]) for answers in done]

    def stream(self, request: Request) -> Generator[str, None, Generation]:
        """The answer in pieces of whole characters, as they arrive; returns it whole.

        Raises:
            MossAudioError: if the request cannot be answered, or asks for several answers.
        """
        if request.options.num_return_sequences != 1:
            raise MossAudioError("num_return_sequences: a stream gives one answer")
        self.check(request)
        return self._pieces(request, 0)

    def encode(self, clip: ClipLike) -> SentClip:
        """A clip `[n]` as it is sent.

        Raises:
            AudioError: if it is no clip.
        """
        if isinstance(clip, SentClip):
            return clip
        samples = clip_samples(clip)
        return SentClip(len(samples), base64.b64encode(_wav(samples)).decode("ascii"))

    def open(self, clip: ClipLike) -> RemoteSession:
        """A session on a clip, which is made ready to be sent.

        Raises:
            AudioError: if it is no clip.
        """
        return RemoteSession(self, clip)

    def forget(self) -> None:
        """Nothing: what a server keeps is its own affair."""

    def check(self, request: Request) -> int:
        """Positions that the clips alone take; those of the text only the server knows.

        Raises:
            MossAudioError: if they are more than there are, or the request is no conversation.
        """
        turns = parse_messages(request.messages)
        n_parts = len(audio_parts(turns))
        if n_parts != len(request.clips):
            raise PromptError(
                f"the messages hold {n_parts} audio parts but {len(request.clips)} clips are "
                "given: give one clip for each audio part"
            )
        if turns[-1].role == "assistant":
            raise PromptError("the last message is the assistant's: end with a user message")
        lengths = [
            clip.n_samples if isinstance(clip, SentClip) else len(clip_samples(clip, index))
            for index, clip in enumerate(request.clips)
        ]
        positions = sum(map(num_tokens_of_samples, lengths))
        if self.max_positions is not None and positions >= self.max_positions:
            raise PromptError(
                f"the clips have {positions} positions, but the server takes {self.max_positions} "
                "in all: shorten them (start, end)"
            )
        return positions

    def _outcomes(
        self, requests: Sequence[Request]
    ) -> Iterator[tuple[int, int, Generation | EndpointError]]:
        """What becomes of each answer, as it is known. Raises what no other answer would survive.

        The threads are daemons: Ctrl-C does not wait for a slow server."""
        places = [
            (index, member)
            for index, request in enumerate(requests)
            for member in range(request.options.num_return_sequences)
        ]
        places.sort(key=lambda place: -requests[place[0]].priority)
        todo: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        for place in places:
            todo.put(place)
        done: queue.SimpleQueue[tuple[int, int, Generation | BaseException]] = queue.SimpleQueue()
        cancelled = threading.Event()

        def work() -> None:
            while not cancelled.is_set():
                try:
                    index, member = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    done.put((index, member, self._answer(requests[index], member, cancelled)))
                except BaseException as error:
                    if not isinstance(error, EndpointError):
                        cancelled.set()
                    done.put((index, member, error))

        for _ in range(min(self.batch_size, len(places))):
            threading.Thread(target=work, name="moss-audio-remote", daemon=True).start()
        try:
            for _ in places:
                index, member, outcome = done.get()
                if isinstance(outcome, BaseException) and not isinstance(outcome, EndpointError):
                    raise outcome
                yield index, member, outcome
        finally:
            cancelled.set()

    def _answer(self, request: Request, member: int, cancelled: threading.Event) -> Generation:
        """An answer as a whole; one that breaks off is asked for again."""
        for _ in range(self._client.endpoint.retries):
            try:
                return self._whole(request, member, cancelled)
            except BrokenAnswerError:
                pass
        return self._whole(request, member, cancelled)

    def _whole(self, request: Request, member: int, cancelled: threading.Event) -> Generation:
        with closing(self._pieces(request, member)) as pieces:
            while not cancelled.is_set():
                try:
                    next(pieces)
                except StopIteration as end:
                    answer: Generation = end.value
                    return answer
        raise EndpointError("cancelled")

    def _pieces(self, request: Request, member: int) -> Generator[str, None, Generation]:
        answer = RemoteAnswer(request.options, self._client.place)
        messages = self._messages(request)
        most = min(request.options.max_new_tokens, self.max_positions or sys.maxsize)
        with self._slots:
            if request.options.thinking:
                yield answer.write("<think>\n")
            while answer.finish_reason is None:
                asked = _body(messages, request.options, member, answer)
                asked["max_tokens"] = most - answer.n_tokens
                with closing(self._client.stream(asked)) as chunks:
                    for chunk in chunks:
                        if piece := answer.take(chunk):
                            yield piece
                        if answer.hung_up:
                            break
                    else:
                        answer.end()
                if answer.thought_enough:  # the server is asked to continue behind these words
                    yield answer.write(f"{TRANSITION}</think>\n\n")
                    if answer.n_tokens >= most:
                        answer.finish_reason = "length"
        return answer.generation()

    def _messages(self, request: Request) -> list[dict[str, Any]]:
        """The conversation as the server takes it, clips included."""
        clips = iter(request.clips)
        return [
            {"role": turn.role, "content": self._content(turn, clips)}
            for turn in parse_messages(request.messages)
        ]

    def _content(self, turn: Turn, clips: Iterator[ClipLike]) -> str | list[dict[str, Any]]:
        if turn.role == "assistant":
            thought = (
                "" if turn.thinking is None else f"<think>\n{turn.thinking.strip()}\n</think>\n\n"
            )
            return thought + turn.text.lstrip()
        content: list[dict[str, Any]] = []
        for part in turn.parts:
            if isinstance(part, AudioPart):
                sound = {"data": self.encode(next(clips)).data, "format": "wav"}
                content.append({"type": "input_audio", "input_audio": sound})
            elif content and content[-1]["type"] == "text":  # templates differ in what joins them
                content[-1]["text"] += part.text
            else:
                content.append({"type": "text", "text": part.text})
        return content


class RemoteSession:
    """One clip, ready to be sent, for any number of questions."""

    def __init__(self, engine: RemoteEngine, clip: ClipLike) -> None:
        self.clip = engine.encode(clip)
        self._engine = engine

    def ask(self, question: str, options: GenerationOptions | None = None) -> Generation:
        """The answer to a question about the clip."""
        return self._engine.generate([Request.question(question, self.clip, options=options)])[0]

    def stream(self, question: str, options: GenerationOptions | None = None) -> Iterator[str]:
        """The answer in pieces."""
        return self._engine.stream(Request.question(question, self.clip, options=options))

    def close(self) -> None:
        """Nothing is kept on the server."""


def _body(
    messages: Sequence[Mapping[str, Any]],
    options: GenerationOptions,
    member: int,
    answer: RemoteAnswer,
) -> dict[str, Any]:
    """A request to begin an answer, or to continue it.

    Every number is named: a server would fill gaps from the checkpoint's own generation settings.
    """
    body: dict[str, Any] = {
        "messages": messages,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k or -1,
        "repetition_penalty": 1.0,
        "seed": options.seed + member,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
    }
    if options.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": options.logprobs}
        body["return_tokens_as_token_ids"] = True
    if options.stop:
        body["stop"] = list(options.stop)
    if options.thinking is False:
        body["chat_template_kwargs"] = {"enable_thinking": False}
    if answer.text:
        body["messages"] = [*messages, {"role": "assistant", "content": answer.text}]
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    return body


def _wav(samples: np.ndarray) -> bytes:
    """Samples `[n]` at 16 kHz as a WAV file of 32-bit floats: nothing is lost, and vLLM without
    soundfile takes 16-bit samples for whole numbers."""
    ieee_float, n_bytes = 3, 4
    form = struct.pack(
        "<HHIIHH", ieee_float, 1, SAMPLE_RATE, n_bytes * SAMPLE_RATE, n_bytes, 8 * n_bytes
    )
    data = samples.astype("<f4").tobytes()
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body

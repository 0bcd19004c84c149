"""The engine on a server: requests go, by OpenAI's chat protocol, to what serves the checkpoint.

vLLM is meant and tested; any other server that takes `input_audio` and streams will do. Prompts,
parsers, windows and writers stay those of this package. What a server does not have: audio tokens
to align words with, and a check that text is not read as control tokens (its chat template makes
text of a conversation first). A request's `key` and `draft` stay here; its `priority` counts
among the requests of one call.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

from moss_audio.endpoint import BrokenAnswerError, EndpointError
from moss_audio.endpoint.line import CallLine
from moss_audio.engine.base import ClipLike, Generation, GenerationOptions, Request
from moss_audio.engine.handle import Handle
from moss_audio.engine.prompts import clip_samples
from moss_audio.engine.remote_answer import RemoteAnswer
from moss_audio.engine.remote_call import CallThreads, RemoteCall
from moss_audio.engine.remote_request import chat_body, float_wav
from moss_audio.engine.served import HiddenTokenizer, ServedCheckpoint
from moss_audio.engine.thinking import TRANSITION
from moss_audio.errors import MossAudioError, PromptError
from moss_audio.prompt import AudioPart, Turn, check_clips, check_end, parse_messages
from moss_audio.units import num_tokens_of_samples

BATCH_SIZE = 16  # requests under way at once


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
        task_windows_s: the same for tasks, by name, for which it is another.
        tokenizer: of the same checkpoint, for those who want to know what its tokens mean; None
            where only the server has it.
    """

    def __init__(
        self,
        checkpoint: ServedCheckpoint,
        *,
        batch_size: int | None = None,
        window_s: float | None = None,
        task_windows_s: Mapping[str, float] | None = None,
        tokenizer: Any = None,
    ) -> None:
        self.batch_size = batch_size or BATCH_SIZE
        self.max_positions = checkpoint.max_positions
        self.window_s, self.task_windows_s = window_s, task_windows_s or {}
        self.thinks = checkpoint.thinks
        self.description = "a server"
        self.precision = "as served"
        self.endpoint = checkpoint.endpoint
        self._client = checkpoint.endpoint.connect("An engine on a server")
        self.tokenizer = tokenizer or HiddenTokenizer()
        self._threads = CallThreads(self.batch_size)

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
        handles = [self._begin(request) for request in requests]
        done: SimpleQueue[int] = SimpleQueue()
        refused: list[BaseException] = []
        failed: EndpointError | None = None

        def over(place: int) -> None:  # in the thread that ends it, before that takes another
            try:
                handles[place].result()
            except (EndpointError, CancelledError):
                pass
            except BaseException as error:
                refused.append(error)
                for handle in handles:
                    handle.cancel()
            done.put(place)

        try:
            for place, handle in enumerate(handles):
                handle.add_done_callback(partial(over, place))
            for _ in handles:
                place = done.get()
                if refused:
                    raise refused[0]
                try:
                    answer = handles[place].result()
                except EndpointError as error:
                    failed = failed or error
                    continue
                if on_result is not None:
                    on_result(place, answer)
        finally:
            for handle in handles:
                handle.cancel()
        if failed is not None:
            raise failed
        return [handle.result() for handle in handles]

    def submit(self, request: Request, *, pieces: bool = False) -> Handle:
        """Begin with a request, and go on; `pieces` to iterate over its text as it arrives. What
        cancels it closes the connection to the server.

        Raises:
            MossAudioError: if the request cannot be answered, or asks for several answers in
                pieces.
        """
        if pieces and request.options.num_return_sequences != 1:
            raise MossAudioError("num_return_sequences: a stream gives one answer")
        self.check(request)
        return self._begin(request, pieces=pieces)

    def stream(self, request: Request) -> Generator[str, None, Generation]:
        """The answer in pieces of whole characters, as they arrive; returns it whole.

        Raises:
            MossAudioError: if the request cannot be answered, or asks for several answers.
        """
        if request.options.num_return_sequences != 1:
            raise MossAudioError("num_return_sequences: a stream gives one answer")
        self.check(request)
        return self._stream(request)

    def encode(self, clip: ClipLike) -> SentClip:
        """A clip `[n]` as it is sent.

        Raises:
            AudioError: if it is no clip.
        """
        if isinstance(clip, SentClip):
            return clip
        samples = clip_samples(clip)
        return SentClip(len(samples), base64.b64encode(float_wav(samples)).decode("ascii"))

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
            MossAudioError: if they are more than there are, the request is no conversation, or it
                asks for a trace.
        """
        if request.options.num_beams > 1:
            raise MossAudioError("num_beams: only an engine in this process searches")
        if request.options.trace:
            raise MossAudioError("trace=True: only an engine in this process records it")
        turns = parse_messages(request.messages)
        check_clips(turns, len(request.clips))
        check_end(turns, continues=request.continues)
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

    def _begin(self, request: Request, *, pieces: bool = False) -> Handle:
        call = RemoteCall(request, pieces=pieces)
        for member in range(len(call.lines)):
            self._threads.start(partial(self._answer, call, member), request.priority)
        return call.handle

    def _stream(self, request: Request) -> Generator[str, None, Generation]:
        handle = self._begin(request, pieces=True)
        try:
            yield from handle
            return handle.result()
        finally:  # also where nobody wants the rest
            handle.cancel()

    def _answer(self, call: RemoteCall, member: int) -> None:
        """One answer of a call, in a thread. One that breaks off before anybody has seen any of it
        is asked for again."""
        attempts = 1 + (0 if call.in_pieces else self.endpoint.retries)
        while not call.over:
            attempts -= 1
            try:
                call.answered(member, self._whole(call, member))
                return
            except BrokenAnswerError as error:
                if not attempts:
                    call.end(error)
            except BaseException as error:
                call.end(error)

    def _whole(self, call: RemoteCall, member: int) -> Generation:
        pieces = self._pieces(call.request, member, call.lines[member])
        with closing(pieces):
            while True:
                try:
                    call.write(next(pieces))
                except StopIteration as end:
                    answer: Generation = end.value
                    return answer

    def _pieces(
        self, request: Request, member: int, line: CallLine
    ) -> Generator[str, None, Generation]:
        messages = self._messages(request)
        begun = messages.pop()["content"] if request.continues else ""
        answer = RemoteAnswer(request.options, self._client.place, begun)
        most = min(request.options.max_new_tokens, self.max_positions or sys.maxsize)
        if request.options.thinking:
            yield answer.write("<think>\n")
        while answer.finish_reason is None:
            asked = chat_body(messages, request.options, member, answer)
            asked["max_tokens"] = most - answer.n_tokens
            with closing(self._client.stream(asked, line)) as chunks:
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

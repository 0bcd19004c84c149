"""An engine in this process: requests become prompts here, and answers in its scheduler."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from moss_audio.engine.base import ClipLike, Generation, GenerationOptions, Request
from moss_audio.engine.handle import Handle, wait_for
from moss_audio.engine.live import TOLERANCE, LiveClip
from moss_audio.engine.prompts import EncodedClip, Prompt, PromptMaker
from moss_audio.engine.row import AnswerRow
from moss_audio.engine.runner import Runner
from moss_audio.engine.scheduler import Scheduler
from moss_audio.engine.stamps import StampIds
from moss_audio.errors import MossAudioError
from moss_audio.prompt import PromptSpec

REUSE_BYTES = 512 * 2**20  # keys and values kept for further questions


class LocalEngine:
    """`Engine` over a `Runner`.

    Args:
        runner: runs the model.
        tokenizer: of the same checkpoint.
        spec: its audio ids and markers.
        batch_size: rows decoded at once; None takes what suits the runner.
        batch_tokens: positions of them all, padding included; None likewise.
        reuse_bytes: memory for the prefixes of clips, least recently used out first.
        window_s: the longest clip that the checkpoint was trained on; None where nobody says.
        task_windows_s: the same for tasks, by name, for which it is another.
        thinks: whether the checkpoint thinks before it answers, if it is not told otherwise.

    Any number of threads may use it. `close` frees it at once.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: Any,
        spec: PromptSpec,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        reuse_bytes: int = REUSE_BYTES,
        window_s: float | None = None,
        task_windows_s: Mapping[str, float] | None = None,
        thinks: bool = False,
    ) -> None:
        self.runner = runner
        self.tokenizer = tokenizer
        self.window_s, self.task_windows_s = window_s, task_windows_s or {}
        self.scheduler = Scheduler(
            runner, max_rows=batch_size, batch_tokens=batch_tokens, reuse_bytes=reuse_bytes
        )
        self.description, self.precision = runner.description, runner.precision
        self.prompts = PromptMaker(
            tokenizer, spec, chunk_frames=runner.chunk_frames, max_positions=runner.max_positions
        )
        self.thinks = thinks and self.prompts.think is not None
        # what is guessed unasked must not change a token
        self._stamps = StampIds.of(tokenizer) if runner.exact else None
        self._eos_ids = runner.eos_ids | {self.prompts.im_end}

    @property
    def batch_size(self) -> int:
        """Answers that are decoded at once."""
        return self.scheduler.max_rows

    @property
    def max_positions(self) -> int:
        """Positions of a prompt and its answer together."""
        return self.prompts.max_positions

    def generate(
        self,
        requests: Sequence[Request],
        on_result: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        """Answers in the order of the requests.

        The queue may be of any length; the longest prompts come first, so that too large a one
        fails early.

        Args:
            requests: any mix of prompts, clips and options.
            on_result: called with the index and the answer as each request is done.

        Raises:
            MossAudioError: before anything runs, if a request cannot be answered.
            Exception: what stopped one of them; the others are cancelled.
        """
        prompts = [self.prompts.prompt(request) for request in requests]
        handles: dict[int, Handle] = {}
        try:
            for index in _order(prompts):
                handles[index] = self._submit(prompts[index])
            return wait_for([handles[index] for index in range(len(requests))], on_result)
        finally:
            for handle in handles.values():
                handle.cancel()

    def submit(self, request: Request, *, pieces: bool = False) -> Handle:
        """Begin with a request, and go on; `pieces` to iterate over its text as it is written.

        Raises:
            MossAudioError: if the request cannot be answered, or asks for several answers in
                pieces.
        """
        if pieces and request.options.num_return_sequences != 1:
            raise MossAudioError("num_return_sequences: a stream gives one answer")
        return self._submit(self.prompts.prompt(request), pieces=pieces)

    def stream(self, request: Request) -> Generator[str, None, Generation]:
        """The answer in pieces of whole characters, as they become certain; returns it whole.

        Raises:
            MossAudioError: if the request cannot be answered, or asks for several answers.
        """
        if request.options.num_return_sequences != 1:
            raise MossAudioError("num_return_sequences: a stream gives one answer")
        return self._stream(self.prompts.prompt(request))

    def encode(self, clip: ClipLike) -> EncodedClip:
        """Encoder, adapter and mergers of a clip `[n]`; the handle stands for it in requests.

        Raises:
            AudioError: if it is no clip.
        """
        hashed = self.prompts.clip(clip)
        return self.scheduler.call(lambda: self.runner.encode([hashed], keep=True)[0])

    def cosines(self, clip: ClipLike, ids: Sequence[int]) -> np.ndarray:
        """What the audio tokens of a clip say: see `Runner.cosines`."""
        encoded = self.encode(clip)
        return self.scheduler.call(lambda: self.runner.cosines(encoded, ids))

    def open(self, clip: ClipLike) -> LocalSession:
        """A session on a clip, encoded and prefilled now.

        Raises:
            AudioError: if it is no clip.
        """
        return LocalSession(self, clip)

    def live(self, *, tolerance: float = TOLERANCE, priority: int = 0, key: str = "") -> LiveClip:
        """A clip that is heard while it grows: see `LiveClip`."""
        how: dict[str, Any] = {"tolerance": tolerance, "priority": priority, "key": key}
        return LiveClip(self.runner, self.scheduler, self.prompts, **how)

    def check(self, request: Request) -> int:
        """Positions of the prompt.

        Raises:
            MossAudioError: what `generate` would raise for this request.
        """
        return len(self.prompts.prompt(request).input_ids)

    def forget(self) -> None:
        """Give the memory of reusable clips back."""
        self.scheduler.forget()

    def close(self) -> None:
        """End the engine's thread; what is on its way raises."""
        self.scheduler.close()

    def row(self, prompt: Prompt, member: int) -> AnswerRow:
        """The state of an answer to a prompt, before its first token."""
        return AnswerRow(
            prompt.request.options,
            member,
            prompt.max_new_tokens,
            len(prompt.input_ids),
            self.tokenizer,
            self._eos_ids,
            self.prompts.think,
            self._stamps,
            in_thought=prompt.in_thought,
        )

    def _submit(self, prompt: Prompt, *, pieces: bool = False) -> Handle:
        options, draft = prompt.request.options, prompt.request.draft
        answers = [self.row(prompt, member) for member in range(options.num_return_sequences)]
        ids = self.tokenizer.encode(draft, add_special_tokens=False) if draft else ()
        return self.scheduler.submit(prompt, answers, draft=ids, pieces=pieces)

    def _stream(self, prompt: Prompt) -> Generator[str, None, Generation]:
        handle = self._submit(prompt, pieces=True)
        try:
            yield from handle
            return handle.result()
        finally:  # also where nobody wants the rest
            handle.cancel()


def _order(prompts: Sequence[Prompt]) -> list[int]:
    """Places of prompts, the longest first, equal prefixes side by side."""
    first: dict[Hashable, int] = {}
    for index, prompt in enumerate(prompts):
        first.setdefault(prompt.prefix_key, index)
    return sorted(
        range(len(prompts)),
        key=lambda index: (-len(prompts[index].input_ids) // 8, first[prompts[index].prefix_key]),
    )


class LocalSession:
    """One clip, encoded and prefilled, for any number of questions; `close` frees it."""

    def __init__(self, engine: LocalEngine, clip: ClipLike) -> None:
        self.clip = engine.encode(clip)
        self._engine = engine
        release = engine.scheduler.hold(engine.prompts.prompt(Request.question("?", self.clip)))
        self._release = weakref.finalize(self, release)  # also when it is dropped without `close`

    def ask(self, question: str, options: GenerationOptions | None = None) -> Generation:
        """The answer to a question about the clip."""
        return self._engine.generate([self._request(question, options)])[0]

    def stream(self, question: str, options: GenerationOptions | None = None) -> Iterator[str]:
        """The answer in pieces."""
        return self._engine.stream(self._request(question, options))

    def close(self) -> None:
        """What is kept of the clip may be forgotten from now on."""
        self._release()

    def __enter__(self) -> LocalSession:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _request(self, question: str, options: GenerationOptions | None) -> Request:
        return Request.question(question, self.clip, options=options)

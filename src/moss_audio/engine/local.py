"""An engine in this process: a queue of requests, cut into batches whose rows a runner decodes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from moss_audio.engine.base import ClipLike, Generation, GenerationOptions, Request
from moss_audio.engine.prompts import EncodedClip, Prompt, PromptMaker
from moss_audio.engine.row import AnswerRow, members
from moss_audio.engine.runner import Decoding, Runner
from moss_audio.errors import MossAudioError
from moss_audio.prompt import PromptSpec


class LocalEngine:
    """`Engine` over a `Runner`.

    Args:
        runner: runs the model.
        tokenizer: of the same checkpoint.
        spec: its audio ids and markers.
        batch_size: rows decoded at once; None takes what suits the runner.
        batch_tokens: prompt positions of a batch, padding included; None likewise.
        window_s: the longest clip that the checkpoint was trained on, None where nobody says.
        thinks: whether the checkpoint thinks before it answers, if it is not told otherwise.

    Not for several threads at once: give each its own engine, or a lock.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: Any,
        spec: PromptSpec,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        window_s: float | None = None,
        thinks: bool = False,
    ) -> None:
        self.runner = runner
        self.tokenizer = tokenizer
        self.window_s = window_s
        self.batch_size = batch_size or runner.batch_size
        self.batch_tokens = batch_tokens or runner.batch_tokens
        if self.batch_size < 1 or self.batch_tokens < 1:
            raise MossAudioError(
                f"batch_size={batch_size!r}, batch_tokens={batch_tokens!r}: give 1 or more"
            )
        self.prompts = PromptMaker(
            tokenizer, spec, chunk_frames=runner.chunk_frames, max_positions=runner.max_positions
        )
        self.thinks = thinks and self.prompts.think is not None
        self._eos_ids = runner.eos_ids | {self.prompts.im_end}

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

        The queue may be of any length: it is sorted by prompt length, so that a batch holds
        prompts of a similar one, and cut into batches of at most `batch_size` rows.

        Args:
            requests: any mix of prompts, clips and options.
            on_result: called with the index and the answer as each request is done.

        Raises:
            MossAudioError: before anything runs, if a request cannot be answered.
        """
        prompts = [self.prompts.prompt(request) for request in requests]
        done: list[list[Generation | None]] = [
            [None] * prompt.request.options.num_return_sequences for prompt in prompts
        ]
        for places in self._batches(prompts):
            rows = [self.row(prompts[index], member) for index, member in places]
            batch = _Batch(self.runner, [prompts[index] for index, _ in places], rows)
            while batch.active:
                for place in batch.step():
                    index, member = places[place]
                    done[index][member] = rows[place].generation()
                    finished = [one for one in done[index] if one is not None]
                    if on_result is not None and len(finished) == len(done[index]):
                        on_result(index, members(finished))
        return [members([one for one in answers if one is not None]) for answers in done]

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
        return self.runner.encode([self.prompts.clip(clip)], keep=True)[0]

    def piece_scores(self, clip: ClipLike, scale: float) -> np.ndarray:
        """What each audio token of a clip says: see `Runner.piece_scores`."""
        return self.runner.piece_scores(self.encode(clip), scale)

    def open(self, clip: ClipLike) -> LocalSession:
        """A session on a clip, encoded and prefilled now.

        Raises:
            AudioError: if it is no clip.
        """
        return LocalSession(self, clip)

    def check(self, request: Request) -> int:
        """Positions of the prompt.

        Raises:
            MossAudioError: what `generate` would raise for this request.
        """
        return len(self.prompts.prompt(request).input_ids)

    def forget(self) -> None:
        """Give the memory of reusable clips back."""
        self.runner.forget()

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
        )

    def _batches(self, prompts: Sequence[Prompt]) -> Iterator[list[tuple[int, int]]]:
        """(request, member) pairs, longest prompts first: too large a batch then fails early."""
        # equal prefixes side by side, so that they are computed once
        first: dict[Hashable, int] = {}
        for index, prompt in enumerate(prompts):
            first.setdefault(prompt.prefix_key, index)
        queue = [
            (index, member)
            for index, prompt in enumerate(prompts)
            for member in range(prompt.request.options.num_return_sequences)
        ]
        queue.sort(
            key=lambda item: (
                -len(prompts[item[0]].input_ids) // 8,
                first[prompts[item[0]].prefix_key],
            )
        )
        batch: list[tuple[int, int]] = []
        widest = 0
        for item in queue:
            widest = max(widest, len(prompts[item[0]].input_ids))
            full = len(batch) == self.batch_size
            if batch and (full or widest * (len(batch) + 1) > self.batch_tokens):
                yield batch
                batch, widest = [], len(prompts[item[0]].input_ids)
            batch.append(item)
        if batch:
            yield batch

    def _stream(self, prompt: Prompt) -> Generator[str, None, Generation]:
        row = self.row(prompt, 0)
        batch = _Batch(self.runner, [prompt], [row])
        while batch.active:
            batch.step()
            piece = row.take_text()
            if piece:
                yield piece
        return row.generation()


class _Batch:
    """One batch from its prompts to its answers. Rows leave as they finish."""

    def __init__(
        self, runner: Runner, prompts: Sequence[Prompt], rows: Sequence[AnswerRow]
    ) -> None:
        self._runner = runner
        self._prompts = prompts
        self._rows = rows
        self.active = list(range(len(rows)))  # places of `rows` that are being decoded
        self._decoding: Decoding | None = None

    def step(self) -> list[int]:
        """One more token for every active row; the places of the rows that it finished."""
        if self._decoding is None:
            self._decoding = self._runner.start(self._prompts)
        else:
            self._decoding.advance([self._rows[place].tokens[-1] for place in self.active])
        likeliest = self._decoding.likeliest()
        for i, place in enumerate(self.active):
            row = self._rows[place]
            if row.forced is not None:
                token = row.forced
            elif row.sampler.greedy:
                token = likeliest[i]
            else:
                token = row.sampler.pick(self._decoding.logits(i))
            row.push(token)
        finished = [p for p in self.active if self._rows[p].finish_reason is not None]
        if finished:
            keep = [i for i, p in enumerate(self.active) if self._rows[p].finish_reason is None]
            self.active = [self.active[i] for i in keep]
            if keep:
                self._decoding.keep(keep)
            else:
                self._decoding = None
        return finished


class LocalSession:
    """One clip, encoded and prefilled, for any number of questions; `close` frees it."""

    def __init__(self, engine: LocalEngine, clip: ClipLike) -> None:
        self.clip = engine.encode(clip)
        self._engine = engine
        release = engine.runner.hold(engine.prompts.prompt(Request.question("?", self.clip)))
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

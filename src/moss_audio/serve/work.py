"""Work of requests in threads: started from the event loop, read there item by item, cancelled when
nobody waits for it any more."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from moss_audio.endpoint import EndpointError, EndpointRefusedError
from moss_audio.engine.base import ClipLike, Engine, Generation, Request, Session
from moss_audio.engine.handle import Handle, wait_for
from moss_audio.engine.prompts import clip_seconds
from moss_audio.serve.trouble import trouble_of
from moss_audio.units import num_tokens_of_samples, seconds_to_samples

# Priorities. What is left to do of a live turn that has ended goes before all others; then requests
# go, and guesses of an open turn beside long recordings, whose windows let all these go first; last
# are guesses where there is nothing else.
FINAL, REQUEST, GUESS_BESIDE, WINDOW, GUESS = 1, 0, 0, -1, -2
_BEAT_S = 10.0


class SharedEngine(Engine, Protocol):
    """An engine that many requests use at once."""

    @property
    def tokenizer(self) -> Any:
        """Of its checkpoint."""

    def submit(self, request: Request, *, pieces: bool = False) -> Handle:
        """Begin with a request, and go on; see `LocalEngine.submit`."""


@dataclass
class Usage:
    """What a request took: tokens of all its prompts (of which some were computed before; None
    where nobody says) and answers, seconds of sound, how the answers ended, and the answers
    themselves in order."""

    prompt_tokens: int = 0
    cached_tokens: int | None = None
    audio_tokens: int = 0
    output_tokens: int = 0
    audio_s: float = 0.0
    reasons: list[str] = field(default_factory=list)
    answers: list[Generation] = field(default_factory=list)

    def add(self, request: Request, answer: Generation) -> None:
        """Count one answered request of the engine."""
        self.answers.append(answer)
        self.prompt_tokens += answer.prompt_tokens
        if answer.cached_tokens is not None:
            self.cached_tokens = (self.cached_tokens or 0) + answer.cached_tokens
        for seconds in map(clip_seconds, request.clips):
            self.audio_tokens += num_tokens_of_samples(seconds_to_samples(seconds))
            self.audio_s += seconds
        for one in (answer, *answer.alternatives):
            self.output_tokens += one.n_tokens
            self.reasons.append(one.finish_reason)


class MeteredEngine:
    """An `Engine` for one request of a client: it counts what is used, and can be cancelled from
    any thread.

    Args:
        engine: that answers.
        key: whose request it is.
        priority: of all that is asked; None: as that of a request over HTTP.
        draft: a guess of how the first answer begins.
        keep: what is computed for later requests on the same sound, where they want that.
    """

    def __init__(
        self, engine: SharedEngine, key: str, priority: int | None = None, draft: str = "", *,
        keep: bool = True,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._key = key
        self._priority = priority
        self._draft = draft
        self._keep = keep
        self._lock = threading.Lock()
        self._cancelled = False
        self._failure: Exception | None = None  # of the backend; what comes next would fail too
        self._handles: set[Handle] = set()
        self._checked: tuple[Request, int] | None = None  # what is asked next, or now
        self.usage = Usage()
        self.tokenizer = engine.tokenizer
        self.description = engine.description
        self.precision = engine.precision
        self.batch_size = engine.batch_size
        self.max_positions = engine.max_positions
        self.window_s, self.task_windows_s = engine.window_s, engine.task_windows_s
        self.thinks = engine.thinks

    def cancel(self) -> None:
        """Stop what is being answered before its next token, and begin nothing more."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            for handle in self._handles:
                handle.cancel()

    def go_on(self) -> None:
        """Raises CancelledError if nobody waits."""
        if self._cancelled:
            raise CancelledError

    def generate(
        self,
        requests: Sequence[Request],
        on_result: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        handles: list[Handle] = []
        try:
            for request in requests:
                handles.append(self._submit(request))
            answers = wait_for(handles, on_result)
        except (EndpointError, EndpointRefusedError) as error:
            if trouble_of(error).kind != "request":  # else the others may do better
                self._failure = error
            raise
        finally:
            self._drop(handles)
        for request, answer in zip(requests, answers, strict=True):
            self.usage.add(request, answer)
        return answers

    def stream(self, request: Request) -> Generator[str, None, Generation]:
        return self._pieces(request, self._submit(request, pieces=True))

    def encode(self, clip: np.ndarray) -> ClipLike:
        return self._engine.encode(clip)

    def open(self, clip: ClipLike) -> Session:
        return self._engine.open(clip)

    def forget(self) -> None:
        self._engine.forget()

    def check(self, request: Request) -> int:
        self.go_on()
        positions = self._engine.check(request)
        self._checked = request, positions
        return positions

    def used_so_far(self, text: str) -> Usage:
        """What was used of a request with one answer, of which only `text` is written."""
        if self._checked is None or self.usage.answers:
            return self.usage
        request, positions = self._checked
        ids = tuple(self.tokenizer.encode(text, add_special_tokens=False))
        used = Usage()
        used.add(request, Generation(text, ids, "stop", positions))
        return used

    def _submit(self, request: Request, *, pieces: bool = False) -> Handle:
        priority = self._priority
        if priority is None:  # the windows of a long recording are not kept
            priority = REQUEST if request.reuse else WINDOW
        reuse = request.reuse and self._keep
        draft, self._draft = self._draft or request.draft, ""
        self.go_on()
        if self._failure is not None:
            raise self._failure
        handle = self._engine.submit(
            replace(request, key=self._key, priority=priority, draft=draft, reuse=reuse),
            pieces=pieces,
        )
        with self._lock:
            self._handles.add(handle)
            if self._cancelled:
                handle.cancel()
        return handle

    def _pieces(self, request: Request, handle: Handle) -> Generator[str, None, Generation]:
        try:
            yield from handle
            answer = handle.result()
        finally:
            self._drop([handle])
        self.usage.add(request, answer)
        return answer

    def _drop(self, handles: Sequence[Handle]) -> None:
        for handle in handles:
            handle.cancel()
        with self._lock:
            self._handles.difference_update(handles)


Work = Callable[[MeteredEngine], Generator[Any, None, None]]


@dataclass(frozen=True)
class _End:
    error: Exception | None


class Job:
    """One request's work. Made in the event loop, run in a thread; what it yields is read in the
    loop. `ended` is called there with the job when the thread is free again."""

    def __init__(self, engine: MeteredEngine, work: Work, ended: Callable[[Job], None]) -> None:
        self.engine = engine
        self.first_at: float | None = None  # when the first item came
        self.whole = False  # whether all was done
        self._work = work
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Any] = asyncio.Queue()

    def cancel(self) -> None:
        """Nobody waits any more: the work ends at its next step."""
        self.engine.cancel()

    def run(self) -> None:
        """Do the work; in a thread."""
        end = _End(self._failure())
        self.whole = end.error is None
        self._tell(self._ended, self)
        self._tell(self._items.put_nowait, end)

    async def items(self, *, beats: bool = False) -> AsyncGenerator[Any, None]:
        """What the work yields; raises what it raises. With `beats`, None every ten seconds in
        which there is nothing."""
        try:
            while True:
                getting = asyncio.ensure_future(self._items.get())
                try:
                    while not (await asyncio.wait({getting}, timeout=_BEAT_S))[0]:
                        if beats:
                            yield None
                finally:
                    getting.cancel()
                item = getting.result()
                if isinstance(item, _End):
                    error = item.error
                    del item, getting
                    try:
                        if error is not None:
                            raise error
                        return
                    finally:
                        del error  # it holds this frame, which must not hold it
                yield item
        finally:
            self.cancel()

    def _failure(self) -> Exception | None:
        """What the work raises, if anything, after doing it."""
        try:
            with contextlib.closing(self._work(self.engine)) as items:
                for item in items:
                    self.engine.go_on()
                    self.first_at = self.first_at or time.monotonic()
                    self._tell(self._items.put_nowait, item)
        except CancelledError as stopped:
            # its frames hold the sound, keys and values of who was left, and some of those hold the
            # error: all that would stay until Python looks for circles, which it seldom does
            stopped.__traceback__ = stopped.__context__ = None
            return CancelledError()
        except Exception as failure:
            return failure
        return None

    def _tell(self, call: Callable[..., Any], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
            self._loop.call_soon_threadsafe(call, *arguments)


class WorkThreads:
    """Threads that run jobs, in the order in which they are given."""

    def __init__(self, count: int) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"serve-{i}", daemon=True) for i in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def start(self, job: Job) -> None:
        self._jobs.put(job)

    @property
    def alive(self) -> bool:
        """Whether all of them can work."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self, timeout_s: float) -> None:
        """End the threads after their present jobs; wait for that so long."""
        for _ in self._threads:
            self._jobs.put(None)
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            del job  # a thread that waits keeps nothing

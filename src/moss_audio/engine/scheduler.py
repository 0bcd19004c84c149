"""Any number of requests from any number of threads, answered by one that owns the runner.

Requests join and leave at every step: an answer does not depend on its company (up to the rounding
of the runner's arithmetic). Other threads put commands into the inbox of `loop.Loop`.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from moss_audio.engine.growing import GrowingClip, Growth
from moss_audio.engine.handle import Handle
from moss_audio.engine.loop import RUNNING, THREAD, Loop, QueuedPrompt
from moss_audio.engine.prompts import Prompt
from moss_audio.engine.row import AnswerRow
from moss_audio.engine.runner import KVCache, Runner
from moss_audio.engine.stats import SchedulerStats
from moss_audio.errors import MossAudioError

T = TypeVar("T")

_EXIT_S = 10.0  # that the end of the interpreter waits for the pass that is running


class Scheduler:
    """Answers requests with a runner, in a thread of its own that begins with the first of them.

    The thread ends with `close`, or when nobody refers to the scheduler or to a request of it any
    more. A forked process begins with an empty scheduler; what was on its way is its parent's.

    Args:
        runner: used by the thread alone.
        max_rows: answers decoded at once; None takes what suits the runner.
        batch_tokens: positions of them all, padding included; None likewise.
        reuse_bytes: memory for the prefixes of prompts, least recently used out first.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        max_rows: int | None = None,
        batch_tokens: int | None = None,
        reuse_bytes: int,
    ) -> None:
        self.max_rows = runner.max_rows if max_rows is None else max_rows
        self.batch_tokens = runner.batch_tokens if batch_tokens is None else batch_tokens
        if self.max_rows < 1 or self.batch_tokens < 1:
            raise MossAudioError(
                f"batch_size={max_rows!r}, batch_tokens={batch_tokens!r}: give 1 or more"
            )
        self._runner, self._reuse_bytes = runner, reuse_bytes
        self._begin()
        _SCHEDULERS.add(self)

    def _begin(self) -> None:
        self._loop = Loop(self._runner, self.max_rows, self.batch_tokens, self._reuse_bytes)
        self._end = weakref.finalize(self, self._loop.inbox.put, None)
        self._end.atexit = False

    def submit(
        self,
        prompt: Prompt,
        answers: Sequence[AnswerRow],
        *,
        draft: Sequence[int] = (),
        pieces: bool = False,
    ) -> Handle:
        """Put a prompt into the queue.

        Args:
            answers: those wanted, before their first token.
            draft: ids with which they may begin.
            pieces: whether the text is wanted as it is written; of a single answer.
        """
        handle = Handle(self._cancel, pieces=pieces)
        self._loop.tell(partial(self._loop.add, QueuedPrompt(prompt, answers, handle, draft)))
        return handle

    def hold(
        self, prompt: Prompt, opening: Callable[[], KVCache | None] | None = None
    ) -> Callable[[], None]:
        """Compute the prefix of a prompt now, and keep it until the returned function is called.

        Args:
            opening: called in the thread for a sequence that holds the beginning of the prefix.
        """
        handle, release = self.begin_hold(prompt, opening)
        try:
            handle.result()
        except BaseException:
            handle.cancel()
            release()  # it may have been done all the same
            raise
        return release

    def begin_hold(
        self, prompt: Prompt, opening: Callable[[], KVCache | None] | None = None
    ) -> tuple[Handle, Callable[[], None]]:
        """As `hold`, without waiting: the handle is done when the prefix is computed. The second
        gives it back, and has to be called whatever comes of the first."""
        handle = Handle(self._cancel, pieces=False)
        task = QueuedPrompt(prompt, (), handle, opening=opening)
        self._loop.tell(partial(self._loop.add, task))
        return handle, partial(self._loop.inbox.put, partial(self._loop.let_go, task))

    def tell_growth(self, command: Callable[[Growth], None]) -> None:
        """Have something done in the thread for a clip that is still being heard.

        Raises:
            MossAudioError: if the engine is closed.
        """
        growth = self._loop.growth
        self._loop.tell(lambda: command(growth))

    def dropper(self, clip: GrowingClip) -> Callable[[], None]:
        """What forgets a clip; it may be called at any time and from any thread."""
        return partial(self._loop.inbox.put, partial(self._loop.growth.drop, clip))

    def call(self, function: Callable[[], T]) -> T:
        """What a function gives that is run in the thread, between two steps."""
        future: Future[T] = Future()
        self._loop.tell(partial(_fulfil, future, function))
        return future.result()

    def forget(self) -> None:
        """Give the memory of everything kept for later requests back."""
        self.call(self._loop.forget)

    def stats(self) -> SchedulerStats:
        """The state of this moment; never waits."""
        return self._loop.state()

    def close(self) -> None:
        """End the thread; what is on its way raises."""
        self._loop.end()
        self._loop.join()

    def _cancel(self, handle: Handle) -> None:
        self._loop.inbox.put(partial(self._loop.cancel, handle))

    def _after_fork(self) -> None:
        closed = self._loop.closed
        self._end.detach()
        self._begin()
        self._loop.closed = closed


_SCHEDULERS: weakref.WeakSet[Scheduler] = weakref.WeakSet()


@atexit.register
def _end_threads() -> None:
    """A thread that is inside the model while the interpreter ends would crash it."""
    for loop in list(RUNNING):
        loop.end(exiting=True)
    # also the thread of an engine that is gone: the last thing it does is to free the model
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(_EXIT_S)


def _restart() -> None:
    RUNNING.clear()
    for scheduler in list(_SCHEDULERS):
        scheduler._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart)


def _fulfil(future: Future[Any], function: Callable[[], Any]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)

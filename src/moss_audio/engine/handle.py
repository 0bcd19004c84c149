"""What a caller holds of a request that is on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue

from moss_audio.engine.base import Generation
from moss_audio.engine.row import AnswerRow
from moss_audio.errors import MossAudioError


class Handle:
    """A request on its way: wait for its answer, iterate over the pieces of its text, or cancel.

    Args:
        cancel: tells the scheduler.
        pieces: whether the text is wanted as it is written.
    """

    def __init__(self, cancel: Callable[[Handle], None], *, pieces: bool) -> None:
        self._cancel = cancel
        self._future: Future[Generation] = Future()
        self._pieces: SimpleQueue[str | None] | None = SimpleQueue() if pieces else None

    def result(self, timeout_s: float | None = None) -> Generation:
        """The answer, waited for.

        Raises:
            TimeoutError: if it takes longer than `timeout_s`.
            concurrent.futures.CancelledError: if it was cancelled.
            Exception: what stopped it.
        """
        return self._future.result(timeout_s)

    def done(self) -> bool:
        return self._future.done()

    def cancel(self) -> None:
        """Stop it before its next token; nothing happens if it is done."""
        if not self.done():
            self._cancel(self)

    def add_done_callback(self, function: Callable[[], None]) -> None:
        """Call a function, which has to be quick, when it is done for whatever reason."""
        self._future.add_done_callback(lambda _: function())

    def __iter__(self) -> Iterator[str]:
        """The pieces of its text, each of whole characters, as they become certain.

        Each piece is given once. Raises what `result` raises.
        """
        if self._pieces is None:
            raise MossAudioError("submit the request with pieces=True to iterate over its text")
        while (piece := self._pieces.get()) is not None:
            yield piece
        self._pieces.put(None)  # for whoever else iterates
        self.result()

    def put(self, answer: AnswerRow) -> None:
        """(The scheduler's.)"""
        if self._pieces is not None and (piece := answer.take_text()):
            self._pieces.put(piece)

    def write(self, piece: str) -> None:
        """(That of an answer which is written elsewhere.)"""
        if self._pieces is not None:
            self._pieces.put(piece)

    def end(self, outcome: Generation | BaseException) -> None:
        """(The scheduler's.)"""
        if isinstance(outcome, BaseException):
            self._future.set_exception(outcome)
        else:
            self._future.set_result(outcome)
        if self._pieces is not None:
            self._pieces.put(None)


def wait_for(
    handles: Sequence[Handle], on_result: Callable[[int, Generation], None] | None = None
) -> list[Generation]:
    """The answers, waited for; `on_result(place, answer)` as each is done.

    Raises what the first of them raises that does.
    """
    done: SimpleQueue[int] = SimpleQueue()
    for place, handle in enumerate(handles):
        handle.add_done_callback(partial(done.put, place))
    for _ in handles:
        place = done.get()
        answer = handles[place].result()
        if on_result is not None:
            on_result(place, answer)
    return [handle.result() for handle in handles]

"""Requests under way at a server: threads that wait for answers, and how they are called back."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError

from moss_audio.endpoint.line import CallLine
from moss_audio.engine.base import Generation, Request
from moss_audio.engine.handle import Handle
from moss_audio.engine.row import members


class RemoteCall:
    """A request on its way: its answers, each over a line of its own. Cancelling the handle hangs
    up all of them at once.

    Args:
        pieces: whether the text is wanted as it is written.
    """

    def __init__(self, request: Request, *, pieces: bool) -> None:
        count = request.options.num_return_sequences
        self.request = request
        self.in_pieces = pieces
        self.lines = [CallLine() for _ in range(count)]
        self.handle = Handle(self._cancel, pieces=pieces)
        self._answers: list[Generation | None] = [None] * count
        self._lock = threading.Lock()
        self._over = False

    @property
    def over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._over

    def write(self, piece: str) -> None:
        """A further piece of the text."""
        if not self._over:
            self.handle.write(piece)

    def answered(self, member: int, answer: Generation) -> None:
        """One of its answers is there."""
        with self._lock:
            self._answers[member] = answer
            done = [one for one in self._answers if one is not None]
        if len(done) == len(self._answers):
            self.end(members(done))

    def end(self, outcome: Generation | BaseException) -> None:
        """It is answered, or will never be. Only the first time counts."""
        with self._lock:
            if self._over:
                return
            self._over = True
        for line in self.lines:  # what other answers are still being written
            line.cut()
        self.handle.end(outcome)

    def _cancel(self, _: Handle) -> None:
        self.end(CancelledError())


class CallThreads:
    """Threads that do what they are given, the highest priority first. They end when there is
    nothing left, and are daemons: Ctrl-C does not wait for a slow server.

    Args:
        most: jobs at once. Those with a priority below 0 never have more than half of the places,
            so that the windows of a long recording do not keep others waiting.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_behind = max(1, most // 2)
        self._lock = threading.Lock()
        self._count = itertools.count()
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []  # a heap
        self._running = self._running_behind = 0

    def start(self, job: Callable[[], None], priority: int) -> None:
        """Do a job, which raises nothing, as soon as there is a place."""
        with self._lock:
            heapq.heappush(self._waiting, (-priority, next(self._count), job))
            if self._running == self._most or not self._may_begin():
                return
            self._running += 1
        threading.Thread(target=self._run, name="moss-audio-remote", daemon=True).start()

    def _may_begin(self) -> bool:
        """Whether what comes next has a place."""
        behind = bool(self._waiting) and self._waiting[0][0] > 0
        return bool(self._waiting) and not (behind and self._running_behind == self._most_behind)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._may_begin():
                    self._running -= 1
                    return
                below, _, job = heapq.heappop(self._waiting)
                self._running_behind += below > 0
            job()
            with self._lock:
                self._running_behind -= below > 0

"""Turns at the model: a bounded queue, in which every key has a fair share of the work.

Work is measured in seconds: an estimate from the seconds of sound at first, corrected by what it
took in the end. A request that would wait too long is refused at once, with a time when to come
back.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field

from moss_audio.serve.config import Limits
from moss_audio.serve.errors import ApiError
from moss_audio.serve.metrics import Metrics

_SMOOTHING = 0.2  # weight of the newest request in the measured cost
_FIXED_S = 1.0  # a request costs as much as so many seconds of sound, beside its own, at first


class _Cost:
    """Seconds of work of a request: a part that all have, and one for each second of sound.

    Args:
        per_s: of the second part, to begin with.
    """

    def __init__(self, per_s: float) -> None:
        self._fixed, self._per_s = _FIXED_S * per_s, per_s

    def of(self, audio_s: float) -> float:
        """What a request is expected to take."""
        return self._fixed + self._per_s * audio_s

    def learn(self, audio_s: float, took_s: float) -> None:
        """Come nearer to what a request took. Each part moves by its share in it, so that requests
        without sound tell nothing of what sound costs."""
        step = _SMOOTHING * (took_s - self.of(audio_s)) / (1 + audio_s * audio_s)
        self._fixed = max(0.0, self._fixed + step)
        self._per_s = max(0.0, self._per_s + step * audio_s)


@dataclass(eq=False)
class Ticket:
    """A request that waits for the model or has it. `release` gives it back, once."""

    key: str
    endpoint: str
    audio_s: float
    cost_s: float
    live: bool = False
    granted: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    began: float = 0.0


class Admission:
    """The queue before `running` places at the model, and one before as many for turns of live
    sessions, which are never refused. To be used in one event loop.

    Args:
        running: requests that may be in the model at once.
        keys: that there are; with several, none may fill more than half of the queue.
        cost: seconds of work a second of sound, to begin with.
        window_s: longer recordings are worked on in windows that let all others go first. They
            leave a quarter of the places, or one, so that others need not wait for one of them.
    """

    def __init__(
        self, running: int, keys: int, limits: Limits, metrics: Metrics, cost: float = 0.5,
        window_s: float = math.inf,
    ) -> None:  # fmt: skip
        self._places, self._window_s = running, window_s
        self._long_places = max(1, running - max(1, running // 4))
        self._limits = limits
        self._per_key = limits.waiting if keys < 2 else max(1, limits.waiting // 2)
        self._metrics = metrics
        self._costs: dict[str, _Cost] = defaultdict(lambda: _Cost(cost))
        self._waiting: dict[str, deque[Ticket]] = {}
        self._live: deque[Ticket] = deque()
        self._running: set[Ticket] = set()
        self._served: dict[str, float] = {}  # work that a busy key has had

    @property
    def n_waiting(self) -> int:
        """Requests in the queue."""
        return sum(map(len, self._waiting.values()))

    @property
    def full(self) -> bool:
        """Whether a further request would be refused, however short it is."""
        return self.n_waiting >= self._limits.waiting and not self._fits(0.0)

    @property
    def idle(self) -> bool:
        """Whether nothing is in the model or waits for it."""
        return not (self._running or self._waiting or self._live)

    @property
    def unhurried(self) -> bool:
        """Whether there is nothing but recordings whose windows let all others go first."""
        waiting = (turn for turns in self._waiting.values() for turn in turns)
        return not self._live and all(
            not turn.live and self._long(turn.audio_s)
            for turn in itertools.chain(self._running, waiting)
        )

    def check(self, key: str, audio_s: float = 0.0) -> None:
        """Whether a request of a key, with so many seconds of sound, would be let in now.

        Raises:
            ApiError: 429 where the key has too many requests waiting, 503 where all have.
        """
        if self._fits(audio_s):  # what waits is longer, and waits for a place of its own
            return
        wait_s = self._wait_s(audio_s)
        if (
            len(self._waiting.get(key, ())) >= self._per_key
            and self._per_key < self._limits.waiting
        ):
            self._metrics.refused("key")
            raise ApiError(
                429, "too many requests of this key are waiting: try again later",
                code="rate_limit_exceeded", retry_after_s=wait_s,
            )  # fmt: skip
        full = self.n_waiting >= self._limits.waiting
        if full or wait_s > self._limits.wait_s:
            self._metrics.refused("queue" if full else "time")
            raise ApiError(
                503, "the server has more work than it can do in time: try again later",
                code="server_overloaded", retry_after_s=wait_s,
            )  # fmt: skip

    async def turn(self, key: str, endpoint: str, audio_s: float, *, live: bool = False) -> Ticket:
        """Wait for a place at the model.

        Args:
            key: whose share it counts against.
            endpoint: requests of one have the same costs.
            audio_s: seconds of sound.
            live: of a session that was admitted before.

        Raises:
            ApiError: at once, if `check` does and it is not live.
        """
        turn = Ticket(key, endpoint, audio_s, self._costs[endpoint].of(audio_s), live)
        if live:
            self._live.append(turn)
        else:
            self.check(key, audio_s)
            if key not in self._served:  # a new key is owed nothing for the time before
                self._served[key] = min(self._served.values(), default=0.0)
            self._waiting.setdefault(key, deque()).append(turn)
        self._grant()
        began = time.monotonic()
        try:
            await turn.granted
        except BaseException:  # the client has gone
            if turn in self._running:
                self.release(turn, whole=False)
            elif turn in self._live:
                self._live.remove(turn)
            elif turn in self._waiting.get(key, ()):
                self._waiting[key].remove(turn)
                self._tidy(key)
            raise
        self._metrics.queued(endpoint, time.monotonic() - began)
        return turn

    def release(self, turn: Ticket, *, whole: bool = True) -> None:
        """Give a place back; what the request took corrects the estimates, if it was answered as a
        `whole`."""
        if turn not in self._running:
            return
        self._running.remove(turn)
        took_s = time.monotonic() - turn.began
        if not turn.live:
            self._served[turn.key] += took_s - turn.cost_s
        if whole:
            self._costs[turn.endpoint].learn(turn.audio_s, took_s)
        self._tidy(turn.key)
        self._grant()

    def _wait_s(self, audio_s: float) -> float:
        """Seconds that a further request would wait. Where long recordings leave places free,
        others do not wait for them."""
        running = [turn for turn in self._running if not turn.live]
        waiting = [turn for turns in self._waiting.values() for turn in turns]
        if self._places == self._long_places:
            return _until_free(self._places, running, waiting)
        long = self._long(audio_s)
        alike = [
            [turn for turn in turns if self._long(turn.audio_s) == long]
            for turns in (running, waiting)
        ]
        if not long:
            n_long = len(running) - len(alike[0])
            return _until_free(self._places - n_long, *alike)
        return max(
            _until_free(self._places, running, waiting), _until_free(self._long_places, *alike)
        )

    def _long(self, audio_s: float) -> bool:
        return audio_s > self._window_s

    def _fits(self, audio_s: float) -> bool:
        """Whether there is a place for a request."""
        running = [turn for turn in self._running if not turn.live]
        n_long = sum(self._long(turn.audio_s) for turn in running)
        return len(running) < self._places and (
            not self._long(audio_s) or n_long < self._long_places
        )

    def _next(self) -> tuple[str, Ticket] | None:
        """The request that may begin now, of the key that had least."""
        for key in sorted(self._waiting, key=lambda one: self._served[one]):
            for turn in self._waiting[key]:
                if self._fits(turn.audio_s):
                    return key, turn
        return None

    def _grant(self) -> None:
        while self._live and sum(turn.live for turn in self._running) < self._places:
            self._start(self._live.popleft())
        while (found := self._next()) is not None:
            key, turn = found
            self._waiting[key].remove(turn)
            if not self._waiting[key]:
                del self._waiting[key]
            if turn.granted.cancelled():
                self._tidy(key)
                continue
            self._served[key] += turn.cost_s
            self._start(turn)
        self._metrics.load(len(self._running), self.n_waiting)

    def _start(self, turn: Ticket) -> None:
        if not turn.granted.cancelled():
            self._running.add(turn)
            turn.began = time.monotonic()
            turn.granted.set_result(None)

    def _tidy(self, key: str) -> None:
        """Forget a key that has nothing here any more."""
        if not self._waiting.get(key):
            self._waiting.pop(key, None)
            if all(turn.live or turn.key != key for turn in self._running):
                self._served.pop(key, None)
        self._metrics.load(len(self._running), self.n_waiting)


def _until_free(places: int, running: list[Ticket], waiting: list[Ticket]) -> float:
    """Seconds until there is a place for one more behind those that wait."""
    if len(running) < places:
        return 0.0
    now = time.monotonic()
    left = sum(max(0.0, turn.cost_s - (now - turn.began)) for turn in running)
    return (sum(turn.cost_s for turn in waiting) + left) / places

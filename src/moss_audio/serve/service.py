"""What all endpoints share: the model under its names, turns at it, and the way of a request's
work through a thread and back."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence, Sized
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from starlette.requests import Request

from moss_audio.engine.remote import RemoteEngine
from moss_audio.serve.admission import Admission, Ticket
from moss_audio.serve.auth import Keys
from moss_audio.serve.backend import BackendWatch
from moss_audio.serve.config import ServerConfig
from moss_audio.serve.ephemeral import EphemeralKeys
from moss_audio.serve.errors import ApiError, ClientGone
from moss_audio.serve.metrics import Metrics
from moss_audio.serve.realtime.silero import Silero
from moss_audio.serve.realtime.vad import EnergyVad, MakeDetector
from moss_audio.serve.tracing import Tracing
from moss_audio.serve.uploads import Fetcher
from moss_audio.serve.work import (
    FINAL,
    GUESS,
    GUESS_BESIDE,
    REQUEST,
    Job,
    MeteredEngine,
    SharedEngine,
    Usage,
    Work,
    WorkThreads,
)

if TYPE_CHECKING:
    from moss_audio.api import MossAudio

T = TypeVar("T")

REALTIME = "/v1/realtime"
# What the endpoints that ask the model have it do, as the metrics call it.
TASKS = {
    "/v1/audio/transcriptions": "transcribe",
    "/v1/audio/events": "events",
    "/v1/audio/captions": "caption",
    "/v1/audio/questions": "ask",
    "/v1/chat/completions": "chat",
}


class Service:
    """A loaded model as a server offers it. Made before the event loop runs.

    Args:
        model: what answers, in this process or in a backend.
        config: names, keys, limits.
        cost: seconds of work a second of sound, as measured at the start.
        sessions: live ones at once, where the limits do not say.
    """

    def __init__(
        self, model: MossAudio, config: ServerConfig, cost: float = 0.5, sessions: int = 8
    ) -> None:
        self.model = model
        self.engine = cast("SharedEngine", model.engine)
        self.config = config
        self.created = int(time.time())
        self.keys = Keys(config.keys)
        self.ephemeral = EphemeralKeys(config.keys)
        self.make_detector: MakeDetector = EnergyVad
        if config.vad == "silero":
            self.make_detector = Silero().detector
        self.metrics = Metrics(config.names[0])
        self.tracing = Tracing()
        self.backend: BackendWatch | None = None
        if isinstance(model.engine, RemoteEngine):
            self.backend = BackendWatch(model.engine.endpoint, self.metrics.backend)
        if (scheduler := getattr(self.engine, "scheduler", None)) is not None:
            self.metrics.watch(scheduler.stats)
        places = self.engine.batch_size  # as many as are decoded together
        self.admission = Admission(
            places, len(self.keys), config.limits, self.metrics, cost,
            # (priorities do not reach into a backend)
            math.inf if self.backend is not None else self.engine.window_s or math.inf,
        )  # fmt: skip
        # for requests, for turns of live sessions, and for what is guessed of one
        self.threads = WorkThreads(2 * places + 1)
        self._partials = asyncio.Semaphore()
        self._partial: Job | None = None
        self.fetcher = Fetcher(config.url_hosts, config.limits)
        self.draining = False
        self.connections: Sized = ()  # open now; the server's
        self.sessions = config.limits.sessions or sessions
        self._live: Counter[str] = Counter()  # sessions of each key

    @property
    def ready(self) -> bool:
        """Whether a request that came now would be answered."""
        here = self.threads.alive and not self.admission.full
        return here and not self.draining and not self.backend_problem

    @property
    def backend_problem(self) -> str:
        """What is wrong with the backend; "" where nothing is, or there is none."""
        return "" if self.backend is None else self.backend.problem

    def name(self, asked: str) -> str:
        """The name of the model that a request asks for; none asks for the first.

        Raises:
            ApiError: 404 for a name that is not served.
        """
        names = self.config.names
        if asked and asked not in names:
            known = ", ".join(names)
            raise ApiError(404, f"the model {asked!r} is not served here: there is {known}",
                           code="model_not_found", param="model")  # fmt: skip
        return asked or names[0]

    async def start(self, request: Request, audio_s: float, work: Work) -> Job:
        """Wait for a turn at the model, then start work in its thread.

        Args:
            request: of the client; while it waits its connection is watched.
            audio_s: seconds of sound that are in it.
            work: a generator over an engine; its items are `Job.items`.

        Raises:
            ApiError: if the server has too much to do.
            ClientGone: if the client no longer waits.
        """
        endpoint, key = request.state.endpoint, request.state.key
        turn = await unless_gone(request, self.admission.turn(key, endpoint, audio_s))
        span = self.tracing.current()
        return self._begin(turn, TASKS[endpoint], request.state.began, work, span)

    async def start_live(
        self, key: str, audio_s: float, work: Work, *, task: str = "transcribe",
        draft: str = "", live: bool = True,
    ) -> Job:  # fmt: skip
        """The same for a turn of a live session: it was admitted with its session, so that it is
        never refused, and goes before all requests. `task`: for the metrics; `draft`: how its text
        may begin. Not `live`: what a session asks beside its turns, which waits as a request does.

        Raises:
            ApiError: if it is not live, and the server has too much to do.
        """
        began = time.monotonic()
        if live and self._partial is not None:
            self._partial.cancel()
        span = self.tracing.turn(task)
        try:
            turn = await self.admission.turn(key, REALTIME, audio_s, live=live)
        except BaseException:
            self.tracing.end(span)
            raise
        return self._begin(
            turn,
            task,
            began,
            work,
            span,
            FINAL if live else REQUEST,
            draft,
            lambda: self.tracing.end(span),
        )

    @asynccontextmanager
    async def partial(
        self, key: str, work: Callable[[], Work], *, draft: str = "", final: bool = False
    ) -> AsyncIterator[Job | None]:
        """Work about a turn that is still open: of all sessions one at a time, in turn, while
        nothing else is to be done, or long recordings alone. The final of any turn ends it.
        Nothing where there is more to do.

        Args:
            work: makes it, from what there is when its turn has come.
            final: it may be the final of the turn.
        """
        async with self._partials:
            if not self.admission.unhurried:
                yield None
                return

            def ended(job: Job) -> None:
                self.metrics.answered(REALTIME, "transcribe", job.engine.usage)

            priority = FINAL if final else GUESS if self.admission.idle else GUESS_BESIDE
            engine = MeteredEngine(self.engine, key, priority, draft, keep=final)
            job = Job(engine, work(), ended)
            self._partial = job
            self.threads.start(job)
            try:
                yield job
            finally:
                job.cancel()
                self._partial = None

    def _begin(
        self, turn: Ticket, task: str, began: float, work: Work, span: Any,
        priority: int | None = None, draft: str = "", over: Callable[[], None] = lambda: None,
    ) -> Job:  # fmt: skip
        def ended(job: Job) -> None:
            self.admission.release(turn, whole=job.whole)
            self.metrics.answered(turn.endpoint, task, job.engine.usage)
            first_s = None if job.first_at is None else job.first_at - began
            if first_s is not None:
                self.metrics.first(turn.endpoint, task, first_s)
            self.tracing.answered(span, self.config.names[0], task, job.engine.usage, first_s)
            over()

        job = Job(MeteredEngine(self.engine, turn.key, priority, draft), work, ended)
        self.threads.start(job)
        return job

    @contextmanager
    def live_session(self, key: str) -> Iterator[None]:
        """A place among the live sessions, from the handshake on. With several keys, none has more
        than half of them.

        Raises:
            ApiError: 503 if all are taken, 429 if the key has its share.
        """
        most = self.sessions
        if self._live.total() >= most:
            self.metrics.refused("sessions")
            raise ApiError(503, "all live sessions that the server has are taken: try again later",
                           code="server_overloaded", retry_after_s=10)  # fmt: skip
        if len(self.keys) > 1 and self._live[key] >= -(-most // 2):
            self.metrics.refused("key")
            raise ApiError(429, "this key has as many live sessions as it may: try again later",
                           code="rate_limit_exceeded", retry_after_s=10)  # fmt: skip
        self._live[key] += 1
        self.metrics.session_began()
        began = time.monotonic()
        try:
            yield
        finally:
            self._live[key] -= 1
            self.metrics.session_ended(time.monotonic() - began)

    async def complete(
        self, request: Request, audio_s: float, work: Callable[[MeteredEngine], T]
    ) -> tuple[T, Usage]:
        """What `work` returns, and what it used; see `start`."""

        def whole(engine: MeteredEngine) -> Any:
            yield work(engine)

        job = await self.start(request, audio_s, whole)

        async def last() -> Any:
            found: Sequence[T] = [item async for item in job.items()]
            return found[0]

        return await unless_gone(request, last()), job.engine.usage


async def unless_gone(request: Request, awaited: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, which is cancelled when the client closes its connection.

    The body of the request has to be read before.

    Raises:
        ClientGone: then.
    """
    task = asyncio.ensure_future(awaited)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def first_of(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The same items, once the first is there: what goes wrong before it is raised here, while an
    answer can still be an error."""
    try:
        first = await anext(items)
    except StopAsyncIteration:
        return _chained([], items)
    return _chained([first], items)


async def _chained(begun: list[Any], items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        for item in begun:
            yield item
        async for item in items:
            yield item
    finally:
        await items.aclose()  # type: ignore[attr-defined]

"""More than the server can do, clients that leave, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.recordings import stream_audio
from moss_audio.serve.admission import Admission, Ticket
from moss_audio.serve.config import Limits
from moss_audio.serve.errors import ApiError
from moss_audio.serve.metrics import Metrics
from moss_audio.serve.uploads import Upload
from tests.serve.conftest import FakeEngine, Running, serving, wait_for, wav

PATH = "/v1/audio/transcriptions"
FILES = {"file": ("a.wav", wav())}


@contextmanager
def busy(running: Running, engine: FakeEngine, waiting: int, key: str = "none") -> Iterator[Any]:
    """One request in the model, which is held, and so many behind it."""
    engine.hold.clear()
    headers = {"authorization": f"Bearer {key}"}
    running_now = "moss:num_requests_running"
    with ThreadPoolExecutor(waiting + 1) as pool:
        asked = [
            pool.submit(running.post, PATH, files=FILES, headers=headers)
            for _ in range(waiting + 1)
        ]
        wait_for(
            lambda: (
                running.metric(running_now) == 1 and running.service.admission.n_waiting == waiting
            )
        )
        try:
            yield asked
        finally:
            engine.hold.set()


def test_a_full_queue_refuses_at_once_and_those_inside_are_answered(engine: FakeEngine) -> None:
    with serving(engine, limits=Limits(waiting=2)) as running:
        with busy(running, engine, 2) as asked:
            began = time.monotonic()
            refused = running.post(PATH, files=FILES)
            assert time.monotonic() - began < 1.0
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "server_overloaded"
            assert 1 <= int(refused.headers["retry-after"]) <= 120
            assert running.get("/health/ready").status_code == 503
            assert running.get("/health/live").status_code == 200
            result = {"type": "transcript", "text": "hi", "duration": 1.0}
            written = {"result": result, "response_format": "text"}
            assert running.post("/v1/audio/formats", json=written).text == "hi\n"
            assert running.post("/v1/realtime/client_secrets", json={}).status_code == 200
            with pytest.raises(openai.InternalServerError):
                running.client().chat.completions.create(
                    model="moss", messages=[{"role": "user", "content": "hi"}]
                )
        assert [one.result().status_code for one in asked] == [200] * 3
        assert running.get("/health/ready").status_code == 200
        assert running.metric("moss:admission_rejections_total", reason="queue") == 2
        assert running.metric("moss:num_requests_running") == 0


def test_a_key_cannot_take_all_of_the_queue(engine: FakeEngine) -> None:
    with serving(engine, limits=Limits(waiting=4), keys=("a", "b")) as running:
        with busy(running, engine, 2, "a") as asked:
            with pytest.raises(openai.RateLimitError) as caught:
                running.client("a").audio.transcriptions.create(file=("a.wav", wav()), model="moss")
            assert caught.value.code == "rate_limit_exceeded"
            assert int(caught.value.response.headers["retry-after"]) <= 120
            with ThreadPoolExecutor(1) as pool:
                other = pool.submit(running.post, PATH, files=FILES,
                                    headers={"authorization": "Bearer b"})  # fmt: skip
                wait_for(lambda: running.service.admission.n_waiting == 3)
                engine.hold.set()
                assert other.result().status_code == 200
        assert [one.result().status_code for one in asked] == [200] * 3


def test_who_would_wait_too_long_is_refused(engine: FakeEngine) -> None:
    with serving(engine, cost=100.0, limits=Limits(wait_s=150)) as running:
        with busy(running, engine, 0):
            refused = running.post(PATH, files=FILES)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "120"


def test_openais_client_comes_back_when_it_is_told_to(engine: FakeEngine) -> None:
    with serving(engine, limits=Limits(waiting=1)) as running, busy(running, engine, 1):
        threading.Timer(0.5, engine.hold.set).start()
        answer = running.client(max_retries=3).audio.transcriptions.create(
            file=("a.wav", wav()), model="moss"
        )
        assert answer.text == "hello there"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_the_model(stream: bool) -> None:
    engine = FakeEngine(lambda _: " ".join(["word"] * 10_000), pace=0.001)
    messages = [{"role": "user", "content": "hi"}]
    with serving(engine) as running:
        path = f"{running.url}/v1/chat/completions"
        body = {"messages": messages, "stream": stream}
        with (
            contextlib.suppress(httpx2.TimeoutException),
            httpx2.stream("POST", path, json=body, timeout=1) as answer,
        ):
            next(answer.iter_lines())
        wait_for(lambda: running.metric("moss:num_requests_running") == 0)
        assert engine.steps < 5000
        steps = engine.steps
        time.sleep(0.05)
        assert engine.steps == steps
        engine.answer = lambda _: "hello"
        assert running.post(PATH, files=FILES).status_code == 200


def test_a_client_that_leaves_the_queue_is_not_answered(engine: FakeEngine) -> None:
    with serving(engine) as running:
        with busy(running, engine, 0) as asked:
            with pytest.raises(httpx2.TimeoutException):
                httpx2.post(f"{running.url}{PATH}", files=FILES, timeout=0.3)
            wait_for(lambda: running.service.admission.n_waiting == 0)
        assert asked[0].result().status_code == 200
        assert len(engine.requests) == 1


def test_a_client_that_leaves_during_its_upload_is_no_fault_of_ours(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = running.url.removeprefix("http://").split(":")
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n"
    head += "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b"
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode())
        time.sleep(0.1)
    labels = {"endpoint": PATH, "status": "499"}
    wait_for(lambda: running.metric("moss:http_responses_total", **labels) == 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_many_clients_that_leave_leave_nothing_behind(engine: FakeEngine) -> None:
    rng = random.Random(0)
    with serving(engine) as running:

        def impatient(seconds: float) -> None:
            try:
                httpx2.post(f"{running.url}{PATH}", files=FILES, timeout=seconds)
            except httpx2.TimeoutException:
                pass

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(impatient, [rng.uniform(0.001, 0.05) for _ in range(100)]))
        admission = running.service.admission
        wait_for(lambda: not admission._running and not admission.n_waiting)
        assert not admission._served
        assert running.post(PATH, files=FILES).status_code == 200
        wait_for(lambda: not running.server.server_state.tasks)


def test_the_end_waits_for_answers_and_refuses_what_is_new(engine: FakeEngine) -> None:
    with serving(engine) as running, httpx2.Client(timeout=10) as kept:
        assert kept.get(f"{running.url}/health/ready").status_code == 200
        with busy(running, engine, 0) as asked:
            running.server.handle_exit(15, None)
            assert running.get("/health/ready").status_code == 503
            assert running.post(PATH, files=FILES).json()["error"]["code"] == "shutting_down"
        assert asked[0].result().json()["text"] == "hello there"


def test_while_draining_a_kept_connection_is_told(engine: FakeEngine) -> None:
    with serving(engine) as running:
        running.service.draining = True
        assert running.get("/health/ready").json() == {"status": "draining"}
        assert running.post(PATH, files=FILES).json()["error"]["code"] == "shutting_down"


@pytest.mark.parametrize("signals", [1, 2])
def test_requests_that_outlive_the_drain_are_told_and_leave_no_traceback(
    engine: FakeEngine, caplog: pytest.LogCaptureFixture, signals: int
) -> None:
    """The time to drain is over at once, or a second signal comes first."""
    caplog.set_level("INFO")
    limits = Limits(drain_s=0 if signals == 1 else 60)
    with serving(engine, limits=limits) as running, busy(running, engine, 1) as asked:
        for _ in range(signals):
            running.server.handle_exit(signal.SIGINT, None)
        for one in asked:
            assert one.result(10).status_code == 503
            assert one.result().json()["error"]["code"] == "shutting_down"
    assert "running requests (2)" in caplog.text
    assert "Traceback" not in caplog.text


def test_an_upload_that_is_closed_under_its_reader_says_nothing_more() -> None:
    """A client leaves: its file is closed at once, and a thread may still be reading a window."""
    with Upload.of(wav(30), "a.wav") as upload:
        stream = stream_audio(upload, block_s=1.0)
        next(iter(stream))
    stream.close()


def test_metrics_count_what_was_done(running: Running) -> None:
    assert running.post(PATH, files=FILES).status_code == 200
    of = {"endpoint": PATH, "task": "transcribe"}
    assert running.metric("moss:prompt_tokens_total", **of) == 100
    assert running.metric("moss:generation_tokens_total", **of) == 2
    assert running.metric("moss:audio_seconds_total", **of) == 1.0
    assert running.metric("moss:request_success_total", finished_reason="stop", **of) == 1
    assert running.metric("moss:time_to_first_token_seconds_count", **of) == 1
    latency = "moss:e2e_request_latency_seconds_count"
    wait_for(lambda: running.metric(latency, endpoint=PATH) == 1)  # after the answer is sent
    assert 'moss:num_requests_waiting{model="moss"} 0.0' in running.get("/metrics").text


# ------------------------------------------------------------------------ the queue by itself


def admission(places: int, keys: int = 3, window_s: float = math.inf, **limits: Any) -> Admission:
    return Admission(places, keys, Limits(**limits), Metrics("moss"), 1.0, window_s)


def test_keys_share_the_work_and_not_the_number_of_requests() -> None:
    """One key asks about long recordings, another about short ones, both without end: each gets
    half of the time."""

    async def run() -> list[Ticket]:
        queue = admission(1, waiting=1000, wait_s=1e9)
        granted: list[Ticket] = []

        async def client(key: str, seconds: float) -> None:
            turn = await queue.turn(key, "x", seconds)
            granted.append(turn)
            await asyncio.sleep(0)  # the others come
            turn.began -= turn.cost_s  # it took what was estimated
            queue.release(turn)

        await asyncio.gather(
            *(client("long", 99.0) for _ in range(20)), *(client("short", 9.0) for _ in range(200))
        )
        return granted

    granted = asyncio.run(run())[:100]
    work = {
        key: sum(turn.cost_s for turn in granted if turn.key == key) for key in ("long", "short")
    }
    assert 0.7 < work["long"] / work["short"] < 1.4


@given(st.integers(0, 2**32 - 1))
def test_whatever_comes_and_goes_no_place_is_lost(seed: int) -> None:
    rng = random.Random(seed)

    async def run() -> None:
        queue = admission(rng.randint(1, 3), window_s=30.0, waiting=5, wait_s=1e9)
        inside = 0

        async def client(key: str, seconds: float) -> None:
            nonlocal inside
            turn = await queue.turn(key, "x", seconds)
            inside += 1
            assert inside <= queue._places
            try:
                for _ in range(rng.randint(0, 3)):
                    await asyncio.sleep(0)
            finally:
                inside -= 1
                queue.release(turn)
                queue.release(turn)  # a second time changes nothing

        tasks = []
        for _ in range(40):
            tasks.append(asyncio.ensure_future(client(rng.choice("abc"), rng.uniform(0, 60))))
            if rng.random() < 0.5:
                await asyncio.sleep(0)
            if rng.random() < 0.3:
                rng.choice(tasks).cancel()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            assert error is None or isinstance(error, ApiError | asyncio.CancelledError)
        assert not queue._running
        assert not queue.n_waiting
        assert not queue._served

    asyncio.run(run())


async def _took(queue: Admission, audio_s: float, took_s: float, whole: bool = True) -> float:
    """What a request was expected to take that then took so long."""
    turn = await queue.turn("a", "x", audio_s)
    turn.began -= took_s
    queue.release(turn, whole=whole)
    return turn.cost_s


def test_requests_without_sound_tell_nothing_of_what_sound_costs() -> None:
    async def run() -> None:
        queue = admission(8)
        for _ in range(50):
            await _took(queue, 0.0, 40.0)
        assert await _took(queue, 30.0, 30.0) == pytest.approx(70, abs=1)  # 40 more, not 40 times
        for _ in range(50):
            assert await _took(queue, 0.0, 40.0) < 41
            expected = await _took(queue, 30.0, 45.0)
        assert expected == pytest.approx(45, abs=2)

    asyncio.run(run())


def test_what_is_cancelled_tells_nothing_of_what_a_request_takes() -> None:
    async def run() -> None:
        queue = admission(1)
        for _ in range(50):
            await _took(queue, 10.0, 0.0, whole=False)
        assert await _took(queue, 10.0, 0.0) == 11

    asyncio.run(run())


def test_a_request_that_is_given_up_or_fails_is_not_whole(engine: FakeEngine) -> None:
    with serving(engine) as running:
        costs = running.service.admission._costs[PATH]
        before = costs.of(1.0)
        engine.hold.clear()
        with pytest.raises(httpx2.TimeoutException):
            httpx2.post(f"{running.url}{PATH}", files=FILES, timeout=0.3)
        wait_for(lambda: running.service.admission.idle)
        engine.hold.set()
        assert costs.of(1.0) == before
        assert running.post(PATH, files=FILES).status_code == 200
        wait_for(lambda: costs.of(1.0) != before)


@pytest.mark.parametrize(("places", "n_long"), [(2, 1), (3, 2), (4, 3), (8, 6)])
def test_long_recordings_leave_places_to_others(places: int, n_long: int) -> None:
    async def run() -> None:
        queue = admission(places, keys=1, window_s=15.0, wait_s=60)
        for _ in range(n_long):
            await queue.turn("a", "x", 3000.0)
        with pytest.raises(ApiError) as caught:  # it would wait for one of those
            await queue.turn("a", "x", 3000.0)
        assert caught.value.status == 503
        queue.check("a")
        for _ in range(places - n_long):
            last = await queue.turn("a", "x", 10.0)
        behind = asyncio.ensure_future(queue.turn("a", "x", 10.0))  # 11 s, and not an hour
        await asyncio.sleep(0)
        assert not behind.done()
        queue.release(last)
        await behind

    asyncio.run(run())


def test_who_waits_behind_a_long_recording_of_its_key_goes_before_it() -> None:
    async def run() -> None:
        queue = admission(2, window_s=15.0, wait_s=1e9)
        first = await queue.turn("a", "x", 3000.0)
        second = asyncio.ensure_future(queue.turn("a", "x", 3000.0))
        await asyncio.sleep(0)
        short = await queue.turn("a", "x", 10.0)
        assert not second.done()
        queue.release(first)
        await second
        queue.release(short)

    asyncio.run(run())


def test_the_only_place_is_for_long_recordings_too() -> None:
    async def run() -> None:
        queue = admission(1, window_s=15.0, wait_s=60)
        await queue.turn("a", "x", 3000.0)
        with pytest.raises(ApiError, match="more work than it can do in time"):
            queue.check("a")

    asyncio.run(run())


def test_a_queue_full_of_long_recordings_refuses_no_request_that_has_a_place() -> None:
    async def run() -> None:
        queue = admission(4, keys=1, window_s=15.0, waiting=2, wait_s=1e9)
        running = [await queue.turn("a", "x", 60.0) for _ in range(3)]
        waiting = [asyncio.ensure_future(queue.turn("a", "x", 60.0)) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(one.done() for one in waiting)
        assert not queue.full
        queue.check("a")
        short = await queue.turn("a", "x", 5.0)
        for again in (60.0, 5.0):  # a long one, and a short one that has no place now
            with pytest.raises(ApiError, match="more work than it can do"):
                await queue.turn("a", "x", again)
        assert queue.full
        for turn in (short, *running):
            queue.release(turn)
        await asyncio.gather(*waiting)

    asyncio.run(run())

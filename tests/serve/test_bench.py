"""`bench-serve` against servers in this process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.cli.app import run
from moss_audio.endpoint.http import Connection
from moss_audio.recordings import load_audio
from moss_audio.recordings.wav import wav_bytes
from moss_audio.serve.bench.clips import ClipPool
from moss_audio.serve.bench.figures import Level, percentiles
from moss_audio.serve.bench.measured import Measured
from moss_audio.serve.bench.rest import RestClient, arrive
from moss_audio.serve.config import Limits
from tests.embedded import NEEDS_NANO
from tests.openai_server import chat_server
from tests.serve.conftest import FakeEngine, serving, serving_model, wait_for

SPEECH = Path(__file__).parents[2] / "examples" / "speech.wav"


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """Three words."""
    path = tmp_path / "clip.wav"
    path.write_bytes(wav_bytes(load_audio(SPEECH, start=0.6, end=1.5).samples))
    return str(path)


def bench(url: str, clip: str, *arguments: str) -> int:
    return run(["bench-serve", f"{url}/v1", "--audio", clip, "--duration", "0.3", *arguments])


def test_streams_and_requests_are_measured(engine: FakeEngine, clip: str, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    with serving(engine) as running:
        assert not bench(running.url, clip, "--streams", "2", "--concurrency", "2",
                         "--rate", "20", "--check", "--out", str(out))  # fmt: skip
    report = json.loads(out.read_text())
    assert [level["kind"] for level in report["levels"]] == [
        "streams", "concurrency", "rate",
    ]  # fmt: skip
    assert report["plan"]["model"] == "moss"
    assert "key" not in report["plan"]
    assert report["wrong"]["count"] == 0
    for level in report["levels"]:
        assert level["answered"] >= 1
        assert level["errors"] == level["refused"] == level["unfinished"] == 0
        waited = level.get("time_to_final_s") or level["latency_s"]
        assert waited["n"] == level["answered"]
        assert 0 < level["time_to_first_token_s"]["p50"] <= waited["p50"]
        assert waited["p50"] <= waited["p90"] <= waited["p95"] <= waited["p99"] <= waited["max"]
    assert report["levels"][0]["answered"] == 2  # a turn of each stream
    assert report["levels"][0]["audio_s"] == pytest.approx(2 * 0.9)


def test_the_server_ends_turns_where_it_is_told_to(
    engine: FakeEngine, clip: str, tmp_path: Path
) -> None:
    out = tmp_path / "report.json"
    with serving(engine) as running:
        assert not bench(running.url, clip, "--streams", "1", "--turns", "server_vad",
                         "--out", str(out))  # fmt: skip
    (level,) = json.loads(out.read_text())["levels"]
    assert level["answered"] == 1
    assert level["time_to_final_s"]["p50"] > 0.4  # the silence that ends a turn is in it


def test_a_wrong_answer_is_found(engine: FakeEngine, clip: str, tmp_path: Path) -> None:
    answers = iter(["the first"] + ["right"] * 8)  # of the warm-up, and of each clip by itself
    engine.answer = lambda _: next(answers, "wrong")
    out = tmp_path / "report.json"
    with serving(engine) as running:
        assert bench(running.url, clip, "--concurrency", "1", "--check", "--out", str(out)) == 1
    report = json.loads(out.read_text())
    assert report["wrong"]["count"] == report["levels"][0]["answered"] > 0
    assert report["wrong"]["some"][0] == {"task": "transcribe", "said": "wrong", "right": "right"}


def test_refusals_are_no_errors(engine: FakeEngine, clip: str, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    with serving(engine, limits=Limits(sessions=1)) as running:
        assert not bench(running.url, clip, "--streams", "3", "--out", str(out))
    (level,) = json.loads(out.read_text())["levels"]
    assert (level["refused"], level["errors"], level["answered"]) == (2, 0, 1)
    assert level["time_to_refusal_s"]["n"] == 2


def test_what_a_server_lacks_is_left_out_and_said(
    clip: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "report.json"
    loads = ["--streams", "1", "--model", "m", "--task", "chat", "--out", str(out)]
    with chat_server(lambda _: "hello") as server:
        url = server.url.removesuffix("/v1")
        assert not bench(url, clip, *loads, "--concurrency", "1")
        assert bench(url, clip, *loads) == 1  # which leaves nothing
    report = json.loads(out.read_text())
    (level,) = report["levels"]
    assert level["kind"] == "concurrency"
    assert level["answered"] > 0
    assert level["time_to_first_token_s"]["p50"] == level["latency_s"]["p50"]  # all in one piece
    assert len(report["skipped"]) == 2
    said = capsys.readouterr().err
    assert "chat: not streamed" in said
    assert "not measured: live streams" in said
    assert "nothing to measure" in said


def test_a_server_that_is_not_there_is_one_line(
    clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("http://127.0.0.1:9", clip, "--streams", "1") == 1
    said = capsys.readouterr().err.strip()
    assert "http://127.0.0.1:9/v1" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--streams", "a"], "--streams a: give numbers"),
        (["--streams", "0"], "streams=0: give numbers above 0"),
        (["--rate", "nan"], "rate=nan"),
        (["--streams", "1", "--task", "x"], "transcribe, chat, events"),
        (["--streams", "1", "--together"], "together needs streams"),
        (["--streams", "1", "--check", "--turns", "server_vad"], "turns=commit"),
    ],
)
def test_what_cannot_be_measured_is_told(
    arguments: list[str], message: str, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("http://127.0.0.1:9", clip, *arguments) == 1
    assert message in capsys.readouterr().err


def test_ctrl_c_shows_what_is_known(engine: FakeEngine, clip: str, tmp_path: Path) -> None:
    out = tmp_path / "report.json"

    def interrupt() -> None:
        wait_for(lambda: len(engine.requests) > 3)
        os.kill(os.getpid(), signal.SIGINT)

    with serving(engine) as running:
        threading.Thread(target=interrupt, daemon=True).start()
        code = bench(running.url, clip, "--concurrency", "1", "--duration", "60", "--out", str(out))
    assert code == 130
    report = json.loads(out.read_text())
    assert report["interrupted"]
    assert report["levels"][0]["answered"] > 0


def test_a_late_answer_makes_the_next_ones_late_too(engine: FakeEngine, clip: str) -> None:
    """A client that waits for each answer before it asks again would leave out the waiting."""
    found: list[Measured] = []
    engine.hold.clear()
    with serving(engine) as running:
        client = RestClient(Connection(f"{running.url}/v1", "", 20, 0), "moss", "transcribe")
        now = time.monotonic()
        moments = [now + 0.05 * place for place in range(6)]
        threading.Timer(0.5, engine.hold.set).start()
        asyncio.run(arrive(client, ClipPool([clip], 16_000, 0), moments, found))
    assert sorted(one.due for one in found) == moments
    assert all(one.outcome == "ok" and one.final for one in found)
    held = now + 0.5
    assert min(one.final for one in found if one.final) >= held  # none was asked after the hold


def test_no_two_clips_are_the_same_and_none_differs_much() -> None:
    pool = ClipPool([SPEECH], 16_000, seed=3)
    drawn = [pool.draw().pcm for _ in range(3)]
    again = ClipPool([SPEECH], 16_000, seed=3).draw().pcm
    assert np.array_equal(drawn[0], again)
    for other in drawn[1:]:
        assert not np.array_equal(drawn[0], other)
        assert np.abs(drawn[0].astype(int) - other).max() <= 1


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=50))
def test_percentiles_are_in_order_and_among_the_values(values: list[float]) -> None:
    found = percentiles(values)
    assert found is not None
    shown = [found[name] for name in ("p50", "p90", "p95", "p99", "max")]
    assert shown == sorted(shown)
    assert round(min(values), 4) <= shown[0]
    assert found["n"] == len(values)


def test_nothing_measured_is_no_figure() -> None:
    level = Level("streams", 1, 0.0, 1.0, [Measured(problem="broken", outcome="error")])
    found: dict[str, Any] = level.figures()
    assert found["time_to_final_s"] is None
    assert found["problems"] == {"broken": 1}


class TestNano:
    pytestmark = NEEDS_NANO

    def test_words_are_right_and_their_lag_is_known(self, clip: str, tmp_path: Path) -> None:
        from moss_audio.api import load

        out = tmp_path / "report.json"
        with serving_model(load("nano")) as running:
            assert not bench(running.url, clip, "--streams", "1", "--check", "--sample-rate",
                             "16000", "--out", str(out))  # fmt: skip
        report = json.loads(out.read_text())
        (level,) = report["levels"]
        assert report["wrong"]["count"] == 0
        assert level["answered"] == 1
        assert level["word_lag_s"]["n"] >= 2
        assert level["word_lag_s"]["p50"] > 0

"""Transcripts with vLLM over HTTP: our front before it, and its own endpoint with our plug-in, have
the text and the words that the engine here has."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from moss_audio.api import MossAudio
from moss_audio.endpoint.http import multipart
from moss_audio.engine.remote_request import float_wav
from moss_audio.writers import rounded
from tests.interop import checkpoints
from tests.interop.conftest import running_vllm

pytestmark = pytest.mark.interop

CLIPS = {"2.5 s": (2.5, 1), "5.5 s": (5.5, 2)}
VERBOSE = {"response_format": "verbose_json"}
WORDS = {**VERBOSE, "timestamp_granularities[]": "word"}
PATH = "/audio/transcriptions"


@dataclass(frozen=True)
class Fronts:
    """A checkpoint in this process, and the addresses of both servers that have it."""

    here: MossAudio
    ours: str
    stock: str
    log: Path
    own_log: Path

    def clip(self, name: str) -> bytes:
        return float_wav(checkpoints.clip(*CLIPS[name]))

    def transcript(self, name: str, timestamps: str | None = None) -> dict[str, Any]:
        return rounded(self.here.transcribe(self.clip(name), timestamps))


def post(url: str, wav: bytes, fields: dict[str, str]) -> tuple[int, Any]:
    """What an endpoint answers to a form: the status, and JSON or a text."""
    body, kind = multipart({"model": "moss-audio", **fields}, "a.wav", wav, "audio/wav")
    request = urllib.request.Request(f"{url}{PATH}", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=300) as response:
            status, said = response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        status, said = error.code, error.read().decode()
    try:
        return status, json.loads(said)
    except ValueError:
        return status, said


@contextmanager
def front(backend: str, folder: Path, work: Path) -> Iterator[str]:
    """`moss-audio serve --backend`; its log is `work/front.log`."""
    command = [sys.executable, "-m", "moss_audio", "serve", str(folder), "--backend", backend]
    with (work / "front.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", "0", "--served-model-name", "moss-audio"], stderr=log
        )
    try:
        until = time.monotonic() + 60
        while not (found := re.search(r"http://\S+", (work / "front.log").read_text())):
            assert server.poll() is None, (work / "front.log").read_text()
            assert time.monotonic() < until, "the front did not start"
            time.sleep(0.2)
        yield found[0]
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture(scope="module", params=checkpoints.RECIPES)
def fronts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fronts]:
    pytest.importorskip("vllm", reason="run `make test-interop`")
    import moss_audio

    folder = tmp_path_factory.mktemp(f"{request.param}-timed")
    work = tmp_path_factory.mktemp(f"{request.param}-fronts")
    checkpoints.save(folder, checkpoints.RECIPES[request.param], timed=True)
    with (
        running_vllm(folder, work) as served,
        front(f"{served.endpoint.url}#moss-audio", folder, work) as ours,
    ):
        here = moss_audio.load(folder, device="cpu", dtype="float32")
        stock = served.endpoint.url
        yield Fronts(here, ours, stock, work / "vllm.log", work / "front.log")


@pytest.mark.parametrize("name", CLIPS)
def test_text_and_words_are_those_of_the_engine_here(fronts: Fronts, name: str) -> None:
    text = fronts.transcript(name)["text"]
    timed = fronts.transcript(name, "word")
    assert len(timed["words"]) > 50  # else nothing would be compared
    words = [
        {"word": word["text"], "start": word["start"], "end": word["end"]}
        for word in timed["words"]
    ]
    for url in (fronts.ours, fronts.stock):
        status, plain = post(url, fronts.clip(name), {})
        assert (status, plain["text"]) == (200, text)
        status, told = post(url, fronts.clip(name), WORDS)
        assert (status, told["text"]) == (200, timed["text"])
        assert told["words"] == words
        assert told["duration"] == CLIPS[name][0]


def test_segments_and_other_forms(fronts: Fronts) -> None:
    timed = fronts.transcript("2.5 s", "sentence")
    for url in (fronts.ours, fronts.stock):
        status, told = post(url, fronts.clip("2.5 s"), VERBOSE)
        assert status == 200
        found = [{name: one[name] for name in ("start", "end", "text")} for one in told["segments"]]
        assert found == [
            {name: one[name] for name in ("start", "end", "text")} for one in timed["segments"]
        ]
        assert all(segment["tokens"] for segment in told["segments"])
        assert "words" not in told
    status, srt = post(fronts.ours, fronts.clip("2.5 s"), {"response_format": "srt"})
    assert (status, srt[:2]) == (200, "1\n")
    status, said = post(fronts.stock, fronts.clip("2.5 s"), {"response_format": "text"})
    assert (status, said["text"]) == (200, fronts.transcript("2.5 s")["text"])
    status, _ = post(fronts.stock, fronts.clip("2.5 s"), {"response_format": "srt"})
    assert status == 400
    assert "Traceback" not in fronts.own_log.read_text()


def test_a_stream_of_our_front_is_the_text(fronts: Fronts) -> None:
    status, events = post(fronts.ours, fronts.clip("5.5 s"), {"stream": "true"})
    told = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: ")]
    assert status == 200
    assert len(told) > 20
    assert told[-1]["text"] == fronts.transcript("5.5 s")["text"]
    assert told[-1]["usage"]["output_tokens"] > 20


def test_a_client_that_hangs_up_ends_the_work_in_vllm(fronts: Fronts) -> None:
    wav = float_wav(checkpoints.clip(60.0, seed=9))  # some thousand tokens
    body, kind = multipart({"model": "moss-audio", **WORDS}, "a.wav", wav, "audio/wav")
    host, port = fronts.ours.split("/")[2].split(":")
    before = _metric(fronts, "vllm:generation_tokens_total")
    with socket.create_connection((host, int(port))) as client:
        head = f"POST /v1{PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        _until(lambda: _metric(fronts, "vllm:num_requests_running") == 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    _until(lambda: _metric(fronts, "vllm:num_requests_running") == 0)
    written = _metric(fronts, "vllm:generation_tokens_total") - before
    assert written < 900  # of about 1,200 that it had room for
    assert "499" in fronts.own_log.read_text()


def _metric(fronts: Fronts, name: str) -> float:
    url = fronts.stock.removesuffix("/v1") + "/metrics"
    with urllib.request.urlopen(url, timeout=30) as response:
        lines = io.TextIOWrapper(response).read().splitlines()
    values = [line for line in lines if line.startswith(f"{name}{{")]
    return sum(float(line.rpartition(" ")[2]) for line in values)


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def test_cached_tokens_are_told(fronts: Fronts) -> None:
    content = [
        {"type": "text", "text": "Say how things are, at some length, and then once more. " * 8}
    ]
    asked = {"messages": [{"role": "user", "content": content}], "max_tokens": 4}
    usages = []
    for _ in range(2):
        request = urllib.request.Request(
            f"{fronts.ours}/chat/completions",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            usages.append(json.load(response)["usage"])
    assert usages[1]["prompt_tokens_details"]["cached_tokens"] > 0
    assert usages[1]["completion_tokens"] == 4
    assert os.path.getsize(fronts.log)

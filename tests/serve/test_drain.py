"""SIGTERM in the midst of work: what runs is finished, what is new is told, the process ends."""

from __future__ import annotations

import base64
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.serve.conftest import wait_for, wav
from tests.serve.realtime_sound import speech
from tests.serve.slow_server import DRAIN_S, SAID, slow_server
from tests.serve.test_secrecy import AUTHORIZED

PLACES = ("running", "waiting")
COMPLETED = "conversation.item.input_audio_transcription.completed"


def test_work_goes_on_to_its_end_and_nothing_new_begins(tmp_path: Path) -> None:
    with slow_server(tmp_path / "log", pace=0.1) as server, ThreadPoolExecutor(2) as pool:
        root = server.url.removesuffix("/v1")
        socket_url = server.url.replace("http:", "ws:") + "/realtime?intent=transcription"

        def post() -> Any:
            return httpx2.post(f"{server.url}/audio/transcriptions", headers=AUTHORIZED,
                               files={"file": ("a.wav", wav())}, timeout=20)  # fmt: skip

        def inside() -> bool:
            told = httpx2.get(f"{root}/metrics").text
            return all(f'num_requests_{one}{{model="moss"}} 1.0' in told for one in PLACES)

        with connect(socket_url, additional_headers=AUTHORIZED) as socket:
            assert json.loads(socket.recv(20))["type"] == "session.created"
            asked = [pool.submit(post) for _ in range(2)]  # the second waits for the first
            wait_for(inside)
            sound = base64.b64encode(speech((0.5, 0.0), (1.0, 0.1), (1.0, 0.0))).decode()
            socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": sound}))
            server.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            wait_for(lambda: httpx2.get(f"{root}/health/ready").status_code == 503)
            refused = post()
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "shutting_down"
            with pytest.raises(InvalidStatus, match="503"):
                connect(socket_url, additional_headers=AUTHORIZED).close()
            told = [json.loads(message) for message in socket]
            assert socket.close_code == 1001
            assert socket.close_reason == "the session is over: connect again"
            (done,) = [one for one in told if one["type"] == COMPLETED]
            assert SAID in done["transcript"]
        for one in asked:
            assert one.result().status_code == 200
            assert SAID in one.result().json()["text"]
        assert server.process.wait(DRAIN_S) == 0
        assert time.monotonic() - began < DRAIN_S + 2
        assert "Traceback" not in server.written()

"""The log, down to its last detail, has nothing that a client said or sent."""

from __future__ import annotations

import base64
import json
import re
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

from tests.serve.conftest import wav
from tests.serve.realtime_sound import speech
from tests.serve.slow_server import KEY, SAID, SlowServer, slow_server

TYPED = "platypus"  # in every text that is sent
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}


def rest(server: SlowServer) -> str:
    """One of every kind of request, good and bad; the base64 of the sound that was sent."""

    def post(path: str, **options: Any) -> int:
        answer = httpx2.post(f"{server.url}{path}", headers=AUTHORIZED, timeout=20, **options)
        return answer.status_code

    files = {"file": (f"{TYPED}.wav", wav())}
    sound = base64.b64encode(wav()).decode()
    heard = {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}}
    asked = [{"role": "user", "content": [heard, {"type": "text", "text": f"a {TYPED}?"}]}]
    plain: dict[str, Any] = {"prompt": TYPED, "language": TYPED}
    assert post("/audio/transcriptions", files=files, data=plain) == 200
    verbose = plain | {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    assert post("/audio/transcriptions", files=files, data=verbose) == 200
    assert post("/audio/transcriptions", files=files, data=plain | {"stream": "true"}) == 200
    assert post("/audio/questions", files=files, data={"question": TYPED}) == 200
    assert post("/audio/captions", files=files) == 200
    assert post("/chat/completions", json={"messages": asked, "user": TYPED}) == 200
    assert post("/chat/completions", json={"messages": asked, "stream": True}) == 200
    broken = {"file": (f"{TYPED}.mp3", f"no sound: {TYPED}".encode())}
    assert post("/audio/transcriptions", files=broken) == 422
    assert post("/audio/transcriptions", files=files, data={"response_format": TYPED}) == 400
    assert post("/audio/transcriptions", files=files, data={"model": TYPED}) == 404
    assert post("/chat/completions", json={"messages": TYPED}) == 400
    assert post("/chat/completions", content=f"{TYPED} is no JSON".encode()) == 400
    remote = {"type": "audio_url", "audio_url": {"url": f"http://{TYPED}.invalid/a.wav"}}
    messages = [{"role": "user", "content": [remote]}]
    assert post("/chat/completions", json={"messages": messages}) == 400
    assert post(f"/{TYPED}?{TYPED}={TYPED}") == 404
    wrong = {"Authorization": f"Bearer {KEY}x{TYPED}"}
    assert httpx2.get(f"{server.url}/models", headers=wrong).status_code == 401
    return sound


def live(server: SlowServer) -> str:
    """A session with a turn, a question, a mistake; the base64 of the sound that was sent."""
    url = server.url.replace("http:", "ws:") + f"/realtime?intent=transcription&x={TYPED}"
    sound = base64.b64encode(speech((0.5, 0.0), (1.0, 0.1), (1.0, 0.0))).decode()
    with connect(url, additional_headers=AUTHORIZED) as socket:
        for message in (
            {"type": "session.update", "session": {"type": "realtime", "instructions": TYPED}},
            {"type": "input_audio_buffer.append", "audio": sound},
            {"type": TYPED, "event_id": TYPED},
            {"type": "response.create", "response": {"instructions": TYPED}},
        ):
            socket.send(json.dumps(message))
        socket.send(TYPED)
        while json.loads(socket.recv(20))["type"] != "response.done":
            pass
    return sound


def test_no_key_text_name_or_sound_is_in_the_log(tmp_path: Path) -> None:
    with slow_server(tmp_path / "log") as server:
        sounds = rest(server), live(server)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        log = server.written()
    assert "POST /v1/chat/completions 200" in log
    assert "WS /v1/realtime 101" in log
    assert "DEBUG" in log
    for secret in (KEY, "crocodile", TYPED, *SAID.split()):
        found = re.search(f".*{secret}.*", log, re.IGNORECASE)
        assert found is None, found[0][:300]
    for sound in sounds:
        runs = {sound[i : i + 24] for i in range(0, len(sound) - 24, 24)} - {"A" * 24}
        assert not any(run in log for run in runs)
        assert not re.search("[A-Za-z0-9+/]{80}", log)
    assert "Traceback" not in log


@pytest.mark.parametrize("compression", ["deflate", None])
def test_sound_is_not_compressed(tmp_path: Path, compression: Any) -> None:
    with slow_server(tmp_path / "log") as server:
        url = server.url.replace("http:", "ws:") + "/realtime?intent=transcription"
        with connect(url, additional_headers=AUTHORIZED, compression=compression) as socket:
            assert socket.response is not None
            assert "Sec-WebSocket-Extensions" not in socket.response.headers
            assert not socket.protocol.extensions
            assert json.loads(socket.recv(20))["type"] == "session.created"

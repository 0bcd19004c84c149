"""Small requests that want to become large: sound that expands, JSON that is deep, bodies without
end."""

from __future__ import annotations

import contextlib
import io
import json
import resource
from collections.abc import Iterator
from typing import Any

import av
import httpx2
import numpy as np
import pytest

from moss_audio.serve.config import Limits
from tests.serve.conftest import FakeEngine, Running, serving, wav

PATH = "/v1/audio/transcriptions"
CHAT = "/v1/chat/completions"


def silent_flac(seconds: float) -> bytes:
    """Silence, which FLAC makes two hundred times smaller."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as out:
        stream: Any = out.add_stream("flac", rate=16_000, layout="mono")
        for _ in range(round(seconds / 10)):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 160_000), np.int16), format="s16", layout="mono"
            )
            frame.sample_rate = 16_000
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("lies", [False, True])
def test_a_flac_of_silence_that_expands_is_refused(lies: bool) -> None:
    data = bytearray(silent_flac(3600))
    assert len(data) < 700_000
    if lies:  # STREAMINFO says that it is short
        place = 8 + 13
        data[place : place + 5] = bytes([data[place] & 0xF0]) + (16_000).to_bytes(4, "big")
    engine = FakeEngine()
    with serving(engine, limits=Limits(audio_s=60)) as running:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = running.post(PATH, files={"file": ("a.flac", bytes(data))})
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert answer.status_code in ((200, 413) if lies else (413,))
        assert grown_kib < 60_000  # an hour would be 230 MB
    assert all(len(clip) <= 61 * 16_000 for request in engine.requests for clip in request.clips)


@pytest.mark.parametrize("depth", [300, 900, 980, 5000, 200_000])
@pytest.mark.parametrize("name", ["messages", "n", "stop", "chat_template_kwargs", "unknown"])
def test_json_that_is_deep_is_the_clients_fault(running: Running, depth: int, name: str) -> None:
    for opened, closed in (("[", "]"), ('{"a":', "}")):
        inner = opened * depth + ("1" if "a" in opened else "") + closed * depth
        body = f'{{"messages":[{{"role":"user","content":"hi"}}],"{name}":{inner}}}'
        headers = {"content-type": "application/json"}
        answer = running.post(CHAT, content=body, headers=headers)
        assert answer.status_code < 500
        assert json.loads(answer.content)


def test_a_body_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moss_audio.serve.bodies._DISCARD_S", 0.2)
    with serving(FakeEngine(), limits=Limits(body_bytes=1_000_000)) as running:
        sent = 0

        def chunks() -> Iterator[bytes]:
            nonlocal sent
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            while True:
                sent += 65536
                yield b"x" * 65536

        headers = {"content-type": "multipart/form-data; boundary=b"}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # the connection may be closed before the client has read the answer
        with contextlib.suppress(httpx2.WriteError, httpx2.ReadError):
            assert running.post(PATH, content=chunks(), headers=headers).status_code == 413
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000
        assert sent > 1_000_000


@pytest.mark.parametrize("task", ["events", "captions", "questions"])
def test_what_is_longer_than_its_header_says_is_not_answered_in_part(
    task: str,
) -> None:
    data = bytearray(silent_flac(20))
    data[21:26] = bytes([data[21] & 0xF0]) + (16_000).to_bytes(4, "big")
    path, form = f"/v1/audio/{task}", {"question": ["Is it loud?", "Why?"]}
    with serving(FakeEngine(), limits=Limits(audio_s=2)) as short:
        answer = short.post(path, files={"file": ("a.flac", bytes(data))}, data=form)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "audio_too_long"
        fits = short.post(path, files={"file": ("a.wav", wav(2))}, data=form)
        assert fits.status_code == 200

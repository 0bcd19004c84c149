"""Keys, pages, sizes, slow clients, malformed forms: what the server does not put up with."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from typing import Any

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount

from moss_audio.errors import MossAudioError
from moss_audio.serve.app import build
from moss_audio.serve.config import MIB, Limits, ServerConfig
from moss_audio.serve.service import Service
from tests.serve.conftest import FakeEngine, Running, serving, wait_for, wav

PATH = "/v1/audio/transcriptions"


def post(running: Running, **options: Any) -> Any:
    return running.post(PATH, files={"file": ("a.wav", wav())}, **options)


def test_keys_are_asked_for_where_there_are_some() -> None:
    with serving(FakeEngine(), keys=("one", "two")) as running:
        for key in ("one", "two"):
            assert running.client(key).models.list().data[0].id == "moss"
        for wrong in ("three", "one ", "ONE", "é"):
            headers = {"authorization": f"Bearer {wrong}x".encode()}
            answer = running.get("/v1/models", headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            running.client("three").models.list()
        assert running.get("/v1/models").status_code == 401
        assert running.get("/v1/nothing").status_code == 401
        for path in ("/health", "/health/live", "/health/ready", "/metrics", "/version"):
            assert running.get(path).status_code == 200


def test_mounted_under_a_path_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is open stays open, and what needs a key needs it; the metrics name no other paths."""

    def mounted(service: Service) -> Any:
        return Starlette(routes=[Mount("/moss", build(service))])

    monkeypatch.setattr("moss_audio.serve.run.build", mounted)
    with serving(FakeEngine(), keys=("one",)) as running:
        assert running.get("/moss/health/ready").status_code == 200
        assert running.get("/moss/v1/models").status_code == 401
        key = {"authorization": "Bearer one"}
        files = {"file": ("a.wav", wav())}
        assert running.post(f"/moss{PATH}", files=files, headers=key).status_code == 200
        told = running.get("/moss/metrics").text
    assert f'endpoint="{PATH}"' in told
    assert "/moss/" not in told


def test_another_address_needs_keys_or_a_word() -> None:
    with pytest.raises(MossAudioError, match="--api-key"):
        ServerConfig(host="0.0.0.0")
    assert ServerConfig(host="0.0.0.0", keys=("k",)).keys
    assert ServerConfig(host="0.0.0.0", insecure=True).insecure
    with pytest.raises(MossAudioError, match="empty"):
        ServerConfig(keys=("",))
    with pytest.raises(MossAudioError, match="audio_s=nan"):
        Limits(audio_s=float("nan"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"origin": "https://good.example"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 403),
        ({"host": "localhost"}, 200),
        ({"host": "[::1]:80"}, 200),
        ({"host": "[::1"}, 403),
    ],
)
def test_pages_of_others_do_not_use_an_open_server(headers: dict[str, str], status: int) -> None:
    with serving(FakeEngine(), origins=("https://good.example",)) as running:
        answer = post(running, headers=headers)
        assert answer.status_code == status
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == (headers.get("origin") if status == 200 else None)


@pytest.mark.parametrize("how", [{"keys": ("one",)}, {"insecure": True}])
def test_behind_a_proxy_it_has_other_names(how: dict[str, Any]) -> None:
    headers = {"host": "audio.example", "authorization": "Bearer one"}
    with serving(FakeEngine(), **how) as running:
        assert post(running, headers=headers).status_code == 200
        own = {**headers, "origin": "https://audio.example"}
        assert post(running, headers=own).status_code == 200
        assert post(running, headers={**headers, "origin": "https://a.b"}).status_code == 403


def test_a_model_under_each_of_its_names(running: Running) -> None:
    client = running.client()
    assert [model.id for model in client.models.list()] == ["moss", "whisper-1"]
    assert client.models.retrieve("whisper-1").owned_by == "moss-audio"
    with serving(FakeEngine(), names=("openmoss/moss", "moss")) as other:
        assert other.client().models.retrieve("openmoss/moss").id == "openmoss/moss"
        assert other.get("/v1/models/openmoss/moss").json()["id"] == "openmoss/moss"
    with pytest.raises(openai.NotFoundError, match="there is moss, whisper-1"):
        client.models.retrieve("gpt-5")
    assert post(running, data={"model": "gpt-transcribe"}).json()["error"]["param"] == "model"


def test_unknown_paths_and_methods_have_errors_like_all(running: Running) -> None:
    for answer, status in (
        (running.get("/v1/responses"), 404),
        (running.get(PATH), 405),
        (running.post(PATH, json={"file": "/etc/passwd"}), 415),
        (running.post("/v1/chat/completions", data={"a": "b"}), 415),
        (running.get("/v1/realtime"), 426),
    ):
        assert answer.status_code == status
        assert (status == 405) == ("another method: POST" in answer.text)
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_body_too_large_and_sound_too_long_are_refused() -> None:
    limits = Limits(body_bytes=100_000, audio_s=2.5)
    engine = FakeEngine()
    with serving(engine, limits=limits) as running:
        with pytest.raises(openai.APIStatusError) as caught:
            running.client().audio.transcriptions.create(file=("a.wav", wav(9)), model="moss")
        assert caught.value.status_code == 413
        assert caught.value.code == "request_too_large"
        form = {"content-type": "multipart/form-data; boundary=x"}
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        chunks = [head, *[b"x" * 60_000] * 9]  # well-formed as far as they are read
        chunked = running.post(PATH, content=iter(chunks), headers=form)
        assert chunked.status_code == 413
        too_long = post(running)
        assert too_long.status_code == 200
        too_long = running.post(PATH, files={"file": ("a.wav", wav(3))})
        assert too_long.status_code == 413
        assert too_long.json()["error"]["code"] == "audio_too_long"
        lying = bytearray(wav(3))  # a header that states less than there is
        lying[40:44] = (8000).to_bytes(4, "little")
        assert running.post(PATH, files={"file": ("a.wav", bytes(lying))}).status_code in (200, 413)
    assert all(sum(map(len, request.clips)) <= 3.5 * 16_000 for request in engine.requests)


BOUNDARY = "multipart/form-data; boundary=b"
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n'
MALFORMED = {
    "empty": (BOUNDARY, b""),
    "no boundary named": ("multipart/form-data", FILE + b"--b--\r\n"),
    "another boundary": ("multipart/form-data; boundary=c", FILE + b"--b--\r\n"),
    "an empty boundary": ("multipart/form-data; boundary=", FILE + b"--b--\r\n"),
    "never closed": (BOUNDARY, FILE),
    "cut in a header": (BOUNDARY, b"--b\r\nContent-Dispo"),
    "no disposition": (BOUNDARY, b"--b\r\nX: y\r\n\r\nRIFF\r\n--b--\r\n"),
    "no name": (BOUNDARY, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
    "bare line feeds": (BOUNDARY, FILE.replace(b"\r\n", b"\n") + b"--b--\n"),
    "two files": (BOUNDARY, FILE + FILE + b"--b--\r\n"),
    "300 fields": (
        BOUNDARY, b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n' * 300 + b"--b--",
    ),
    "a field of 70 kB": (
        BOUNDARY,
        b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n' + b"y" * 70_000
        + b"\r\n" + FILE + b"--b--\r\n",
    ),
    "a header of 1 MB": (
        BOUNDARY, b"--b\r\nContent-Disposition: form-data; name=" + b"n" * 10**6 + b"\r\n\r\nx",
    ),
    "an empty file": (BOUNDARY, FILE.replace(b"RIFF", b"") + b"--b--\r\n"),
    "nothing but noise": (BOUNDARY, bytes(range(256)) * 40),
    "a charset that is none": (
        "multipart/form-data; boundary=b; charset=\xff\xfe", FILE + b"--b--\r\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_form_is_the_clients_fault(
    running: Running, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    content_type, body = MALFORMED[case]
    headers = {"content-type": content_type.encode("latin-1")}
    answer = running.post(PATH, content=body, headers=headers)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]
    assert post(running).status_code == 200
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


NAMES = st.sampled_from(
    ["model", "language", "prompt", "response_format", "temperature", "timestamp_granularities[]",
     "timestamp_granularities", "include[]", "stream", "chunking_strategy", "keywords[]",
     "chunking_strategy[type]", "known_speaker_names[]", "question", "file", "x[]", "[]"]
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["moss", "json", "text", "srt", "vtt", "verbose_json", "word", "segment",
                     "true", "false", "0", "0.5", "1e999", "nan", "-1", "9" * 40]),
)  # fmt: skip
PATHS = st.sampled_from([PATH, "/v1/audio/events", "/v1/audio/captions", "/v1/audio/questions"])


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=PATHS, fields=st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_no_form_makes_the_server_fail(
    running: Running, path: str, fields: list[tuple[str, str]]
) -> None:
    form: list[tuple[str, Any]] = [
        (name, (None, value.encode("utf-8", "replace"))) for name, value in fields
    ]
    answer = running.post(path, files=[*form, ("file", ("a.wav", wav(0.2)))])
    assert answer.status_code < 500


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["role", "content", "type", "text", "audio_url", "url",
                                         "input_audio", "data"]), inner, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip
BODIES = st.dictionaries(
    st.sampled_from(["messages", "model", "n", "seed", "stop", "stream", "temperature", "top_p",
                     "top_k", "max_tokens", "stream_options", "reasoning_effort", "modalities"]),
    JSON,
)  # fmt: skip


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, valid=st.booleans())
def test_no_body_makes_the_server_fail(running: Running, body: dict[str, Any], valid: bool) -> None:
    if valid:
        body = body | {"messages": [{"role": "user", "content": "hi"}]}
    headers = {"content-type": "application/json"}
    answer = running.post("/v1/chat/completions", content=json.dumps(body), headers=headers)
    assert answer.status_code < 500


def connect(running: Running, data: bytes) -> socket.socket:
    host, port = running.url.removeprefix("http://").split(":")
    client = socket.create_connection((host, int(port)), timeout=10)
    client.sendall(data)
    return client


def test_slow_clients_are_let_go_and_hold_nobody_up() -> None:
    limits = Limits(header_s=0.3, body_s=0.5)
    head = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n"
    form = head + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 999\r\n\r\n--b"
    whole = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(FakeEngine(), limits=limits) as running:
        silent = [connect(running, b"") for _ in range(20)]
        heads = [connect(running, head) for _ in range(20)]
        bodies = [connect(running, form) for _ in range(20)]
        second = connect(running, whole)  # answered, and then slow with the next request
        wait_for(lambda: b"version" in second.recv(4096))
        second.sendall(head)
        assert post(running).status_code == 200
        for client in (*silent, *heads, second):
            assert client.recv(4096) == b""  # closed
        for client in bodies:
            assert client.recv(4096).startswith(b"HTTP/1.1 408")
        wait_for(lambda: not running.server.server_state.connections)
        for client in (*silent, *heads, *bodies, second):
            client.close()


def test_who_comes_when_all_connections_are_taken_is_told_so() -> None:
    whole = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(FakeEngine(), limits=Limits(connections=2, header_s=60)) as running:
        held = [connect(running, b"") for _ in range(2)]
        wait_for(lambda: len(running.service.connections) == 2)
        refused = running.get("/v1/models")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "server_overloaded"
        assert refused.headers["connection"] == "close"
        assert running.get("/health/live").status_code == 200
        crowd = [connect(running, b"") for _ in range(100)]
        wait_for(lambda: len(running.service.connections) <= 2 + 64)
        for client in (*crowd, held.pop()):
            client.close()
        wait_for(lambda: len(running.service.connections) == 1)
        held[0].sendall(whole)
        assert held.pop().recv(4096).startswith(b"HTTP/1.1 200")
        assert running.metric("moss:admission_rejections_total", reason="connections") == 1


def test_what_is_not_http_has_an_error_like_all(running: Running) -> None:
    client = connect(running, b"\x16\x03\x01 hello\r\n\r\n")
    answer = b""
    while data := client.recv(4096):
        answer += data
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_http"
    client.close()


def test_a_trickle_is_too_slow() -> None:
    limits = Limits(body_s=0.3, body_rate=10_000)
    head = b"POST /v1/audio/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n"
    with serving(FakeEngine(), limits=limits) as running:
        begun = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n'
        client = connect(
            running, head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + begun
        )
        try:
            for _ in range(40):
                client.sendall(b"-")
                time.sleep(0.05)
        except OSError:
            pass  # closed while it was being sent to
        finally:
            client.close()
        labels = {"endpoint": "/v1/audio/events", "status": "408"}
        wait_for(lambda: running.metric("moss:http_responses_total", **labels) == 1)


def test_who_does_not_read_is_let_go() -> None:
    engine = FakeEngine(lambda _: " ".join(["x" * 4000] * 4000))
    body = b'{"messages":[{"role":"user","content":"hi"}],"stream":true}'
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
    )
    with serving(engine, limits=Limits(write_s=0.3)) as running:
        client = connect(running, head + b"\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        wait_for(lambda: not running.server.server_state.connections)  # without a byte being read
        client.close()
        assert post(running).status_code == 200


def test_the_log_has_neither_words_nor_keys(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: Any) -> str:
        raise RuntimeError("private words")

    with (
        caplog.at_level(logging.DEBUG, "moss_audio.serve"),
        serving(FakeEngine(fails), keys=("sesame",)) as running,
    ):
        headers = {"authorization": "Bearer sesame", "x-request-id": "my-id-7"}
        answer = post(running, headers=headers, data={"prompt": "hidden prompt"},
                      params={"api-key": "sesame"})  # fmt: skip
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "server_error"
        assert answer.headers["x-request-id"] == "my-id-7"
        assert post(running, headers={"x-request-id": "a\tb"}).headers["x-request-id"] != "a\tb"
    text = caplog.text
    assert "RuntimeError in fails" in text
    assert "my-id-7" in text
    for secret in ("private words", "sesame", "hidden prompt"):
        assert secret not in text + answer.text


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "\ud800"}]},
         "messages.0.content"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}],
                                  "stop": ["\udfff"]}, "stop.0"),
        ("/v1/chat/completions", {"messages": [], "\ud800": 1}, "the body"),
        ("/v1/audio/formats", {"result": {"text": "\ud800"}, "response_format": "text"},
         "result.text"),
        ("/v1/realtime/client_secrets", {"session": {"instructions": "\ud800"}},
         "session.instructions"),
    ],
)  # fmt: skip
def test_half_a_character_is_a_bad_request(
    running: Running, path: str, body: dict[str, Any], place: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = running.post(path, content=json.dumps(body), headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(f"{place}: it holds a lone surrogate")


def test_both_halves_are_a_character(running: Running) -> None:
    body = {"messages": [{"role": "user", "content": "\U0001f600"}]}
    sent = json.dumps(body)
    assert "\\ud83d" in sent
    headers = {"content-type": "application/json"}
    assert running.post("/v1/chat/completions", content=sent, headers=headers).status_code == 200


def test_a_time_that_no_recording_has_is_a_bad_request(running: Running) -> None:
    for duration in (10**400, 1e300):
        result = {"type": "transcript", "text": "hi", "duration": duration}
        answer = running.post("/v1/audio/formats", json={"result": result})
        assert answer.status_code == 400
        assert "'duration' must be a finite number of seconds" in answer.json()["error"]["message"]


def test_origins_are_kept_as_browsers_send_them() -> None:
    given = ("https://good.example/", "HTTP://Good.example:80", "https://[::1]:8443", "null",
             "chrome-extension://abc")  # fmt: skip
    kept = ("https://good.example", "http://good.example", "https://[::1]:8443", "null",
            "chrome-extension://abc")  # fmt: skip
    assert ServerConfig(origins=given).origins == kept


@pytest.mark.parametrize(
    "origin",
    ["*", "https://*.example", "good.example", "https://good.example/page", "", "https://"],
)
def test_what_no_browser_sends_is_no_origin(origin: str) -> None:
    with pytest.raises(MossAudioError, match="give scheme://host") as caught:
        ServerConfig(origins=(origin,))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/v1/realtime?" + "x" * 9000, [], 414),
        ("/v1/realtime", [b"X: " + b"x" * 9000], 431),
        ("/v1/realtime", [b"X: x"] * 130, 431),
        ("/v1/realtime", [b"Content-Length: 3"], None),
    ],
)
def test_a_handshake_that_cannot_be_read_is_answered_and_closed(
    path: str, fields: list[bytes], status: int | None
) -> None:
    lines = [
        f"GET {path} HTTP/1.1".encode(), b"Host: localhost", b"Connection: Upgrade",
        b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *fields,
    ]  # fmt: skip
    with (
        serving(FakeEngine(), limits=Limits(header_s=60)) as running,
        connect(running, b"\r\n".join([*lines, b"", b""])) as client,
    ):
        answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert answer.startswith(b"" if status is None else b"HTTP/1.1 %d" % status)
        wait_for(lambda: not running.server.server_state.connections)


def test_a_handshake_that_is_never_answered_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr("moss_audio.serve.app.realtime", never)
    head = (
        b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    limits = Limits(header_s=0.3, drain_s=0.1)
    with serving(FakeEngine(), limits=limits) as running, connect(running, head) as client:
        assert client.recv(4096) == b""


def test_all_bodies_that_are_being_read_have_one_bound() -> None:
    limits = Limits(body_bytes=5 * MIB, bodies_bytes=1, body_s=60)
    length = f"Content-Length: {5 * MIB - 1000}\r\n".encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n".encode() + length
    head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + FILE
    large = {"file": ("a.wav", wav(60))}
    with serving(FakeEngine(), limits=limits) as running:
        assert running.post(PATH, files=large).status_code == 200
        slow = connect(running, head + b"x" * (4 * MIB))
        wait_for(lambda: running.post(PATH, files=large).status_code == 503)  # all that is read
        refused = running.post(PATH, files=large)
        assert refused.json()["error"]["code"] == "server_overloaded"
        assert "retry-after" in refused.headers
        assert post(running).status_code == 200  # a small one
        slow.close()
        wait_for(lambda: len(running.service.connections) == 0)
        assert running.post(PATH, files=large).status_code == 200

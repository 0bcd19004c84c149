"""What clients write is no path and, unless the operator named the host, no address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from moss_audio.errors import MossAudioError
from moss_audio.serve.config import Limits, ServerConfig
from tests.serve.conftest import FakeEngine, Running, serving, wav

CHAT = "/v1/chat/completions"


class Listener:
    """Counts connections at a port of 127.0.0.1, and answers each with a sound or a redirect."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.count = 0
        self.location = ""
        self.body = wav(0.5)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.count += 1
            with client:
                client.recv(65536)
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(self.body)}\r\n\r\n"
                if self.location:
                    head = f"HTTP/1.1 302 F\r\nLocation: {self.location}\r\n\r\n"
                client.sendall(head.encode() + self.body)

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)  # also ends the thread that waits
        self.socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    if made.socket.fileno() >= 0:
        made.close()


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that lead to this machine."""
    resolved = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        return resolved("127.0.0.1" if str(host).endswith(".test") else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def question(part: Any) -> Any:
    return {"messages": [{"role": "user", "content": [part]}]}


def asked_about(running: Running, url: str) -> Any:
    return running.post(CHAT, json=question({"type": "audio_url", "audio_url": {"url": url}}))


# `{port}` is one at which something listens; `allowed.test` was named by the operator.
TRICKS = [
    "http://127.0.0.1:{port}/a.wav", "http://localhost:{port}/a.wav", "http://2130706433:{port}/",
    "http://017700000001:{port}/", "http://0177.0.0.1:{port}/", "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/", "http://127.1:{port}/", "http://0:{port}/",
    "http://0.0.0.0:{port}/", "http://[::1]:{port}/", "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/", "http://[64:ff9b::7f00:1]:{port}/",
    "http://[::1%25lo]:{port}/", "http://[::1%lo]:{port}/", "http://127.0.0.1.:{port}/",
    "http://localhost.:{port}/", "http://\uff11\uff12\uff17.0.0.1:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/", "http://127。0。0。1:{port}/",
    "http://other.test:{port}/", "http://allowed.test:{port}/", "http://allowed.test/",
    "http://allowed.test@127.0.0.1:{port}/", "http://@127.0.0.1:{port}/",
    "http://allowed.test:80@127.0.0.1:{port}/", "http://allowed.test%40127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@allowed.test/", "http://allowed.test\\@127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}\\a", "http://allowed.test#@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@allowed.test/", "http://127.0.0.1:{port}?@allowed.test/",
    "http://allowed.test:{port}:80/", "http://allowed.test .127.0.0.1:{port}/",
    "http://127.0.0.1\t:{port}/", "\nhttp://127.0.0.1:{port}/", "http://127.0.0.1:{port}/\r\nX: y",
    "http:127.0.0.1:{port}", "http:/127.0.0.1:{port}/", "//127.0.0.1:{port}/", "HTTP://LOCALHOST:{port}",
    "https://127.0.0.1:{port}/", "ws://127.0.0.1:{port}/", "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_x", "dict://127.0.0.1:{port}/", "url:http://127.0.0.1:{port}/",
    "file:///etc/passwd", "file://localhost/etc/passwd", "file:/etc/passwd", "/etc/passwd",
    "../../etc/passwd", "~/.ssh/id_rsa", "\\\\127.0.0.1@{port}\\share\\a.wav",
    "//127.0.0.1/share/a.wav", "C:\\a.wav", "concat:/etc/passwd", "subfile:,,start,0,:/etc/passwd",
    "rtmp://127.0.0.1:{port}/x", "http://169.254.169.254/latest/meta-data/", "C:\\windows\\win.ini",
    "pipe:0", "fd:0", "crypto:file:///etc/passwd", "jar:http://127.0.0.1:{port}!/a", "", " ",
    "data:,http://127.0.0.1:{port}/", "data:audio/x-mpegurl,http://127.0.0.1:{port}/a.wav",
    "data:application/sdp,c=IN IP4 127.0.0.1%0Am=audio {port} RTP/AVP 0",
    "data:text/plain,ffconcat version 1.0%0Afile http://127.0.0.1:{port}/a.wav",
]  # fmt: skip


@pytest.fixture(scope="module")
def strict() -> Iterator[httpx2.Client]:
    """Asks a server whose operator named a host, which leads to this machine without that being
    meant."""
    engine = FakeEngine()
    with (
        serving(engine, url_hosts=("allowed.test",)) as running,
        httpx2.Client(base_url=running.url, timeout=20) as client,
    ):
        yield client
    assert not engine.requests


@pytest.mark.parametrize("form", TRICKS)
def test_a_trick_fetches_nothing(strict: httpx2.Client, listener: Listener, form: str) -> None:
    trick = form.replace("{port}", str(listener.port))
    answers = [strict.post(CHAT, json=question({"type": "audio_url", "audio_url": {"url": trick}}))]
    if not trick.startswith("data:"):
        sound = {"type": "input_audio", "input_audio": {"data": trick or "x"}}
        answers.append(strict.post(CHAT, json=question(sound)))
    for name in ("file", "url", "audio_url"):
        body = {"model": (None, "moss"), name: (None, (trick or "x").encode())}
        answers.append(strict.post("/v1/audio/transcriptions", files=body))
    for answer in answers:
        assert 400 <= answer.status_code < 500
        assert "root:" not in answer.text
    assert not listener.count


@pytest.mark.parametrize("value", [None, 5, [], {}, True, ["http://127.0.0.1/"]])
def test_an_address_is_a_text(strict: httpx2.Client, value: Any) -> None:
    part = {"type": "audio_url", "audio_url": {"url": value}}
    assert strict.post(CHAT, json=question(part)).status_code == 400


def test_where_no_host_is_named_nothing_is_fetched(running: Running, listener: Listener) -> None:
    answer = asked_about(running, f"http://127.0.0.1:{listener.port}/a.wav")
    assert answer.json()["error"]["code"] == "url_not_allowed"
    assert "data: URI" in answer.json()["error"]["message"]
    assert not listener.count


def test_a_host_that_was_named_is_asked(listener: Listener) -> None:
    engine = FakeEngine()
    with serving(engine, url_hosts=(f"127.0.0.1:{listener.port}",)) as running:
        answer = asked_about(running, f"http://127.0.0.1:{listener.port}/a.wav")
        assert answer.status_code == 200
        assert [len(clip) for clip in engine.requests[0].clips] == [8000]
        other = Listener()
        for location in (f"http://127.0.0.1:{other.port}/", f"//localhost:{other.port}/",
                         f"http://allowed.test:{other.port}/", "file:///etc/passwd"):  # fmt: skip
            listener.location = location
            refused = asked_about(running, f"http://127.0.0.1:{listener.port}/a.wav")
            assert refused.status_code == 400
            assert refused.json()["error"]["code"] == "url_not_allowed"
        assert not other.count
        other.close()


def test_what_is_fetched_has_bounds(listener: Listener) -> None:
    limits = Limits(body_bytes=50_000, fetch_s=0.5)
    with serving(FakeEngine(), limits=limits, url_hosts=(f"127.0.0.1:{listener.port}",)) as running:
        url = f"http://127.0.0.1:{listener.port}/a.wav"
        listener.body = wav(9)
        assert "larger than" in asked_about(running, url).json()["error"]["message"]
        listener.body = b"not a sound"
        assert asked_about(running, url).json()["error"]["code"] == "invalid_audio"
        listener.close()
        gone = asked_about(running, url)
        assert gone.json()["error"]["code"] == "url_not_fetched"


def test_a_host_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(MossAudioError, match="names no host"):
        ServerConfig(url_hosts=("http://a.test/",))

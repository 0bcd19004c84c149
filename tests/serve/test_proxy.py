"""Two servers behind the proxies of `deploy/`, as they are but for their ports; skipped where a
proxy is not installed."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import socket as sockets
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from moss_audio.serve.config import Limits
from tests.serve.conftest import FakeEngine, Running, serving, wait_for, wav
from tests.serve.test_realtime import TURN, append, manual, message, receive

DEPLOY = Path(__file__).parents[2] / "deploy"
SBIN = "/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", "")  # where Debian has them
NGINX = """
user {user}; daemon off; pid {folder}/pid; error_log {folder}/log; worker_processes 2;
events {{ }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    include {folder}/moss-audio.conf;
}}
"""


@dataclass
class Proxied:
    """A proxy at `url`, and the servers behind it with their engines."""

    url: str
    servers: tuple[Running, Running]
    engines: tuple[FakeEngine, FakeEngine]

    def client(self, prefix: str = "") -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"{self.url}{prefix}/v1", api_key="sesame", max_retries=0, timeout=20
        )

    def socket(self, prefix: str = "", key: str = "sesame", **options: Any) -> Any:
        url = f"{self.url.replace('http', 'ws')}{prefix}/v1/realtime?intent=transcription"
        headers = {"authorization": f"Bearer {key}"}
        return connect(url, proxy=None, additional_headers=headers, **options)


def free_port() -> int:
    with sockets.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def command(kind: str, folder: Path, ports: dict[str, str]) -> list[str]:
    """Starts the proxy with the file in `deploy/`, whose ports are replaced."""
    name, program = {"nginx": ("nginx.conf", "nginx"), "haproxy": ("haproxy.cfg", "haproxy")}[kind]
    found = shutil.which(program, path=SBIN)
    if found is None:
        pytest.skip(f"{program} is not installed")
    text = (DEPLOY / name).read_text(encoding="utf-8")
    for before, after in ports.items():
        assert before in text
        text = text.replace(before, after)
    if kind == "haproxy":
        (folder / name).write_text(text)
        return [found, "-db", "-f", str(folder / name)]
    (folder / "moss-audio.conf").write_text(text)
    (folder / name).write_text(NGINX.format(folder=folder, user=getpass.getuser()))
    return [found, "-p", str(folder), "-c", str(folder / name), "-e", str(folder / "log")]


@contextlib.contextmanager
def proxied(kind: str, folder: Path, **config: Any) -> Iterator[Proxied]:
    engines = FakeEngine(lambda _: "one said"), FakeEngine(lambda _: "two said")
    config = {"keys": ("sesame",), **config}
    with serving(engines[0], **config) as one, serving(engines[1], **config) as two:
        port = free_port()
        fields = {"127.0.0.1:8001": one.url[7:], "127.0.0.1:8002": two.url[7:],
                  "127.0.0.1:8080": f"127.0.0.1:{port}"}  # fmt: skip
        told = folder / "told"
        with told.open("w") as file:
            process = subprocess.Popen(command(kind, folder, fields), stdout=file, stderr=file)
        url = f"http://127.0.0.1:{port}"

        def there() -> bool:
            assert process.poll() is None, told.read_text()
            with contextlib.suppress(httpx2.TransportError):
                return httpx2.get(f"{url}/health/live").status_code == 200
            return False

        try:
            wait_for(there)
            yield Proxied(url, (one, two), engines)
        finally:
            process.terminate()
            process.wait(10)


pytestmark = pytest.mark.parametrize("kind", ["nginx", "haproxy"])


def test_files_events_and_live_turns_pass_also_under_a_prefix(kind: str, tmp_path: Path) -> None:
    with proxied(kind, tmp_path) as behind:
        for prefix in ("", "/moss"):
            client = behind.client(prefix)
            assert [one.id for one in client.models.list()] == ["moss", "whisper-1"]
            said = client.audio.transcriptions.create(file=("a.wav", wav()), model="moss")
            assert said.text in ("one said", "two said")
            with behind.socket(prefix) as live:
                for sent in (manual(), append(TURN), message("input_audio_buffer.commit")):
                    live.send(sent)
                done = receive(live, "conversation.item.input_audio_transcription.completed")
            assert done["transcript"] in ("one said", "two said")
            assert httpx2.get(f"{behind.url}{prefix}/metrics").status_code == 404
            page = httpx2.get(f"{behind.url}{prefix}/")
            assert "text/html" in page.headers["content-type"]
            for path in re.findall(r'(?:href|src)="(page/[^"]+)"', page.text):
                assert httpx2.get(f"{behind.url}{prefix}/{path}").status_code == 200
            with behind.socket(prefix, origin=behind.url) as live:  # as the page does
                assert receive(live)["type"] == "session.created"
        assert httpx2.get(f"{behind.url}/moss", follow_redirects=True).url.path == "/moss/"
        large = {"file": ("a.wav", wav(60.0))}  # more than a buffer of either
        answer = httpx2.post(f"{behind.url}/v1/audio/transcriptions", files=large, timeout=20,
                             headers={"authorization": "Bearer sesame"})  # fmt: skip
        assert answer.status_code == 200
        answer = httpx2.post(f"{behind.url}/v1/audio/transcriptions", files=large)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"


class OneWord(threading.Event):
    """Holds an engine back after its first word."""

    def __init__(self, engine: FakeEngine) -> None:
        super().__init__()
        self._engine = engine

    def wait(self, timeout: float | None = None) -> bool:
        return self._engine.steps < 1 or super().wait(timeout)


def test_an_event_is_not_held_back(kind: str, tmp_path: Path) -> None:
    with proxied(kind, tmp_path) as behind:
        for engine in behind.engines:
            engine.answer, engine.hold = (lambda _: "first then"), OneWord(engine)
        stream = behind.client().chat.completions.create(
            model="moss", messages=[{"role": "user", "content": "?"}], stream=True
        )
        words = (text for one in stream if (text := one.choices[0].delta.content))
        assert next(words) == "first"
        for engine in behind.engines:
            engine.hold.set()
        assert list(words) == [" then"]


def test_sessions_go_where_fewest_are_and_a_full_server_is_passed_over(
    kind: str, tmp_path: Path
) -> None:
    with proxied(kind, tmp_path, limits=Limits(sessions=1)) as behind:
        active = "moss:websocket_connections_active"
        with contextlib.ExitStack() as stack:
            for _ in behind.servers:
                stack.enter_context(behind.socket())
            assert [one.metric(active) for one in behind.servers] == [1, 1]
            began = time.monotonic()
            with pytest.raises(InvalidStatus) as caught:
                behind.socket()
            assert time.monotonic() - began < 5
            assert caught.value.response.status_code == 503
            assert int(caught.value.response.headers["retry-after"]) <= 120
            said = behind.client().audio.transcriptions.create(file=("a.wav", wav()), model="moss")
            assert said.text.endswith("said")


def test_a_client_secret_opens_whichever_server_it_comes_to(kind: str, tmp_path: Path) -> None:
    with proxied(kind, tmp_path) as behind, contextlib.ExitStack() as stack:
        key = behind.client().realtime.client_secrets.create().value
        for _ in behind.servers:
            stack.enter_context(behind.socket(key=key))
        active = "moss:websocket_connections_active"
        assert [one.metric(active) for one in behind.servers] == [1, 1]


def test_a_server_that_ends_is_not_missed(kind: str, tmp_path: Path) -> None:
    with proxied(kind, tmp_path) as behind:
        one, _ = behind.servers
        one.server.should_exit = True
        wait_for(lambda: not one.server.servers or not _answers(one.url))
        for _ in range(4):
            said = behind.client().audio.transcriptions.create(file=("a.wav", wav()), model="moss")
            assert said.text == "two said"


def test_a_server_that_drains_gets_nothing_new(kind: str, tmp_path: Path) -> None:
    """nginx asks the next server when one answers 503; haproxy asks each second whether one is
    ready, and until then passes 503 on for what is larger than its buffer."""
    with proxied(kind, tmp_path) as behind:
        create: Any = behind.client().audio.transcriptions.create
        for one, other, said in ((0, 1, "two said"), (1, 0, "one said")):
            behind.servers[other].service.draining = False
            behind.servers[one].service.draining = True
            if kind == "haproxy":
                wait_for(lambda said=said: _says(create, said))  # type: ignore[misc]
            for _ in range(3):
                assert create(file=("a.wav", wav()), model="moss").text == said


def _says(create: Any, text: str) -> bool:
    try:
        return all(create(file=("a.wav", wav()), model="moss").text == text for _ in range(3))
    except openai.InternalServerError:
        return False


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health/live").status_code == 200
    except httpx2.TransportError:
        return False

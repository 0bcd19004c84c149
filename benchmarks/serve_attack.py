"""What a server does for others while somebody attacks it.

    python benchmarks/serve_attack.py --out attack.json

A server of its own with nano, a neighbour in a process of its own that transcribes the same clip
over and over, and one attack after another, each between two times of quiet. For each: how much
longer the neighbour waits, whether his words stay the same, the statuses that the attacker got, the
server's memory. In the end: no address was fetched, no status of 5xx but 503, no traceback. The
attacker's processes are nice (19): it is the server's work that counts, not that of its client.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import http.client
import io
import json
import math
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import serve_fuzz
from measure import cpu_name
from served import Served
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from moss_audio.files import write_atomic
from moss_audio.recordings import load_audio
from moss_audio.serve.bench.clips import BenchClip

SPEECH = Path(__file__).resolve().parent.parent / "examples" / "speech.wav"
PATH = "/v1/audio/transcriptions"
CHAT = "/v1/chat/completions"
QUIET_S, LEAST_S = 10.0, 10.0
BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
HOSTS = (
    "127.0.0.1", "localhost", "2130706433", "017700000001", "0177.0.0.1", "0x7f000001", "0x7f.1",
    "127.1", "0", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "127.0.0.1.", "localhost.", "１２７.0.0.1", "127。0。0。1",
    "allowed.example@127.0.0.1", "@127.0.0.1", "127.0.0.1\\@allowed.example",
    "allowed.example\\@127.0.0.1", "127.0.0.1#@allowed.example", "127.0.0.1?@allowed.example",
)  # fmt: skip
FORMS = ("ftp://127.0.0.1:{}/", "gopher://127.0.0.1:{}/_x", "file:///etc/passwd", "/etc/passwd",
         "//127.0.0.1:{}/a", "\\\\127.0.0.1@{}\\a", "data:audio/x-mpegurl,http://127.0.0.1:{}/a",
         "http:127.0.0.1:{}", "ws://127.0.0.1:{}/")  # fmt: skip
MALFORMED = (
    b"", FILE, FILE + b"RIFF", b"--b\r\nContent-Dispo", b"--b\r\nX: y\r\n\r\nRIFF\r\n--b--\r\n",
    b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", FILE.replace(b"\r", b""),
    FILE + b"RIFF\r\n" + FILE + b"RIFF\r\n--b--\r\n", bytes(range(256)) * 40, b"--c\r\n" * 9000,
    b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n' * 300 + b"--b--",
    b"--b\r\nContent-Disposition: form-data; name=" + b"n" * 10**6 + b"\r\n\r\nx",
)  # fmt: skip


class Attack:
    """A server that is attacked; the statuses of the answers are counted."""

    def __init__(self, url: str, seed: int) -> None:
        self.host, _, port = url.removeprefix("http://").removesuffix("/v1").rpartition(":")
        self.port = int(port)
        self.rng = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.wav = speech(1.0)
        self.fetched = 0

    def ask(self, method: str, path: str, headers: dict[str, str], body: Any) -> None:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            self.seen[str(answer.status)] += 1
        except (OSError, http.client.HTTPException, ValueError, UnicodeError) as error:
            self.seen[type(error).__name__] += 1
        finally:
            connection.close()

    def addresses(self) -> None:
        """Tricks with addresses, while something listens at one of them."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0.05)
            port = listener.getsockname()[1]
            urls = [f"http://{host}:{port}/a.wav" for host in HOSTS]
            for url in [*urls, *(form.format(port) for form in FORMS)]:
                part = {"type": "audio_url", "audio_url": {"url": url}}
                body = {"messages": [{"role": "user", "content": [part]}]}
                self.ask("POST", CHAT, {"Content-Type": "application/json"}, json.dumps(body))
            with contextlib.suppress(TimeoutError):
                while listener.accept():
                    self.fetched += 1

    def malformed(self) -> None:
        """Forms that are none."""
        for body in MALFORMED:
            self.ask("POST", PATH, BOUNDARY, body)

    def slow_sockets(self) -> None:
        """50 that do not finish a head, 50 a body, 50 that read no stream, 50 no live session."""
        head = b"POST %b HTTP/1.1\r\nHost: localhost\r\n" % PATH.encode()
        asked = json.dumps(
            {"messages": [{"role": "user", "content": "hi"}], "stream": True}
        ).encode()
        stream = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % (
            CHAT.encode()
        )
        live = (
            b"GET /v1/realtime?intent=transcription HTTP/1.1\r\nHost: localhost\r\nUpgrade: "
            b"websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            + base64.b64encode(bytes(16)) + b"\r\n\r\n"
        )  # fmt: skip
        body = (
            head + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 9999\r\n\r\n"
        )
        stream += b"Content-Length: %d\r\n\r\n" % len(asked) + asked
        held = []
        for data in (head, body + FILE, stream, live):
            for _ in range(50):
                with contextlib.suppress(OSError):
                    held.append(socket.create_connection((self.host, self.port), 5))
                    held[-1].sendall(data)
        self.seen["held"] += len(held)
        time.sleep(15)
        for one in held:
            with contextlib.suppress(OSError):
                one.settimeout(0.01)
                self.seen[one.recv(12).decode("latin-1").strip() or "closed"] += 1
            one.close()

    def gigabyte(self) -> None:
        """A body of 1 GB, as fast as it is taken."""

        def chunks() -> Iterator[bytes]:
            yield FILE
            for _ in range(1024):
                yield bytes(2**20)

        self.ask("POST", PATH, BOUNDARY, chunks())

    def silence(self) -> None:
        """20 hours of silence in 13 MB."""
        self.ask("POST", PATH, BOUNDARY, FILE + silent_flac(20 * 3600) + b"\r\n--b--\r\n")

    def deep(self) -> None:
        """JSON that is deep, or wide."""
        for inner in ("[" * 10**6, "[" * 900 + "]" * 900, "[" + "[]," * 10**6 + "[]]"):
            body = f'{{"messages":{inner}}}'
            self.ask("POST", CHAT, {"Content-Type": "application/json"}, body)

    def requests(self, count: int) -> None:
        """Requests from a seed."""
        for _ in range(count):
            method, path, headers, body = serve_fuzz.request(self.rng, self.wav)
            self.ask(method, path, headers, body)

    def events(self, count: int) -> None:
        """Events of live sessions from a seed."""
        sent = 0
        while sent < count:
            intent = self.rng.choice(("?intent=transcription", ""))
            try:
                url = f"ws://{self.host}:{self.port}/v1/realtime{intent}"
                with connect(url, compression=None, proxy=None, max_queue=None) as live:
                    for _ in range(min(200, count - sent)):
                        sent += 1
                        live.send(serve_fuzz.event(self.rng))
                    live.send('{"type":"session.update","event_id":"last","session":0}')
                    while json.loads(live.recv(60)).get("error", {}).get("event_id") != "last":
                        pass
                self.seen["sessions that went on"] += 1
            except (OSError, TimeoutError, ConnectionClosed) as error:
                self.seen[f"live {type(error).__name__} {getattr(error, 'code', '')}"] += 1
                time.sleep(0.2)


def speech(seconds: float) -> bytes:
    """The beginning of the example."""
    samples = load_audio(SPEECH, end=seconds).samples
    return BenchClip(0, (32767 * samples).astype("<i2"), 16_000).wav()


def silent_flac(seconds: float) -> bytes:
    """Silence, which FLAC makes two hundred times smaller."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as out:
        stream: Any = out.add_stream("flac", rate=16_000, layout="mono")
        for _ in range(round(seconds / 100)):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1_600_000), np.int16), format="s16",
                                               layout="mono")  # fmt: skip
            frame.sample_rate = 16_000
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def neighbour(url: str) -> None:
    """Transcribe the same for ever; a line of JSON for each: begun, seconds, status, words."""
    host, _, port = url.removeprefix("http://").removesuffix("/v1").rpartition(":")
    body = FILE + speech(3.4) + b"\r\n--b--\r\n"
    while True:
        began = time.monotonic()
        connection = http.client.HTTPConnection(host, int(port), timeout=120)
        connection.request("POST", PATH, body, BOUNDARY)
        answer = connection.getresponse()
        said = answer.read().decode()
        connection.close()
        words = json.loads(said).get("text", "") if answer.status == 200 else ""
        print(json.dumps([began, time.monotonic() - began, answer.status, words]), flush=True)
        time.sleep(0.1)


class Neighbour:
    """What the neighbour's process has seen."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, __file__, "--neighbour", url]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.rows: list[tuple[float, float, int, str]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.rows.append(tuple(json.loads(line)))

    def waits(self, first: float, last: float) -> list[float]:
        """Seconds of those who came between two moments."""
        return [took for began, took, _, _ in self.rows if first <= began < last]


async def burst(attack: Attack, count: int) -> list[float]:
    """Seconds until each of so many who come at once to a full server has his refusal."""
    body = FILE + attack.wav + b"\r\n--b--\r\n"
    head = (f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: {BOUNDARY['Content-Type']}\r\n\r\n").encode()  # fmt: skip

    async def one(at: asyncio.Event) -> float:
        reader, writer = await asyncio.open_connection(attack.host, attack.port)
        await at.wait()
        began = time.monotonic()
        writer.write(head + body)
        line = await reader.readline()
        took = time.monotonic() - began
        attack.seen[line.split()[1].decode() if line else "closed"] += 1
        writer.close()
        return took

    at = asyncio.Event()
    waiting = [asyncio.ensure_future(one(at)) for _ in range(count)]
    await asyncio.sleep(1.0)
    at.set()
    return list(await asyncio.gather(*waiting))


def refusals(attack: Attack, url: str) -> dict[str, Any]:
    """A burst of 60 at a server whose queue is full."""
    long = FILE + speech(7.3) + b"\r\n--b--\r\n"
    full = threading.Event()

    def fill() -> None:
        while not full.is_set():
            attack.ask("POST", "/v1/audio/events", BOUNDARY, long)

    threads = [threading.Thread(target=fill, daemon=True) for _ in range(24)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 60
    while time.monotonic() < until:
        connection = http.client.HTTPConnection(attack.host, attack.port)
        connection.request("GET", "/health/ready")
        if connection.getresponse().status == 503:
            break
        time.sleep(0.05)
    attack.seen.clear()
    took = sorted(asyncio.run(burst(attack, 60)))
    full.set()
    for thread in threads:
        thread.join()
    return {"p50_ms": round(1e3 * took[30]), "p95_ms": round(1e3 * took[56]),
            "max_ms": round(1e3 * took[-1]), "answers": dict(attack.seen)}  # fmt: skip


def run(server: Served, given: argparse.Namespace) -> list[dict[str, Any]]:
    """All attacks, one after another."""
    attack, beside = Attack(server.url, given.seed), Neighbour(server.url)
    os.nice(19)
    attacks: list[tuple[Callable[[], None], str]] = [
        (attack.addresses, f"{len(HOSTS) + len(FORMS)} tricks with addresses"),
        (attack.malformed, f"{len(MALFORMED)} malformed forms"),
        (attack.slow_sockets, "200 slow sockets"),
        (attack.gigabyte, "a body of 1 GB"),
        (attack.silence, "a FLAC of 20 hours of silence"),
        (attack.deep, "deep and wide JSON"),
        (lambda: attack.requests(given.count), f"{given.count} fuzzed requests"),
        (lambda: attack.events(given.count), f"{given.count} fuzzed events"),
    ]
    rows = []
    try:
        time.sleep(2 * QUIET_S)
        for call, name in attacks:
            quiet = [(time.monotonic(), time.monotonic() + QUIET_S)]
            time.sleep(QUIET_S)
            attack.seen.clear()
            before, peak, done = server.mib, [server.mib], threading.Event()

            def watch(peak: list[float] = peak, done: threading.Event = done) -> None:
                while not done.wait(0.05):
                    peak.append(server.mib)

            watching = threading.Thread(target=watch)
            watching.start()
            began = time.monotonic()
            while True:
                call()
                if time.monotonic() - began > LEAST_S or "fuzzed" in name:
                    break
            ended = time.monotonic()
            done.set()
            watching.join()
            quiet.append((ended + 1, ended + 1 + QUIET_S))
            time.sleep(QUIET_S + 1)
            still = [took for one in quiet for took in beside.waits(*one)]
            # (an attack may be over before the neighbour has asked once)
            busy = beside.waits(began, ended) or [math.nan]
            rows.append({
                "attack": name, "seconds": round(ended - began, 1),
                "ratio": round(statistics.median(busy) / statistics.median(still), 2),
                "quiet_ms": round(1e3 * statistics.median(still)),
                "asked": len(beside.waits(began, ended)),
                "mib_before": round(before), "mib_peak": round(max(peak)),
                "answers": dict(attack.seen.most_common(8)),
            })  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
    finally:
        beside.process.kill()
    words = Counter((status, text) for _, _, status, text in beside.rows)
    found = [[status, text, count] for (status, text), count in words.most_common()]
    rows.append({"neighbour": len(beside.rows), "answers": found,
                 "connections to tricks": attack.fetched})  # fmt: skip
    rows.append({"attack": "60 at once at a full server", **refusals(attack, server.url)})
    return rows


def main() -> int:
    """Run, print, and write where asked; 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5000, help="fuzzed requests, and events")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--neighbour", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.neighbour:
        neighbour(given.neighbour)
    with tempfile.TemporaryDirectory(prefix="moss-audio-attack-") as folder:
        server = Served(Path(folder) / "log", "--threads", "1", "--max-waiting", "12",
                        "--allow-url-host", "allowed.example")  # fmt: skip
        try:
            rows = run(server, given)
            code, log = server.end()
        finally:
            server.process.kill()
    failures = Counter(re.findall(r" (50[0-24-9]) ", log))
    rows.append({"exit_code": code, "tracebacks": log.count("Traceback"), "5xx": dict(failures),
                 "errors_in_log": log.count(" ERROR "), "machine": cpu_name()})  # fmt: skip
    for row in rows[-3:]:
        print(json.dumps(row))
    if given.out:
        write_atomic(given.out, json.dumps(rows, indent=1) + "\n")
    bad = failures or log.count("Traceback") or rows[-3]["connections to tricks"] or code
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""What our front costs before a backend: the same requests to `serve --backend` and to the server
behind it, in turns.

    python benchmarks/serve_front.py --pairs 30
    python benchmarks/serve_front.py --backend http://127.0.0.1:8000/v1#name

Without `--backend` it is `moss-audio serve nano` on one thread. No clip is heard twice: half a bit
of noise tells them apart, so that nothing is answered from memory.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import milliseconds
from served import Served

from moss_audio.endpoint import Endpoint
from moss_audio.endpoint.http import Connection, multipart
from moss_audio.engine.remote_request import float_wav
from moss_audio.engine.served import ServedCheckpoint
from moss_audio.recordings import load_audio

SPEECH = Path(__file__).resolve().parent.parent / "examples" / "speech.wav"
_QUIET = 0.5 / 32768


def requests(served: ServedCheckpoint) -> dict[str, Callable[[Connection, int], None]]:
    """Name -> one request, of which none is like another."""
    samples = load_audio(SPEECH).samples
    model = served.endpoint.model

    def clip(seed: int) -> bytes:
        noise = np.random.default_rng(seed).uniform(-_QUIET, _QUIET, len(samples))
        return float_wav((samples + noise).astype(np.float32))

    def post(server: Connection, **body: object) -> None:
        server.json("/chat/completions", json.dumps({"model": model, **body}).encode())

    def word(server: Connection, seed: int) -> None:
        post(server, messages=[{"role": "user", "content": f"Say {seed}."}], max_tokens=1)

    def first_token(server: Connection, seed: int) -> None:
        sound = {"data": base64.b64encode(clip(seed)).decode(), "format": "wav"}
        content = [{"type": "input_audio", "input_audio": sound}, {"type": "text", "text": "?"}]
        post(server, messages=[{"role": "user", "content": content}], max_tokens=1)

    def transcript(server: Connection, seed: int) -> None:
        body, kind = multipart({"model": model}, "a.wav", clip(seed), "audio/wav")
        server.json("/audio/transcriptions", body, kind)

    seconds = len(samples) / 16_000
    return {
        "one token, no clip": word,
        f"one token about {seconds:.1f} s": first_token,
        f"transcript of {seconds:.1f} s": transcript,
    }


def measure(front: str, behind: str, served: ServedCheckpoint, pairs: int) -> None:
    """Print a row for each kind of request."""
    servers = [Connection(url, "", 300.0, 0) for url in (front, behind)]
    print("| request | front | backend | difference | ratio |\n|---|--:|--:|--:|--:|")
    for name, ask in requests(served).items():
        took: list[tuple[float, float]] = []
        for pair in range(-1, pairs):  # the first warms up
            times = []
            for place in (0, 1) if pair % 2 else (1, 0):
                began = time.perf_counter()
                ask(servers[place], 2 * pair + place + 10)
                times.append((place, time.perf_counter() - began))
            took.append((dict(times)[0], dict(times)[1]))
        front_s, behind_s = (statistics.median(one) for one in zip(*took[1:], strict=True))
        more_s = statistics.median(a - b for a, b in took[1:])
        ratio = statistics.median(a / b for a, b in took[1:])
        row = (name, milliseconds(front_s), milliseconds(behind_s), milliseconds(more_s))
        print("| " + " | ".join(row) + f" | {ratio:.2f}x |", flush=True)


def main() -> None:
    """Start what is missing, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", help="http://host:8000/v1#name; default: nano")
    parser.add_argument("--pairs", type=int, default=30)
    given = parser.parse_args()
    with contextlib.ExitStack() as running:
        folder = Path(
            running.enter_context(tempfile.TemporaryDirectory(prefix="moss-audio-front-"))
        )

        def serving(name: str, *options: str, model: str | None) -> str:
            server = Served(folder / name, *options, "--no-page", model=model)
            running.callback(server.end)
            return server.url

        address = given.backend or serving("backend", "--threads", "1", model="nano")
        served = ServedCheckpoint.open(address)
        endpoint: Endpoint = served.endpoint
        named = f"{endpoint.url}#{endpoint.model}"
        front = serving("front", "--backend", named, model=None)
        measure(front, endpoint.url, served, given.pairs)


if __name__ == "__main__":
    main()

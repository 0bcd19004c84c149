"""A server with debug logs in a process of its own, over an engine that only counts: `python -m
tests.serve.slow_server`. Its address is the first line of its output, its log is its stderr."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from moss_audio.serve.config import Limits, ServerConfig
from moss_audio.serve.run import Server, bind
from moss_audio.serve.service import Service
from tests.serve.conftest import FakeEngine, model_of

ROOT = Path(__file__).parents[2]
SAID = "marmalade zeppelin"
KEY = "sk-crocodile-4711"
DRAIN_S = 8.0


@dataclass
class SlowServer:
    """The process, and where it listens (with `/v1`)."""

    process: subprocess.Popen[str]
    url: str
    log: IO[str]

    def written(self) -> str:
        """Its log so far."""
        self.log.seek(0)
        return self.log.read()


@contextlib.contextmanager
def slow_server(log: Path, pace: float = 0.0) -> Iterator[SlowServer]:
    """A running one, whose words take `pace` seconds each."""
    with log.open("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.serve.slow_server", str(pace)], cwd=ROOT,
            env=os.environ | {"PYTHONASYNCIODEBUG": "1"}, text=True,
            stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("http://127.0.0.1"), log.read_text()
            yield SlowServer(process, url, errors)
        finally:
            process.kill()
            process.communicate()


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG)
    engine = FakeEngine(lambda _: " ".join([SAID] * 5), pace=float(sys.argv[1]))
    config = ServerConfig(port=0, names=("moss",), keys=(KEY,), limits=Limits(drain_s=DRAIN_S))
    service = Service(model_of(engine), config, cost=0.001)
    with bind(config.host, config.port) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        Server(service, lambda: print(url, flush=True)).run(sockets=[listening])

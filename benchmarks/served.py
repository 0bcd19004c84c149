"""A server in a process of its own, watched from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen


class Served:
    """`moss-audio serve` on a free port of this machine.

    Args:
        log: file for what it says.
        options: further ones of the command.
        model: what it serves; None: what the options say.
    """

    def __init__(self, log: Path, *options: str, model: str | None = "nano") -> None:
        command = [sys.executable, "-m", "moss_audio", "serve", *filter(None, [model])]
        command += ["--port", "0", *options]
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, stderr=file)
        self.url = self.said(r"http://\S+")

    def said(self, pattern: str) -> str:
        """The first group, or all, of the first match in its log, waited for."""
        until = time.monotonic() + 120
        while not (found := re.search(pattern, self._log.read_text())):
            if time.monotonic() > until or self.process.poll() is not None:
                raise SystemExit(f"the server does not say {pattern}: {self._log.read_text()}")
            time.sleep(0.1)
        return found[found.re.groups and 1]

    @property
    def mib(self) -> float:
        """Memory that it holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    @property
    def cpu_s(self) -> float:
        """Processor seconds that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metrics(self) -> dict[str, float]:
        """What it says of itself."""
        with urlopen(self.url.removesuffix("/v1") + "/metrics") as answer:
            lines = answer.read().decode().splitlines()
        rows = [line.rsplit(" ", 1) for line in lines if line.startswith("moss:")]
        return {name.split("{")[0].removeprefix("moss:"): float(value) for name, value in rows}

    def end(self) -> tuple[int, str]:
        """Its exit code after SIGTERM, and its log."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60), self._log.read_text()

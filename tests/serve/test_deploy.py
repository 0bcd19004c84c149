"""The unit for systemd in `deploy/`; test_proxy.py has the proxies."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (ROOT / "deploy" / "moss-audio@.service").read_text(encoding="utf-8")
    command = "/opt/moss-audio/bin/moss-audio"
    assert command in text
    (tmp_path / "moss-audio@.service").write_text(text.replace(command, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "moss-audio@8001.service")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if "moss-audio@" in line]
    assert (done.returncode, told) == (0, [])

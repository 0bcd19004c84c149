"""Files in `deploy/`: the unit for systemd, and Ray's replica without Ray. test_proxy.py has the
proxies."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.routing import BaseRoute

from moss_audio.serve.cost import ListeningCost
from tests.serve.conftest import FakeEngine, model_of

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "moss-audio@.service").read_text(encoding="utf-8")
    command = "/opt/moss-audio/bin/moss-audio"
    assert command in text
    (tmp_path / "moss-audio@.service").write_text(text.replace(command, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "moss-audio@8001.service")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if "moss-audio@" in line]
    assert (done.returncode, told) == (0, [])


def test_a_replica_is_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def same(**_: Any) -> Any:
        return lambda decorated: decorated

    monkeypatch.setattr("moss_audio.load", lambda name, threads: model_of(FakeEngine()))
    fake = SimpleNamespace(deployment=same, ingress=same)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(serve=fake))
    spec = importlib.util.spec_from_file_location("ray_serve", DEPLOY / "ray_serve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "listening_cost", lambda engine: ListeningCost(0.01, 0.02))
    replica = module.MossAudioReplica("nano", 1, ("sesame",))
    try:
        routes: list[BaseRoute] = replica.__serve_build_asgi_app__().routes
        assert "/v1/realtime" in {getattr(one, "path", "") for one in routes}
        assert replica.service.config.names == ("nano",)
        replica.check_health()
    finally:
        replica.service.threads.close(5)
    with pytest.raises(RuntimeError, match="thread"):
        replica.check_health()

"""The command: what it refuses, and a server with the embedded checkpoint from start to end."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from typer.testing import CliRunner

from moss_audio.cli.app import build, run
from tests.embedded import NEEDS_NANO
from tests.serve.conftest import serving

SPEECH = Path(__file__).parents[2] / "examples" / "speech.wav"


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> Any:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("moss_audio.api.load", load)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "--api-key"),
        (["--host", "203.0.113.1", "--api-key", "k"], "cannot listen at 203.0.113.1"),
        (["--api-key-file", "none.txt"], "none.txt: cannot be read"),
        (["--workers", "2"], "proxy (docs/deploy.md)"),
        (["--max-wait-seconds", "inf"], "wait_s=inf"),
        (["--drain-seconds", "inf"], "drain_s=inf"),
        (["--served-model-name", " "], "--served-model-name"),
        (["--backend", "http://127.0.0.1:9/v1", "--device", "cpu"], "--device: leave it out with"),
        (["--backend-timeout-seconds", "5"], "--backend-timeout-seconds: leave it out without"),
    ],
)
def test_what_cannot_be_is_one_line_before_the_model_is_loaded(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "nano", *arguments]) != 0
    assert message in " ".join(capsys.readouterr().err.replace("│", "").split())


def test_the_address_of_a_server_is_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "http://127.0.0.1:9/v1"]) == 1
    assert "http://127.0.0.1:9/v1: give the address of a server as --backend" in (
        capsys.readouterr().err
    )


def test_a_port_in_use_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.serve.conftest import FakeEngine

    with serving(FakeEngine()) as running:
        port = running.url.rpartition(":")[2]
        assert run(["serve", "nano", "--port", port]) == 1
    assert f"port {port}" in capsys.readouterr().err


def test_an_empty_key_file_is_no_open_door(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("\n")
    arguments = ["serve", "--host", "0.0.0.0", "--api-key-file", str(tmp_path / "keys")]
    done = CliRunner().invoke(build(), arguments)
    assert done.exit_code == 1


class TestNano:
    pytestmark = NEEDS_NANO

    def test_it_says_the_words_that_the_command_says(self) -> None:
        command = [sys.executable, "-m", "moss_audio"]
        said = subprocess.run(
            [*command, "transcribe", str(SPEECH)], capture_output=True, text=True, check=True
        ).stdout
        server = subprocess.Popen(
            [*command, "serve", "nano", "--port", "0", "--served-model-name", "whisper-1"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert server.stderr is not None
            address = re.search(r"http://\S+", server.stderr.readline())
            assert address is not None
            client = openai.OpenAI(base_url=address[0], api_key="none", max_retries=0)
            create: Any = client.audio.transcriptions.create
            with SPEECH.open("rb") as file:
                text = create(file=file, model="whisper-1", response_format="text")
            with SPEECH.open("rb") as file:
                events = list(create(file=file, model="whisper-1", stream=True))
            server.send_signal(signal.SIGTERM)
            log = server.stderr.read()
            assert server.wait(30) == 0
        finally:
            server.kill()
        assert text == said
        assert events[-1].text == said.strip()
        assert len(events) > 5
        assert events[-1].usage.input_token_details.audio_tokens > 50
        assert log.count("POST /v1/audio/transcriptions 200") == 2
        assert "Traceback" not in log
        assert said.split()[0] not in log

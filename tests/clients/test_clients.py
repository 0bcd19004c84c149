"""Clients of others, unmodified, in their own environments: `make test-clients`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import moss_audio
from tests.embedded import NEEDS_NANO
from tests.serve.conftest import Running, serving_model

pytestmark = [pytest.mark.interop, *NEEDS_NANO]

EXAMPLES = Path(__file__).parents[2] / "examples"
SPEECH = EXAMPLES / "speech.wav"
FIRST = "The morning train leaves at half past seven."
SECOND = "Please keep your ticket until you reach the"
# What these clients ask for where nobody names a model, beside our own name for it.
NAMES = (
    "nano", "whisper-1", "gpt-transcribe", "gpt-4o-mini-transcribe", "gpt-realtime-whisper",
    "gpt-realtime",
)  # fmt: skip


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving_model(moss_audio.load("nano"), names=NAMES) as server:
        yield server


def ran(client: str, program: Path, *arguments: str) -> str:
    """What a program prints in a client's environment."""
    python = os.environ[f"MOSS_AUDIO_{client.upper()}_PYTHON"]
    command = [python, str(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    ("client", "mode"),
    [
        ("openai", "rest"), ("openai", "sse"), ("openai", "realtime"), ("openai", "question"),
        ("pipecat", "rest"), ("pipecat", "local"), ("pipecat", "server"),
        ("livekit", "rest"), ("livekit", "server"),
    ],
)  # fmt: skip
def test_a_client_hears_what_is_said(client: str, mode: str, running: Running) -> None:
    program = Path(__file__).with_name(f"{client}_client.py")
    printed = ran(client, program, f"{running.url}/v1", str(SPEECH), mode).splitlines()
    told = [json.loads(line) for line in printed if line.startswith("[")]
    said = {kind: [text for one, text in told if one == kind] for kind, _ in told}
    assert "error" not in said
    finals = said["final_transcript"]
    if mode in ("sse", "question") or (mode == "rest" and client != "pipecat"):
        assert len(finals) == 1
        assert finals[0].startswith(f"{FIRST} {SECOND}")
    else:
        assert len(finals) == 2
        assert finals[0] == FIRST
        assert finals[1].startswith(SECOND)
    if mode == "question":
        assert said["answer"] == ["Yes.", "Two."]
    elif mode != "rest":
        assert said["interim_transcript"]
        if client != "livekit":  # the others hand on each delta by itself
            assert "".join(said["interim_transcript"]) == "".join(finals)


def test_pipecat_talks(running: Running) -> None:
    program = Path(__file__).with_name("pipecat_talk_client.py")
    printed = ran("pipecat", program, f"{running.url}/v1", str(SPEECH)).splitlines()
    told = [json.loads(line) for line in printed if line.startswith("[")]
    answers = [text for kind, text in told if kind == "answer"]
    assert answers[0] == "Yes."
    assert len(answers) == 3
    assert all(answers)
    finals = [text for kind, text in told if kind == "final_transcript"]
    assert finals[0] == FIRST
    assert "error" not in [kind for kind, _ in told]


def test_the_agent_of_the_examples_hears_and_asks(running: Running) -> None:
    told = ran("pipecat", EXAMPLES / "voice_agent.py", str(SPEECH), "Is anyone speaking?",
               running.url.removeprefix("http://")).splitlines()  # fmt: skip
    assert told[0] == f"heard: {FIRST}"
    assert told[2].startswith(f"heard: {SECOND}")
    assert told[1::2] == ["Yes.", "Yes."]

"""Voice agents' own clients, unmodified, in their own environments: `make test-clients`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import moss_audio
from tests.embedded import NEEDS_NANO
from tests.serve.conftest import serving_model

pytestmark = [pytest.mark.interop, *NEEDS_NANO]

SPEECH = Path(__file__).parents[2] / "examples" / "speech.wav"
# What these clients ask for where nobody names a model.
NAMES = ("gpt-4o-transcribe", "gpt-4o-mini-transcribe")


@pytest.mark.parametrize(
    ("client", "mode"), [("livekit", "server"), ("pipecat", "server"), ("pipecat", "local")]
)
def test_an_agent_hears_two_sentences(client: str, mode: str) -> None:
    python = os.environ[f"MOSS_AUDIO_{client.upper()}_PYTHON"]
    program = Path(__file__).with_name(f"{client}_client.py")
    with serving_model(moss_audio.load("nano"), names=NAMES) as running:
        done = subprocess.run(
            [python, str(program), f"{running.url}/v1", str(SPEECH), mode],
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    finals = [text for kind, text in told if kind == "final_transcript"]
    assert len(finals) == 2, done.stderr[-2000:]
    assert finals[0] == "The morning train leaves at half past seven."
    assert finals[1].startswith("Please keep your ticket until you reach the ")
    assert "error" not in [kind for kind, _ in told]
    interims = [text for kind, text in told if kind == "interim_transcript"]
    assert interims
    if client == "pipecat":  # which hands on each delta by itself
        assert "".join(interims) == "".join(finals)

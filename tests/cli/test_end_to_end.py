"""Each listening command on real audio with the embedded checkpoint, loaded once."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.engine.thinking import TRANSITION
from moss_audio.recordings import load_audio
from moss_audio.tasks.reason import thought_timeline
from tests.embedded import NEEDS_NANO, NEEDS_THINKER

Run = Callable[..., Any]
EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [*NEEDS_NANO, pytest.mark.usefixtures("commands_get_nano")]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A short recording: an example of ours, else a tone."""
    from tests.cli.conftest import tone

    found = sorted(path for path in EXAMPLES.glob("*") if path.suffix in (".wav", ".flac", ".ogg"))
    return found[0] if found else tone(tmp_path / "tone.wav", 2.0)


_SHORT = ("--end", "4", "--max-new-tokens", "48")


def test_transcribe(run: Run, clip: Path, tmp_path: Path) -> None:
    done = run("transcribe", clip, "-t", "word", "-o", tmp_path, "-f", "json", "-f", "srt", *_SHORT)
    assert done.code == 0
    result = json.loads((tmp_path / f"{clip.stem}.json").read_text(encoding="utf-8"))
    assert result["type"] == "transcript"
    assert all(0 <= w["start"] <= w["end"] <= result["duration"] + 1e-6 for w in result["words"])
    assert (tmp_path / f"{clip.stem}.srt").exists()


def test_a_person_on_the_telephone_is_transcribed_without_an_error(run: Run) -> None:
    said = json.loads((EXAMPLES / "examples.json").read_text(encoding="utf-8"))["prompt.wav"]
    assert run("transcribe", EXAMPLES / "prompt.wav").out.strip() == said["text"]


def test_what_is_printed_while_it_is_heard_is_what_a_file_gets(run: Run, tmp_path: Path) -> None:
    speech = load_audio(EXAMPLES / "speech.wav").samples
    pcm = (np.tile(np.append(speech, np.zeros(8000)), 5) * 32767).astype("<i2")
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(pcm.tobytes())
    printed = run("transcribe", path, "-f", "srt")
    assert run("transcribe", path, "-f", "srt", "-f", "txt", "-o", tmp_path).code == 0
    assert printed.out == (tmp_path / "long.srt").read_text(encoding="utf-8")
    assert printed.out.count("morning train") == 5
    lines = run("transcribe", path).out.splitlines()
    assert len(lines) >= 3  # one a window
    assert run("transcribe", path, "-o", tmp_path / "plain").code == 0
    assert " ".join(lines) == (tmp_path / "plain" / "long.txt").read_text(encoding="utf-8").strip()


def test_caption(run: Run, clip: Path) -> None:
    done = run("caption", clip, *_SHORT)
    assert done.code == 0
    assert done.out.strip()


def test_events(run: Run, clip: Path) -> None:
    done = run("events", clip, "-f", "json", *_SHORT)
    assert done.code == 0
    assert json.loads(done.out)["type"] == "timeline"


@NEEDS_THINKER
def test_nano_thinks_where_it_is_told_to(run: Run) -> None:
    question = "How long is the pause between the phone and the siren?"
    done = run("ask", EXAMPLES / "events.wav", "-q", question, "--thinking", "-f", "json")
    assert done.code == 0
    answer = json.loads(done.out)
    timeline = thought_timeline(answer["thinking"], 10.0).events
    assert [event.label for event in timeline] == ["knocking", "phone ringing", "siren"]
    assert answer["text"] == "0.8 seconds."
    cut = run("ask", EXAMPLES / "events.wav", "-q", question, "--thinking-budget", "8")
    assert cut.code == 0
    assert TRANSITION.strip() in cut.out


def test_ask(run: Run, clip: Path) -> None:
    done = run(
        "ask", clip, "-q", "What is heard?", "-q", "Is someone speaking?", "-f", "json", *_SHORT
    )
    assert done.code == 0
    assert len(json.loads(done.out)["answers"]) == 2


def test_info(run: Run) -> None:
    done = run("info", "nano", "--json")
    assert (done.code, done.err) == (0, "")
    facts = json.loads(done.out)
    assert facts["ok"] is True
    assert facts["layout"] == "embedded"

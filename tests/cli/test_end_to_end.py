"""Each listening command on real audio with the embedded checkpoint, loaded once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.embedded import NEEDS_NANO

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


def test_caption(run: Run, clip: Path) -> None:
    done = run("caption", clip, *_SHORT)
    assert done.code == 0
    assert done.out.strip()


def test_events(run: Run, clip: Path) -> None:
    done = run("events", clip, "-f", "json", *_SHORT)
    assert done.code == 0
    assert json.loads(done.out)["type"] == "timeline"


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

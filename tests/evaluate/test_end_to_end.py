"""`moss-audio evaluate` with the embedded checkpoint on tiny clips, each suite, loaded once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from moss_audio.cli import main
from moss_audio.evaluate.loaders import prompts
from moss_audio.evaluate.store import FILE
from tests.embedded import NEEDS_NANO
from tests.evaluate import layouts

pytestmark = [*NEEDS_NANO, pytest.mark.usefixtures("commands_get_nano")]


def _general(folder: Path) -> Path:
    layouts.mmsu(folder / "mmsu")
    layouts.mmau(folder / "mmau")
    layouts.tone(folder / "mmau/test-mini-audios/a2.wav")
    return folder


def _asr(folder: Path) -> Path:
    layouts.librispeech(folder / "read")
    return folder


def _timestamps(folder: Path) -> Path:
    words = [{"text": "hello", "start": 0.1, "end": 0.4}]
    layouts.jsonl(folder / "aligned/list.jsonl", [{"audio": "a.wav", "words": words}])
    layouts.tone(folder / "aligned/a.wav")
    return folder


def _captions(folder: Path) -> Path:
    row = {"audio": "a.wav", "caption": "A steady tone.", "facts": ["tone|beep"]}
    layouts.jsonl(folder / "sounds/list.jsonl", [row])
    layouts.tone(folder / "sounds/a.wav")
    return folder


SUITES: tuple[tuple[str, Callable[[Path], Path], str], ...] = (
    ("general", _general, "accuracy, strict"),
    ("asr", _asr, "error rate"),
    ("timestamps", _timestamps, "words matched"),
    ("captions", _captions, "facts named"),
    ("nano", layouts.scenes, "event-based F1 at 200 ms"),
)


@pytest.mark.parametrize(("suite", "make", "figure"), SUITES, ids=[row[0] for row in SUITES])
def test_suite(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    suite: str,
    make: Callable[[Path], Path],
    figure: str,
) -> None:
    monkeypatch.setattr(prompts, "DIRECTORY", tmp_path / "none")
    data, out = make(tmp_path / "data"), tmp_path / "out"
    arguments = ["evaluate", "nano", "--suite", suite, "--data", str(data), "--out", str(out)]
    arguments += ["--limit", "2"]
    assert main(arguments) == 0, capsys.readouterr().err
    report = json.loads((out / "report.json").read_text())
    assert any(row["name"] == figure and row["value"] is not None for row in report["figures"])
    assert report["failed"] == []
    assert report["command"].startswith(f"moss-audio evaluate nano --suite {suite} --data ")
    assert all(part["answered"] == part["items"] > 0 for part in report["data"])
    assert all(len(part["items_hash"]) == 64 and part["hours"] >= 0 for part in report["data"])
    assert (out / "report.md").read_text() == capsys.readouterr().out
    # Again: every answer is there, so that the file does not grow and the figures are the same.
    before = (out / FILE).read_bytes()
    assert main(arguments) == 0
    assert (out / FILE).read_bytes() == before
    assert json.loads((out / "report.json").read_text()) == report
    assert "from an earlier run" in capsys.readouterr().err


def test_a_part_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "DIRECTORY", tmp_path / "none")
    data, out = layouts.scenes(tmp_path / "data"), tmp_path / "out"
    arguments = ["evaluate", "nano", "--suite", "nano", "--data", str(data), "--out", str(out)]
    assert main([*arguments, "--limit", "1", "--part", "events"]) == 0
    report = json.loads((out / "report.json").read_text())
    assert {row["part"] for row in report["figures"]} == {"events"}
    assert report["command"].endswith("--part events")
    capsys.readouterr()
    assert main([*arguments, "--part", "smells"]) == 1
    assert "no part 'smells'; there are" in capsys.readouterr().err
    assert main([*arguments, "--part", "human"]) == 1
    assert "part 'human' can't be measured" in capsys.readouterr().err


def test_failed_items_make_the_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = layouts.librispeech(tmp_path / "read"), tmp_path / "out"
    next(data.rglob("*0001.flac")).unlink()
    assert main(["evaluate", "nano", "-s", "asr", "-d", str(data), "-o", str(out)]) == 1
    printed = capsys.readouterr()
    assert "LibriSpeech 1089-134686-0001: " in printed.err
    assert "1 item failed; all are in" in printed.err
    assert "## Failed: 1" in printed.out
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--suite", "speed"), "unknown suite 'speed'"),
        (("--suite", "general"), "nothing to measure for suite 'general'"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert main(["evaluate", "nano", *arguments, "--data", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1

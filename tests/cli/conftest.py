"""A command line run in this process, on a model that answers at once."""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from moss_audio.cli import main
from moss_audio.errors import AudioError
from moss_audio.recordings import describe_source, load_audio
from moss_audio.result import Answer, Caption, Event, Segment, Timeline, Transcript, Word


@dataclass
class Ran:
    """What a command line left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@dataclass
class FakeModel:
    """Has the methods of `MossAudio`; loads every input and answers with its name."""

    calls: list[tuple[str, list[Any], dict[str, Any]]] = field(default_factory=list)
    loads: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    engine: Any = field(default_factory=lambda: SimpleNamespace(batch_size=1))
    fail: Callable[[str], None] = lambda name: None

    def _run(self, method: str, x: list[Any], options: dict[str, Any], answer: Any) -> list[Any]:
        self.calls.append((method, x, options))
        assert options["on_error"] == "return"
        rows: list[Any] = []
        for source in x:
            try:
                audio = load_audio(source, start=options["start"], end=options["end"])
                self.fail(describe_source(source))
                rows.append(answer(audio))
            except AudioError as error:
                rows.append(error)
            options["progress"](len(rows), len(x))
        return rows

    def transcribe(self, x: list[Any], timestamps: str | None = None, **options: Any) -> list[Any]:
        def answer(audio: Any) -> Transcript:
            word = Word(f"hello {Path(audio.source).stem}", 0.1, 0.4)
            segment = Segment(word.text, 0.1, 0.4, (word,) if timestamps == "word" else ())
            return Transcript(
                word.text,
                (segment,) if timestamps else (),
                (word,) if timestamps == "word" else (),
                audio.duration_s,
                warnings=audio.warnings,
            )

        return self._run("transcribe", x, {**options, "timestamps": timestamps}, answer)

    def caption(self, x: list[Any], **options: Any) -> list[Any]:
        return self._run("caption", x, options, lambda a: Caption("A tone.", a.duration_s))

    def events(self, x: list[Any], **options: Any) -> list[Any]:
        found = (Event("beep", 0.0, 0.2), Event("a dog, far away", 0.1, 0.5))
        return self._run("events", x, options, lambda a: Timeline(found, a.duration_s))

    def ask(self, x: list[Any], question: list[str], **options: Any) -> list[Any]:
        thinking = "First this.\nThen that." if options["thinking"] else None
        return self._run(
            "ask", x, options, lambda a: [Answer(f"re: {one}", thinking) for one in question]
        )


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """The model that every command of the test loads."""
    fake = FakeModel()

    def load(name: str, **options: Any) -> FakeModel:
        fake.loads.append((name, options))
        return fake

    monkeypatch.setattr("moss_audio.api.load", load)
    return fake


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run `moss-audio ARGUMENTS...` in this process."""

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of recordings, some with unusual names, beside what is none."""
    folder = tmp_path / "clips"
    for name in ("a.wav", "b c.wav", "ünï-语音.wav", "sub/a.wav", "sub/deep/d.WAV"):
        tone(folder / name)
    (folder / "notes.txt").write_text("not a recording")
    (folder / ".hidden.wav").write_bytes(b"")
    return folder


def tone(path: Path, seconds: float = 0.5) -> Path:
    """Write a 440-Hz tone, 16 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.sin(np.arange(int(16000 * seconds)) * (2 * np.pi * 440 / 16000)) * 8000
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path

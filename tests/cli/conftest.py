"""A command line run in this process, on a model that answers at once."""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.cli import main
from moss_audio.errors import MossAudioError
from moss_audio.listen import Heard
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
    """Has `query` and `listen` of `MossAudio`; loads every input and answers with its name.

    `long`: recordings come in parts of so many seconds.
    """

    calls: list[tuple[str, Any, dict[str, Any]]] = field(default_factory=list)
    loads: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    fail: Callable[[str], None] = lambda name: None
    long: float | None = None

    def query(self, task: str, source: Any, **options: Any) -> Any:
        self.calls.append((task, source, options))
        return self.calls[-1]

    def listen(self, queries: Any, *, parts: bool = False, progress: Any = None) -> Any:
        done_s = 0.0
        for index, (task, source, options) in enumerate(queries):
            try:
                audio = load_audio(source, start=options["start"], end=options["end"])
                for part in self._parts(audio, options) if parts and self.long else ():
                    yield Heard(index, (part,), done=False)
                self.fail(describe_source(source))
                heard = Heard(index, tuple(getattr(self, f"_{task}")(audio, options)))
            except MossAudioError as error:
                heard = Heard(index, error=error)
            else:
                done_s += audio.duration_s
                progress(done_s, None)
            yield heard

    def _parts(self, audio: Any, options: dict[str, Any]) -> Any:
        start_s = 0.0
        while start_s < audio.duration_s:
            end_s = min(start_s + self.long, audio.duration_s)
            text = f"part at {start_s:g}"
            segments = (Segment(text, start_s, end_s),) if options["timestamps"] else ()
            yield Transcript(text, segments, duration=end_s)
            start_s = end_s

    def _transcribe(self, audio: Any, options: dict[str, Any]) -> Any:
        timestamps = options["timestamps"]
        word = Word(f"hello {Path(audio.source).stem}", 0.1, 0.4)
        segment = Segment(word.text, 0.1, 0.4, (word,) if timestamps == "word" else ())
        yield Transcript(
            word.text,
            (segment,) if timestamps else (),
            (word,) if timestamps == "word" else (),
            audio.duration_s,
            warnings=audio.warnings,
        )

    def _caption(self, audio: Any, options: dict[str, Any]) -> Any:
        yield Caption("A tone.", audio.duration_s)

    def _events(self, audio: Any, options: dict[str, Any]) -> Any:
        found = (Event("beep", 0.0, 0.2), Event("a dog, far away", 0.1, 0.5))
        yield Timeline(found, audio.duration_s)

    def _ask(self, audio: Any, options: dict[str, Any]) -> Any:
        thinking = "First this.\nThen that." if options["thinking"] else None
        yield from (Answer(f"re: {one}", thinking) for one in options["question"])


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

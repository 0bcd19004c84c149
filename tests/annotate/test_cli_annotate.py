"""The command: what it prints, its exit codes, and that it takes its configuration."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moss_audio.annotate import build, progress
from moss_audio.annotate import run as engine
from moss_audio.annotate.config import load_config
from moss_audio.annotate.store import AnnotationStore
from moss_audio.cli import main
from tests.annotate import tiny
from tests.annotate.conftest import record


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`moss-audio annotate ARGUMENTS...` over the tiny steps, without a report of its own."""
    monkeypatch.setattr(build, "PARTS", tiny.PARTS)
    monkeypatch.setattr("moss_audio.annotate.report.write_report", lambda out: out)

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["annotate", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_clean_run_says_what_was_made(
    call: Any, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moss_audio.annotate.report.write_report", lambda out: out / "report.html")
    code, out, err = call(recordings, tmp_path / "out", "--set", "segment.length_s=1")
    assert code == 0
    assert out == f"{tmp_path / 'out' / 'report.html'}\n"
    assert "6 recordings of 6 files: 6 segments (0.00 h), 6 conversations" in err
    assert "ingest 1/1" in err
    assert "tasks 1/1" in err
    assert "length_s: 1.0" in (tmp_path / "out" / "config.yaml").read_text()


def test_what_is_set_aside_makes_the_exit_code_1(
    call: Any, recordings: Path, tmp_path: Path
) -> None:
    (recordings / "bad.wav").write_text("no sound")
    record(recordings / "short.wav", 0.1)
    code, out, err = call(recordings, tmp_path / "out")
    assert code == 1
    assert out == f"{tmp_path / 'out'}\n"
    assert "1 too short, 1 unreadable set aside; see" in err
    assert call(recordings, tmp_path / "out")[0] == 1  # as long as it is so


def test_mistakes_are_one_line(call: Any, recordings: Path, tmp_path: Path) -> None:
    code, _, err = call(recordings, tmp_path / "out", "--set", "speech.beam=5")
    assert (code, err) == (1, "error: configuration: unknown field speech.beam\n")
    code, _, err = call(tmp_path / "nowhere", tmp_path / "out")
    assert code == 1
    assert err.startswith("error: no recordings to annotate")
    assert len(err.splitlines()) == 1
    (tmp_path / "file").write_text("")
    code, _, err = call(recordings, tmp_path / "file")
    assert (code, err) == (1, f"error: {tmp_path / 'file'}: is a file; name a folder\n")


def test_ctrl_c_says_how_to_go_on(
    call: Any, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tiny.Music.process_batch

    def interrupted(self: Any, items: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return real(self, items)

    monkeypatch.setattr(tiny.Music, "process_batch", interrupted)
    code, _, err = call(recordings, tmp_path / "out")
    assert code == 130
    assert err.splitlines()[-1] == "interrupted; the same command resumes"
    monkeypatch.undo()
    monkeypatch.setattr(build, "PARTS", tiny.PARTS)
    monkeypatch.setattr("moss_audio.annotate.report.write_report", lambda out: out)
    assert call(recordings, tmp_path / "out")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "executor", "address"),
    [
        ((), "local", None),
        (("--ray",), "ray", None),
        (("--ray", "auto"), "ray", "auto"),
        (("--ray", "ray://head:10001"), "ray", "ray://head:10001"),
        (("--ray", "head:6379", "--workers", "3"), "ray", "head:6379"),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_ray_stands_with_and_without_an_address(
    call: Any, monkeypatch: pytest.MonkeyPatch, arguments: Any, executor: str, address: str | None,
    first: bool,
) -> None:  # fmt: skip
    seen: list[Any] = []

    def annotate(inputs: Any, out: Any, config: Any, **_: Any) -> Any:
        seen.append((inputs, out, config.run))
        return engine.Summary()

    monkeypatch.setattr(engine, "annotate", annotate)
    places = ("a", "b", "out")
    code, _, err = call(*arguments, *places) if first else call(*places, *arguments)
    assert code == 0, err
    ((inputs, out, run),) = seen
    assert (inputs, out) == (["a", "b"], Path("out"))
    assert (run.executor, run.ray_address) == (executor, address)
    assert run.workers == (3 if "--workers" in arguments else 1)


def test_the_view_counts_what_workers_leave(tmp_path: Path, recordings: Path, engine: Any) -> None:
    store = AnnotationStore(tmp_path / "out")
    watch = progress.Watch(store, {"ingest": 3, "speech": 3})
    (recordings / "bad.wav").write_text("no sound")
    engine(recordings)
    found = watch.look()
    assert found["ingest"].done == 4
    assert found["ingest"].asides == {"unreadable": 1}
    assert found["speech"].audio_s == pytest.approx(7.5)
    assert found["speech"].wall_s > 0
    assert watch.look()["speech"].done == 4  # not counted twice
    assert progress.Watch(store, {"speech": 1}).look()["speech"].done == 0  # of an earlier run


def test_the_configuration_in_the_repository_is_what_comes_without_one() -> None:
    path = Path(__file__).parents[2] / "configs" / "annotate" / "default.yaml"
    assert load_config(path, None, tiny.PARTS) == load_config(None, None, tiny.PARTS)

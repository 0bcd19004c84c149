"""A run keeps what it has: after a kill it goes on, after a change it asks again."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from moss_audio.errors import MossAudioError
from moss_audio.evaluate import report as reports
from moss_audio.evaluate.figures import ALL, figures
from moss_audio.evaluate.plan import Plan
from moss_audio.evaluate.run import SuiteRun, run
from moss_audio.evaluate.store import FILE, AnswerFile
from moss_audio.evaluate.suites import plan
from tests.evaluate import layouts
from tests.evaluate.fakes import FakeModel

CLIPS = 6


def _dimension(folder: Path, clips: int = CLIPS) -> Path:
    rows = [{"audio": f"{i}.wav", "text": "hello big world"} for i in range(clips)]
    layouts.jsonl(folder / "list.jsonl", rows)
    for i in range(clips):
        layouts.tone(folder / f"{i}.wav", 0.2)
    return folder


def _run(model: FakeModel, planned: Plan, out: Path, mark: str = "m", **options: int) -> SuiteRun:
    with AnswerFile(out) as store:
        return run(model, planned, store, fingerprint=mark, **options)


def test_the_second_run_asks_nothing(tmp_path: Path) -> None:
    planned = plan("asr", _dimension(tmp_path / "a"))
    first = _run(FakeModel(), planned, tmp_path / "out")
    model = FakeModel("something else")
    second = _run(model, planned, tmp_path / "out")
    assert (first.reused, second.reused, model.heard) == (0, CLIPS, [])
    assert first.outcomes == second.outcomes


def test_an_interrupted_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    planned = plan("asr", _dimension(tmp_path / "a"))
    model = FakeModel()
    model.dies_after = 5
    with pytest.raises(KeyboardInterrupt):
        _run(model, planned, tmp_path / "out")
    model = FakeModel()
    assert _run(model, planned, tmp_path / "out").reused == 5
    assert len(model.heard) == CLIPS - 5


def test_a_torn_last_line_costs_one_answer(tmp_path: Path) -> None:
    planned = plan("asr", _dimension(tmp_path / "a"))
    before = _run(FakeModel(), planned, tmp_path / "out").outcomes
    path = tmp_path / "out" / FILE
    path.write_bytes(path.read_bytes()[:-30])
    model = FakeModel()
    assert _run(model, planned, tmp_path / "out").outcomes == before
    assert len(model.heard) == 1
    assert _run(FakeModel(), planned, tmp_path / "out").reused == CLIPS
    readable = [line for line in path.read_text().splitlines() if line.endswith("}")]
    assert len(readable) == CLIPS


def test_a_killed_process_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """The child kills itself with SIGKILL from inside the fifth answer."""
    data = _dimension(tmp_path / "a")
    code = f"""
import os, signal
from pathlib import Path
from moss_audio.evaluate.run import run
from moss_audio.evaluate.store import AnswerFile
from moss_audio.evaluate.suites import plan
from tests.evaluate.fakes import FakeModel

class Killed(FakeModel):
    def _each(self, x, answer):
        if len(self.heard) >= 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._each(x, answer)

with AnswerFile(Path({str(tmp_path / "out")!r})) as store:
    run(Killed(), plan("asr", Path({str(data)!r})), store, fingerprint="m")
"""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert _run(FakeModel(), plan("asr", data), tmp_path / "out").reused == 4


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MossAudioError, match=rf"{FILE}: cannot be written \(No space left"):
        _run(FakeModel(), plan("asr", _dimension(tmp_path / "data")), tmp_path / "out")


def test_another_model_suite_or_prompt_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = layouts.mmau(tmp_path / "mmau").parent
    layouts.tone(tmp_path / "mmau/test-mini-audios/a1.wav")
    planned = plan("general", data)
    out = tmp_path / "out"
    assert _run(FakeModel(), planned, out).reused == 0
    assert _run(FakeModel(), planned, out).reused == 2
    assert _run(FakeModel(), planned, out, mark="other").reused == 0
    assert _run(FakeModel(), Plan("general", 99, planned.parts), out).reused == 0
    monkeypatch.setattr("moss_audio.tasks.choices.ENDING", "Choose.")
    assert _run(FakeModel(), planned, out).reused == 0
    layouts.tone(tmp_path / "mmau/test-mini-audios/a1.wav", 0.7)
    monkeypatch.undo()
    assert _run(FakeModel(), planned, out).reused == 0


def test_fresh_forgets(tmp_path: Path) -> None:
    planned = plan("asr", _dimension(tmp_path / "a"))
    _run(FakeModel(), planned, tmp_path / "out")
    with AnswerFile(tmp_path / "out", fresh=True) as store:
        assert store.path.read_bytes() == b""
    assert _run(FakeModel(), planned, tmp_path / "out").reused == 0


def test_bad_items_are_reported_and_tried_again(tmp_path: Path) -> None:
    data = _dimension(tmp_path / "a")
    (data / "2.wav").unlink()
    (data / "3.wav").write_text("not a recording")
    planned = plan("asr", data)
    model = FakeModel()
    model.refuses = lambda audio: audio.source.endswith("5.wav")
    ran = _run(model, planned, tmp_path / "out")
    report = reports.build(planned, ran, model="m", fingerprint="f", command="c", limit=None)
    assert [row["id"] for row in report["failed"]] == ["2.wav", "3.wav", "5.wav"]
    assert all("\n" not in row["error"] for row in report["failed"])
    assert report["data"][0]["answered"] == CLIPS - 3
    assert "## Failed: 3" in reports.markdown(report)
    layouts.tone(data / "2.wav", 0.2)
    layouts.tone(data / "3.wav", 0.2)
    model = FakeModel()
    ran = _run(model, planned, tmp_path / "out")
    assert (ran.reused, len(model.heard)) == (CLIPS - 3, 3)
    assert all(outcome.error is None for outcome in ran.outcomes[0])


def test_a_limit_keeps_the_first_items(tmp_path: Path) -> None:
    planned = plan("asr", _dimension(tmp_path / "a"))
    ran = _run(FakeModel(), planned, tmp_path / "out", limit=2)
    assert [o.item.id for o in ran.outcomes[0]] == ["0.wav", "1.wav"]


def test_the_answers_are_there_for_the_reader(tmp_path: Path) -> None:
    _run(FakeModel(), plan("asr", _dimension(tmp_path / "a", 1)), tmp_path / "out")
    (line,) = (tmp_path / "out" / FILE).read_text().splitlines()
    data = json.loads(line)
    assert (data["part"], data["id"], data["result"]["text"]) == ("a", "0.wav", "hello world")
    assert data["prompt"]


def test_word_error_counts_over_the_corpus_and_its_interval_holds_it(tmp_path: Path) -> None:
    data = tmp_path / "a"
    rows = [
        {"audio": "0.wav", "text": "hello world"},
        {"audio": "1.wav", "text": "hello there my big world"},
        {"audio": "2.wav", "text": "hello"},
    ]
    layouts.jsonl(data / "list.jsonl", rows)
    for i in range(3):
        layouts.tone(data / f"{i}.wav", 0.2)
    planned = plan("asr", data)
    ran = _run(FakeModel("hello world"), planned, tmp_path / "out")
    (figure,) = [f for f in figures(planned, ran.outcomes) if f.group == ALL]
    assert figure.value == pytest.approx(100 * (0 + 3 + 1) / 8)
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low <= figure.value <= figure.high
    assert figures(planned, ran.outcomes) == figures(planned, ran.outcomes)


def test_dimensions_are_averaged_plainly(tmp_path: Path) -> None:
    for name, clips in (("near", 1), ("far", 3)):
        _dimension(tmp_path / "data" / name, clips)
    layouts.aishell1(tmp_path / "data/aishell1")
    planned = plan("asr", tmp_path / "data")
    assert [part.name for part in planned.parts] == ["aishell1", "far", "near"]
    ran = _run(FakeModel("甚至"), planned, tmp_path / "out")
    found = {(f.part, f.group): f for f in figures(planned, ran.outcomes)}
    assert found["aishell1", ALL].value == pytest.approx(100 * 4 / 6)
    mean = found["mean of dimensions", ALL]
    assert mean.value == pytest.approx((100 * 4 / 6 + 100 + 100) / 3)
    assert "11.3 (8B-Instruct)" in mean.paper


def test_archives_side_by_side_are_several_sets(tmp_path: Path) -> None:
    """`data_aishell` beside `LibriSpeech` was once taken for AISHELL-1 alone."""
    layouts.aishell1(tmp_path)
    layouts.librispeech(tmp_path)
    assert [part.name for part in plan("asr", tmp_path).parts] == ["LibriSpeech", "data_aishell"]
    inside = plan("asr", tmp_path / "LibriSpeech")
    assert [len(part.dataset.items) for part in inside.parts] == [2]

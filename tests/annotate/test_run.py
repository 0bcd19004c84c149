"""The engine over tiny steps: what is made, what is redone, what is set aside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest

from moss_audio.annotate import store as stores
from moss_audio.annotate.config import load_config
from moss_audio.annotate.finish import Summary
from moss_audio.annotate.records import AudioSegment
from moss_audio.annotate.run import annotate
from moss_audio.annotate.store import AnnotationStore
from moss_audio.data.config import SourceConfig
from moss_audio.data.sources.jsonl import JsonlSource
from moss_audio.errors import MissingDependencyError, MossAudioError
from moss_audio.recordings import load_audio
from tests.annotate import tiny
from tests.annotate.conftest import contents, record, results

Engine = Callable[..., Summary]


def _redone(before: dict[str, int], after: dict[str, int]) -> set[str]:
    """Steps of which a file of results is new."""
    return {name.split("/")[0] for name, made in after.items() if before.get(name) != made}


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_second_of_the_recordings_is_in_the_result(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    summary = engine(recordings)
    assert (summary.files, summary.recordings, summary.set_aside) == (6, 6, 0)
    assert summary.segments_s == pytest.approx(summary.recordings_s) == pytest.approx(7.5)
    out = tmp_path / "out"
    rows = [row for path in sorted(out.glob("segments/*.jsonl")) for row in _lines(path)]
    segments = [AudioSegment.from_dict(row) for row in rows]
    assert len(segments) == summary.segments == summary.conversations
    by_path: dict[str, list[np.ndarray]] = {}
    for segment in segments:
        assert [r.branch for r in segment.results] == ["speech", "music", "general"]
        assert segment.caption is not None
        sound = load_audio(out / segment.audio).samples
        by_path.setdefault(segment.recording.path, []).append(sound)
    for path, sounds in by_path.items():
        assert np.array_equal(np.concatenate(sounds), load_audio(path).samples)
    assert json.loads((out / "summary.json").read_text())["segments"] == summary.segments


def test_training_reads_the_conversations_after_the_folder_was_moved(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    summary = engine(recordings)
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "out", moved)
    source = JsonlSource(SourceConfig("jsonl", str(moved / "train.jsonl")), "train")
    assert len(source) == summary.conversations
    entry = source.read(0)
    assert len(load_audio(entry.clips[0].audio).samples) == 8000


def test_nothing_that_is_finished_is_done_again(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    setups = tmp_path / "setups"
    first = engine(recordings, speech__setups=str(setups))
    assert setups.read_text().count("speech") == 1  # loaded once, though there are three shards
    before, made = results(tmp_path / "out"), contents(tmp_path / "out")
    assert engine(recordings, speech__setups=str(setups)) == first
    assert results(tmp_path / "out") == before
    assert contents(tmp_path / "out") == made
    assert setups.read_text().count("speech") == 1  # nothing to do: no model is loaded


@pytest.mark.parametrize(
    ("field", "redone"),
    [
        ("tasks.version", {"tasks"}),
        ("merge.version", {"merge", "tasks"}),
        ("speech.version", {"speech", "merge", "tasks"}),
        ("profile.version", {"profile", "speech", "music", "general", "merge", "tasks"}),
        ("ingest.min_s", {"ingest"}),
    ],
)
def test_a_change_redoes_what_depends_on_it_and_nothing_else(
    recordings: Path, engine: Engine, tmp_path: Path, field: str, redone: set[str]
) -> None:
    engine(recordings)
    before = results(tmp_path / "out")
    changed = {field: 0.25 if field == "ingest.min_s" else "2"}
    engine(recordings, **changed)
    after = results(tmp_path / "out")
    assert _redone(before, after) == redone
    assert len(after) == len(before)  # what nothing needs any more is gone
    engine(recordings, out=tmp_path / "fresh", **changed)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_cutting_differently_leaves_no_sound_of_before(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    engine(recordings)
    engine(recordings, segment__length_s=0.3)
    engine(recordings, segment__length_s=0.3, out=tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_only_recordings_that_were_added_are_done(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    engine(recordings)
    before, made = results(tmp_path / "out"), contents(tmp_path / "out")
    record(recordings / "0a.wav", seed=9)  # between the others
    assert engine(recordings).recordings == 7
    after = results(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[1][:5] for name in set(after) - set(before)} == {"00003"}
    kept = {k: v for k, v in contents(tmp_path / "out").items() if k.startswith("segments/")}
    assert all(kept[name] == data for name, data in made.items() if name.startswith("segments/"))


def test_what_was_taken_away_is_out_of_the_result_but_not_forgotten(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    engine(recordings)
    made = contents(tmp_path / "out")
    assert engine(recordings / "5.wav", recordings / "4.wav").recordings == 2
    assert set(_lines(tmp_path / "out" / "train.jsonl")[0]) == {"conversation", "duration", "task"}
    assert [p.name for p in (tmp_path / "out" / "segments").iterdir()] == ["00002.jsonl"]
    before = results(tmp_path / "out")
    assert engine(recordings).recordings == 6
    assert not _redone(before, results(tmp_path / "out"))
    assert contents(tmp_path / "out") == made


def test_a_changed_file_is_another_recording(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    engine(recordings)
    record(recordings / "2.wav", 2.0, seed=11)
    summary = engine(recordings)
    assert (summary.files, summary.recordings) == (6, 6)
    paths = [row["recording"]["path"] for p in sorted((tmp_path / "out/segments").iterdir())
             for row in _lines(p) if row["end_s"] > 1.9]  # type: ignore  # fmt: skip
    assert paths == [str(recordings / "2.wav")]


def test_bad_input_is_set_aside_and_stops_nothing(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    (recordings / "bad.wav").write_text("no sound")
    shutil.copy(recordings / "1.wav", recordings / "same.wav")
    record(recordings / "short.wav", 0.1)
    summary = engine(recordings, recordings / "nowhere.wav")
    assert (summary.files, summary.recordings) == (9, 6)
    assert summary.asides == {
        "duplicate": 1, "not readable as input": 1, "too short": 1, "unreadable": 1
    }  # fmt: skip
    told = {Path(str(row["path"])).name for row in _lines(tmp_path / "out" / "aside.jsonl")}
    assert told == {"bad.wav", "same.wav", "short.wav", "nowhere.wav"}


@pytest.mark.parametrize("crash", [False, True])
def test_a_segment_that_a_step_cannot_bear_takes_no_other_with_it(
    recordings: Path, engine: Engine, tmp_path: Path, crash: bool
) -> None:
    limits = {"speech.fail_above": 0.045, "speech.crash": crash}
    whole = engine(recordings, out=tmp_path / "whole")
    summary = engine(recordings, **limits)
    failed = _lines(tmp_path / "out" / "aside.jsonl")
    assert summary.asides == {"step failed": len(failed)}
    assert 0 < len(failed) < whole.segments
    assert summary.segments == whole.segments - len(failed)
    assert {row["step"] for row in failed} == {"speech"}
    assert "too loud" in str(failed[0]["detail"])
    assert all((tmp_path / "out" / str(row["audio"])).exists() for row in failed)
    before = results(tmp_path / "out")
    engine(recordings, **limits)
    assert results(tmp_path / "out") == before  # not tried again on its own
    assert engine(recordings, retry=True).set_aside == 0  # the cause is gone
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_missing_model_ends_the_run_with_its_own_line(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    with pytest.raises(MossAudioError, match="music: the model is missing; get it first"):
        engine(recordings, music__missing=True)
    before = results(tmp_path / "out")
    assert any(name.startswith("speech/") for name in before)
    engine(recordings)
    after = results(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    engine(recordings, out=tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_a_full_disk_is_one_clear_line_and_the_run_goes_on_later(
    recordings: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stores.os.replace
    left = 60

    def replace(source: str, target: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(stores.os, "replace", replace)
    with pytest.raises(MossAudioError, match=r"the disk is full .*; the same command resumes"):
        engine(recordings)
    assert not list((tmp_path / "out").rglob("*.tmp"))
    monkeypatch.undo()
    engine(recordings)
    engine(recordings, out=tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_two_runs_at_once_are_refused(recordings: Path, engine: Engine, tmp_path: Path) -> None:
    store = AnnotationStore(tmp_path / "out")
    store.make()
    with store.lock(), pytest.raises(MossAudioError, match="another run is writing here"):
        engine(recordings)
    engine(recordings)


def test_a_step_that_changes_what_was_known_is_a_bug_and_says_so(
    recordings: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny.Merge, "process_batch", lambda self, items: [])
    with pytest.raises(RuntimeError, match="step merge made 0 segments of"):
        engine(recordings)


def test_all_mistakes_of_a_configuration_are_told_together(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("speech: {beam: 5}\nsegmnt: {}\nrun: {workers: 0}\nsegment: {length_s: long}\n")
    with pytest.raises(MossAudioError) as caught:
        load_config(file, {"ingest.min_s": True}, tiny.PARTS)
    for part in ("speech.beam", "segmnt", "run.workers: 0", "segment.length_s", "ingest.min_s"):
        assert part in str(caught.value)
    (tmp_path / "d.yaml").write_text("run: {ray_pools: {speach: {gpus: 1}}}")
    with pytest.raises(MossAudioError, match=r"run\.ray_pools\.speach: no such step"):
        load_config(tmp_path / "d.yaml", None, tiny.PARTS)


def test_steps_that_are_made_again_are_named_with_the_reason(
    recordings: Path, tmp_path: Path
) -> None:
    class Notes:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def phase(self, store: AnnotationStore, todo: object) -> AbstractContextManager[None]:
            return nullcontext()

        def note(self, text: str) -> None:
            self.lines.append(text)

    def run(**changes: object) -> list[str]:
        notes = Notes()
        config = load_config(None, changes, tiny.PARTS)
        annotate([recordings], tmp_path / "out", config, parts=tiny.PARTS, view=notes)
        return notes.lines

    assert run() == []
    assert run() == []
    (line,) = run(**{"speech.version": "2"})
    assert line == (
        "made again, since settings, versions or recordings changed: speech, merge, tasks"
    )


def test_a_missing_extra_is_told_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config()
    monkeypatch.setattr("moss_audio.errors.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="'librosa': install the extra 'annotate'"):
        annotate([str(tmp_path / "a.wav")], tmp_path / "out", config)
    assert not (tmp_path / "out").exists()

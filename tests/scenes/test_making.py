"""Making a folder: the bytes of old configurations, workers, Ctrl-C, what is written beside."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from moss_audio.cli import main
from moss_audio.errors import MossAudioError
from moss_audio.scenes import make as making
from moss_audio.scenes import pool, sources, text
from moss_audio.scenes.check import check
from moss_audio.scenes.reader import iter_scenes

# No voice, no Debian package: synthesised events and quiet.
CONFIG = """
seed: 11
hours: {train: 0.004, val: 0.002, test-unseen: 0.002}
kinds: {events: 0.7, silence: 0.3}
engines: {espeak: 1.0}
texts: {template: 1.0}
held_out_speakers: [espeak/en-GB-scotland]
shard_minutes: 0.5
sounds: []
"""
EFFECTS = """
levels: true
effects: {speed: 0.8, pitch: 0.8, room: 0.8, noise: 0.8, gain: 0.8, codec: 0.8}
"""


def _prepare(folder: Path, config: str = CONFIG) -> tuple[Path, Path]:
    """A configuration, and a folder with sentences, so that no dictionary is needed."""
    folder.mkdir(exist_ok=True)
    path, out = folder / "c.yaml", folder / "out"
    path.write_text(config)
    out.mkdir()
    said = {s: [text.Sentence("template", f"Hello {s}.")] for s in text.SPLITS}
    text.save(said, out / "sentences.tsv")
    return path, out


# Recorded with the code as it was before rooms, codecs and the rest could be asked for: the truth
# exactly, and the sound, which another processor may round differently, by its level in each
# half second.
_TRUTH = (
    "2873549e488dd5fe584e3933c73efe25de7fcef795bbdaff5d907c9175b0ee55",
    "d73d0fc1d6577c77a4f6f75de84245e0ee21787b82c60774eb98789c486bf934",
)
_SOUND = (
    "24422b68b2c3f97479cb1aa4ca882f1fffb1deff52c9ba5414292b72ecf4aa50",
    "7da5025972151686343af5cf78f787163a0498963e3fe338246496604d1b47bd",
)
_LEVELS = Path(__file__).parent / "levels_before.json"


@pytest.mark.parametrize("index", [0, 1])
def test_what_is_off_changes_no_byte(tmp_path: Path, index: int) -> None:
    config, out = _prepare(tmp_path)
    shard = making.make_shard(config, out, index)
    assert hashlib.sha256((shard / "scenes.jsonl").read_bytes()).hexdigest() == _TRUTH[index]
    raw = (shard / "audio.i16").read_bytes()
    if hashlib.sha256(raw).hexdigest() != _SOUND[index]:
        x = np.frombuffer(raw, "<i2").astype(float)
        level = np.sqrt(np.mean(x[: x.size // 8000 * 8000].reshape(-1, 8000) ** 2, axis=1))
        before = json.loads(_LEVELS.read_text())[index]
        assert np.allclose(level, before, rtol=0.01, atol=1.0)


def test_the_same_config_gives_the_same_bytes_with_effects(tmp_path: Path) -> None:
    made = []
    for name in "ab":
        config, out = _prepare(tmp_path / name, CONFIG + EFFECTS)
        shard = making.make_shard(config, out, 0)
        made.append((shard / "audio.i16").read_bytes() + (shard / "scenes.jsonl").read_bytes())
    assert made[0] == made[1]
    seen: set[str] = set()
    for scene in iter_scenes(tmp_path / "a" / "out"):
        seen |= set(scene.effects)
        for event in scene.events:
            assert 0 <= event.start < event.end <= scene.duration_s
            assert event.level_db is not None
            assert -121 < event.level_db <= 0
    assert {"speed", "room", "gain_db", "codec"} <= seen


def test_command_makes_resumes_and_names_its_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = _prepare(tmp_path)
    assert main(["scenes", "make", str(config), str(out), "--workers", "2"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    shards = sorted(p.name for p in out.glob("shard-*"))
    assert shards == ["shard-00000"]
    listed = {s["name"]: s for s in sources.read(out / "sources.json")["sources"]}
    assert listed["espeak"]["kind"] == "voice"
    assert listed["templates"]["licence"] == "Apache-2.0"
    assert check(out).leaks == ()
    before = (out / "shard-00000" / "audio.i16").stat().st_mtime_ns
    assert main(["scenes", "make", str(config), str(out)]) == 0
    assert (out / "shard-00000" / "audio.i16").stat().st_mtime_ns == before
    kept = json.loads((out / "sources.json").read_text())
    kept["sources"][0]["version"] = "another"
    (out / "sources.json").write_text(json.dumps(kept))
    assert main(["scenes", "make", str(config), str(out)]) == 1
    assert "other sources (espeak)" in capsys.readouterr().err


def test_ctrl_c_leaves_complete_shards_only_and_the_same_command_goes_on(tmp_path: Path) -> None:
    # Far more than can be made before the signal arrives.
    long = CONFIG.replace("train: 0.004", "train: 5.0")
    config, out = _prepare(tmp_path, long)
    command = [sys.executable, "-m", "moss_audio", "scenes", "make", str(config), str(out)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not list(out.glob("shard-*/.completed")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
    finally:
        if run.poll() is None:  # it would compose for hours
            run.kill()
    assert run.returncode == 130
    assert len(err.splitlines()) == 1, err
    assert "the same command resumes" in err
    assert not list(out.glob(".*"))
    complete = sorted(out.glob("shard-*"))
    assert complete
    assert all((s / ".completed").exists() for s in complete)


def _fail(out: Path, index: int) -> None:
    if index == 1:
        raise MossAudioError("no such voice")
    time.sleep(60)
    (out / str(index)).touch()


def _die(out: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_failing_worker_ends_the_others_with_its_message(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(MossAudioError, match="no such voice"):
        pool.run_each(_fail, [(tmp_path, 0), (tmp_path, 1)], workers=2, done=lambda count: None)
    assert time.monotonic() - begin < 45
    assert not list(tmp_path.iterdir())
    with pytest.raises(MossAudioError, match="SIGKILL"):
        pool.run_each(_die, [(tmp_path,)], workers=1, done=lambda count: None)


def test_only_the_leavings_of_dead_processes_are_swept(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = tmp_path / f".shard-00000.tmp-{dead.pid}"
    others = [f".shard-00000.tmp-{os.getpid()}", f".notes.tmp-{dead.pid}", ".shard-00000.tmp-old"]
    for name in (gone.name, *others):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    pool.sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(others)
    assert all((tmp_path / name / "file").exists() for name in others)


def test_a_folder_that_is_called_a_shard_and_is_none_is_not_deleted(tmp_path: Path) -> None:
    """Other tools call their folders `shard-00000` too; one without our mark was replaced."""
    config, out = _prepare(tmp_path)
    theirs = out / "shard-00000" / "data.tar"
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")
    with pytest.raises(MossAudioError, match=r"shard-00000: not a shard of scenes"):
        making.make(config, out)
    assert theirs.read_bytes() == b"theirs"
    theirs.rename(theirs.with_name("audio.i16"))  # a shard of ours that lost its mark
    making.make(config, out, workers=1)
    assert (out / "shard-00000" / ".completed").exists()
    assert (out / "shard-00000" / "audio.i16").stat().st_size > 100

"""`kill -9` loses nothing and doubles nothing; a worker that dies ends the run; Ctrl-C, too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from moss_audio.annotate.config import load_config
from moss_audio.annotate.finish import Summary
from moss_audio.annotate.run import annotate
from moss_audio.errors import MossAudioError
from tests.annotate import tiny
from tests.annotate.conftest import contents

ROOT = Path(__file__).parents[2]
Engine = Callable[..., Summary]


def _python(*arguments: object) -> subprocess.Popen[str]:
    """A Python that finds this package and these tests."""
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # what Ctrl-C on a terminal reaches, and what is left over
    )


def test_twenty_kills_leave_what_an_unbroken_run_leaves(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    engine(recordings, out=tmp_path / "unbroken")
    process = _python(ROOT / "tests/annotate/killed.py", recordings, tmp_path / "k", 1, 20, 1)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    folders, files = map(int, out.split())
    assert files > 20  # or the moments were too early, and this shows nothing
    expected = contents(tmp_path / "unbroken")
    for number in range(folders):
        assert contents(tmp_path / f"k-{number}") == expected
        assert not list((tmp_path / f"k-{number}").rglob("*.tmp"))


SCRIPT = """
import sys
from tests.annotate import tiny
from moss_audio.annotate.config import load_config
from moss_audio.annotate.run import annotate
if __name__ == "__main__":
    changes = {"ingest.shard_files": 1, "run.workers": 2, "speech.sleep_s": 0.4}
    config = load_config(None, changes, tiny.PARTS)
    try:
        annotate([sys.argv[1]], sys.argv[2], config, parts=tiny.PARTS)
    except KeyboardInterrupt as stop:
        print(stop)
        sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_a_run_that_was_stopped(
    recordings: Path, tmp_path: Path, how: signal.Signals
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = _python(script, recordings, tmp_path / "out")
    try:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "out").glob("work/profile/*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if how is signal.SIGINT:
            os.killpg(process.pid, how)  # as a terminal does: to the workers as well
        else:
            process.kill()
        out, err = process.communicate(timeout=30)  # comes only when all have let go of the pipes
        if how is signal.SIGINT:
            assert process.returncode == 130
            assert out == "interrupted; the same command resumes\n"
            assert err == ""
        deadline = time.monotonic() + 10  # multiprocessing's own helper takes a moment to notice
        while _group(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _group(process.pid)
    finally:
        for pid in _group(process.pid):
            os.kill(pid, signal.SIGKILL)


def _group(leader: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_a_worker_that_the_system_kills_ends_the_run_with_a_line(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    changes = {"run.workers": 2, "ingest.shard_files": 2, "music.die": True}
    with pytest.raises(MossAudioError, match=r"ended by SIGKILL while at shard 0000\d; out of mem"):
        annotate([recordings], tmp_path / "out", load_config(None, changes, tiny.PARTS),
                 parts=tiny.PARTS)  # fmt: skip
    engine(recordings)
    engine(recordings, out=tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_two_workers_make_the_same_bytes_and_each_loads_once(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    setups = tmp_path / "setups"
    engine(recordings, out=tmp_path / "one")
    engine(recordings, run__workers=2, speech__setups=str(setups), ingest__shard_files=2)
    made = contents(tmp_path / "out")
    expected = contents(tmp_path / "one")
    assert made.pop("config.yaml") != expected.pop("config.yaml")  # it names the workers
    assert made == expected
    loaded = setups.read_text().split("\n")[:-1]
    assert 1 <= len(loaded) == len(set(loaded)) <= 2

"""The command as a process of its own: start-up, signals, pipes, full devices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_FAKE = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
import moss_audio.cli.runner  # before the stand-in, as the command does
from moss_audio.result import Caption

class Model:
    def query(self, task, source, **options):
        return source
    def listen(self, queries, **options):
        for index, source in enumerate(queries):
            if "slow" in source:
                print("slow", file=sys.stderr, flush=True)
                time.sleep(60)
            results = (Caption("A tone. " * 2000),)
            yield SimpleNamespace(index=index, results=results, error=None, done=True)

sys.modules["moss_audio.api"] = api = SimpleNamespace(load=lambda name, **options: Model())
import moss_audio
moss_audio.api = api
from moss_audio.cli import main
sys.exit(main())
"""


def _start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", _FAKE, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        **{"stdout": subprocess.PIPE, **options},
    )


@pytest.mark.parametrize("flag", ["--help", "--version", "transcribe --help"])
def test_help_does_not_wait_for_torch(flag: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "moss_audio", *flag.split()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "transformers", "numpy", "av", "soxr", "matplotlib", "yaml"}
    assert done.stdout.strip()


def test_ctrl_c_ends_with_130_and_one_line(clips: Path, tmp_path: Path) -> None:
    (clips / "slow.wav").write_bytes((clips / "a.wav").read_bytes())
    names = [clips / f"{name}.wav" for name in ("a", "b c", "sub/a", "ünï-语音", "slow")]
    process = _start("caption", *names, "-o", tmp_path / "out")
    assert process.stderr is not None
    assert process.stderr.readline() == "slow\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err) == ("", "interrupted: 4 files done, 1 not\n")
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 4


def test_a_closed_pipe_is_quiet(clips: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    process = _start("caption", clips, stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["caption", "a.wav"], ["--version"]])
def test_a_full_device_behind_stdout_is_one_line(clips: Path, arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        process = _start(*arguments, stdout=full, cwd=clips)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(err.splitlines()) == 1
    assert "No space left on device" in err


def test_names_and_text_that_a_terminal_cannot_show_are_escaped(clips: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "moss_audio", "caption", "语音.wav"],
        capture_output=True, timeout=120, check=False, cwd=clips,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == b"error: \\u8bed\\u97f3.wav: no such file; check the name\n"


def test_what_is_redirected_is_utf8(clips: Path) -> None:
    name = clips / "ünï-语音.wav"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    process = _start("caption", name, "-f", "json", env=environment, encoding="utf-8")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["file"] == str(name)
    assert "ünï-语音.wav" in out


def test_the_start_is_quick() -> None:
    """Generous, since the machine may be busy; torch alone would take longer."""
    begin = time.process_time()
    before = os.times().children_user
    subprocess.run([sys.executable, "-m", "moss_audio", "--version"], check=True, timeout=60,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    assert os.times().children_user - before < 2.0
    assert time.process_time() - begin < 2.0

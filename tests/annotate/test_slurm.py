"""Jobs of a Slurm cluster make the same bytes. Slurm is played by three short programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from moss_audio.annotate.config import load_config
from moss_audio.annotate.finish import Summary
from moss_audio.annotate.run import submit
from moss_audio.errors import MossAudioError
from tests.annotate import tiny
from tests.annotate.conftest import contents

SCONTROL = """#!/bin/bash
echo "${@: -1}"
"""
# Runs every job of an array at once, in order; says what sbatch says; fails if a job fails.
SBATCH = """#!/bin/bash
script="${@: -1}"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
echo "$@" >> "$CALLS"
for i in $(seq 0 "$last"); do
  SLURM_NODELIST=localhost SLURM_CPUS_PER_TASK=1 SLURM_MEM_PER_CPU=4096 \\
    SLURM_ARRAY_TASK_ID=$i RUN_OFFSET=0 bash "$script" >> "$CALLS.log" 2>&1 || exit 1
done
echo "Submitted batch job $(wc -l < "$CALLS")"
"""
SRUN = """#!/bin/bash
while [ "$1" != launch_pickled_pipeline ]; do shift; done
exec "$@"
"""
Engine = Callable[..., Summary]
CONFIG = {
    "run.executor": "slurm",
    "run.slurm": {"partition": "cpu", "tasks": 2},
    "ingest.shard_files": 3,
}


@pytest.mark.slow
def test_jobs_make_the_same_bytes(
    recordings: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("scontrol", SCONTROL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    root = Path(__file__).parents[2]
    paths = [programs, Path(sys.executable).parent, os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, paths)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "src")]))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    config = load_config(None, CONFIG, tiny.PARTS)
    jobs = submit([recordings], tmp_path / "out", config, parts=tiny.PARTS)
    log = (tmp_path / "calls.log").read_text()
    assert jobs == ["1", "2", "3", "4"], log
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [f"afterok:{n}" in call for n, call in enumerate(calls)] == [False, True, True, True]
    engine(recordings, out=tmp_path / "local", ingest__shard_files=3)
    made, expected = contents(tmp_path / "out"), contents(tmp_path / "local")
    assert made.pop("config.yaml") != expected.pop("config.yaml")
    assert b"<!DOCTYPE html>" in made.pop("report.html")  # the command writes it elsewhere
    assert made == expected


def test_without_slurm_it_says_so(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MossAudioError, match="sbatch: not found; run this where Slurm"):
        submit([recordings], tmp_path / "out", load_config(None, CONFIG, tiny.PARTS),
               parts=tiny.PARTS)  # fmt: skip
    with pytest.raises(MossAudioError, match=r"executor slurm needs the section run\.slurm"):
        load_config(None, {"run.executor": "slurm"}, tiny.PARTS)

"""As many threads as the process may use: affinity, and the container's share of time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moss_audio.engine import threads
from moss_audio.engine.threads import choose_threads
from moss_audio.errors import MossAudioError


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"}, [1.5]),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, [4.0]),
        ("0::/gone/from/here\n", {"cpu.max": "50000 100000\n"}, [0.5]),  # a container's own root
        (
            "4:cpu,cpuacct:/x\n0::/\n",
            {
                "cpu,cpuacct/x/cpu.cfs_quota_us": "-1\n",
                "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
                "cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            [3.0],
        ),
        (
            "1:cpu:/\n2:cpuacct:/\n",
            {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"},
            [2.0],
        ),
        ("1:name=systemd:/\n", {}, []),
        ("0::/\n", {"cpu.max": "rubbish"}, []),
        ("0::/../../up\n", {"cpu.max": "100000 100000"}, [1.0]),
    ],
)
def test_the_quota_of_any_group_above_counts(
    membership: str, files: dict[str, str], expected: list[float], tmp_path: Path
) -> None:
    mounted = tmp_path / "cgroup"
    mounted.mkdir()
    (tmp_path / "self").write_text(membership)
    for name, text in files.items():
        (mounted / name).parent.mkdir(parents=True, exist_ok=True)
        (mounted / name).write_text(text)
    found = list(threads._quotas(tmp_path / "self", mounted))
    assert sorted(set(found)) == expected


def test_a_machine_without_control_groups_has_none(tmp_path: Path) -> None:
    assert list(threads._quotas(tmp_path / "missing", tmp_path)) == []


def test_what_is_given_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_cores", lambda: 8)
    monkeypatch.setattr(threads, "_quotas", lambda *_: iter([2.5, 6.0]))
    assert choose_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert choose_threads() == 2
    monkeypatch.setenv(threads.VARIABLE, "5")
    assert choose_threads() == 5
    assert choose_threads(7) == 7


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5"])
def test_a_variable_that_is_no_number_is_named(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.VARIABLE, wrong)
    with pytest.raises(MossAudioError, match=f"{threads.VARIABLE}={wrong}"):
        choose_threads()
    with pytest.raises(MossAudioError, match="threads=0"):
        choose_threads(0)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_a_pinned_process_has_one_and_torch_is_told_so_before_it_begins() -> None:
    code = (
        "import os\n"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from moss_audio.engine.threads import choose_threads, use_threads_of_torch\n"
        "print(choose_threads())\n"
        "use_threads_of_torch(2)\n"
        "import torch\n"
        "print(torch.get_num_threads(), os.environ['OMP_WAIT_POLICY'])\n"
    )
    names = (threads.VARIABLE, "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    env = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "2", "PASSIVE"], done.stderr

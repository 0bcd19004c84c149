"""Ray Data runs the same steps to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moss_audio.annotate.config import RayPool, RunConfig
from moss_audio.annotate.finish import Summary
from moss_audio.errors import MossAudioError
from tests.annotate.conftest import contents

ray = pytest.importorskip("ray")
Engine = Callable[..., Summary]


def _pid(path: Path) -> int:
    return int(json.loads(path.read_text())["pid"])


@pytest.mark.slow
def test_actors_make_the_same_bytes_and_load_once(
    recordings: Path, engine: Engine, tmp_path: Path
) -> None:
    from moss_audio.annotate.executors_ray import connected

    setups = tmp_path / "setups"
    engine(recordings, out=tmp_path / "local", speech__setups=str(setups))
    setups.write_text("")
    pools: dict[str, Any] = {
        "segment": {"cpus": 0.3}, "profile": {"cpus": 0.3}, "speech": {"cpus": 0.2}
    }  # fmt: skip

    with connected(RunConfig(executor="ray")):
        with pytest.raises(MossAudioError, match="takes 1 GPU, but Ray has 0"):
            engine(recordings, out=tmp_path / "gpu", run__executor="ray",
                   run__ray_pools={"speech": {"gpus": 1, "cpus": 0}})  # fmt: skip
        with pytest.raises(MossAudioError, match="music: the model is missing"):
            engine(recordings, out=tmp_path / "ray", run__executor="ray", music__missing=True)
        with pytest.raises(MossAudioError, match="an actor died 3 times while at shard 0000"):
            engine(recordings, out=tmp_path / "dies", run__executor="ray", music__die=True)
        done = {p.name for p in (tmp_path / "ray/work/speech").iterdir()}
        before = {_pid(path) for path in (tmp_path / "ray/work/stats").glob("*/*")}
        engine(recordings, out=tmp_path / "ray", run__executor="ray", run__ray_pools=pools,
               speech__setups=str(setups))  # fmt: skip
    made, expected = contents(tmp_path / "ray"), contents(tmp_path / "local")
    assert made.pop("config.yaml") != expected.pop("config.yaml")
    assert made == expected
    assert done <= {p.name for p in (tmp_path / "ray/work/speech").iterdir()}
    assert len(setups.read_text().splitlines()) <= 1
    pids = {
        step: {_pid(path) for path in (tmp_path / "ray/work/stats").glob(f"{step}/*")} - before
        for step in ("segment", "speech", "merge")
    }
    assert pids["merge"]
    assert not pids["segment"] & pids["speech"]  # pools of their own
    assert not pids["speech"] & pids["merge"]


def test_steps_between_two_pools_share_one(engine: Engine) -> None:
    from moss_audio.annotate.build import build_pipeline
    from moss_audio.annotate.config import load_config
    from moss_audio.annotate.executors_ray import _groups
    from moss_audio.annotate.store import AnnotationStore
    from moss_audio.annotate.work import Steps
    from tests.annotate import tiny

    config = load_config(None, {"run.ray_pools": {"speech": {"gpus": 1}}}, tiny.PARTS)
    steps = Steps(AnnotationStore(Path("x")), build_pipeline(config.parts, tiny.PARTS), 1.0, 1)
    groups = [(work.only, pool) for work, pool in _groups(steps, config.run)]  # type: ignore
    assert groups == [
        ({"segment", "profile"}, RayPool()),
        ({"speech"}, RayPool(gpus=1)),
        ({"music", "general", "merge", "tasks"}, RayPool()),
    ]

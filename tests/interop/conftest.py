"""One vLLM run per checkpoint and session: starting the engine takes most of the time."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.engine.served import ServedCheckpoint
from moss_audio.errors import MossAudioError
from tests.interop import cases, checkpoints

_WORKER = Path(__file__).with_name("vllm_worker.py")
TIMEOUT_S = 1200
TAIL_LINES = 40
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
}


_OPTIONS = (
    *("--served-model-name", "moss-audio", "--host", "127.0.0.1", "--dtype", "float32"),
    *("--enforce-eager", "--max-model-len", "2048", "--limit-mm-per-prompt", '{"audio": 2}'),
    "--enable-prompt-tokens-details",
)


@contextmanager
def running_vllm(
    folder: Path, work: Path, *options: str, **environment: str
) -> Iterator[ServedCheckpoint]:
    """vLLM's own server with a checkpoint, and further options and variables; its log is
    `work/vllm.log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    with (work / "vllm.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port), *_OPTIONS, *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENVIRONMENT, **environment},
            cwd=work,
        )
    try:
        yield _wait(server, f"http://127.0.0.1:{port}/v1", work / "vllm.log")
    finally:
        server.terminate()
        server.wait(60)


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> ServedCheckpoint:
    until = time.monotonic() + TIMEOUT_S
    while server.poll() is None and time.monotonic() < until:
        try:
            return ServedCheckpoint.open(url, retries=0)
        except MossAudioError:
            time.sleep(1.0)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
    pytest.fail(f"vLLM's server did not start:\n{tail}")


@dataclass(frozen=True)
class Served:
    """A checkpoint folder, our model and processor read from it, and what vLLM made of it."""

    recipe: checkpoints.Recipe
    folder: Path
    model: Any
    processor: Any
    answers: dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of a recipe -> its saved folder."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            checkpoints.save(folder, checkpoints.RECIPES[name])
            made[name] = folder
        return made[name]

    return get


@pytest.fixture(scope="session")
def served(
    folders: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Served]:
    """Name of a recipe -> everything its tests compare."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed in this environment: run `make test-interop`")
    made: dict[str, Served | str] = {}

    def get(name: str) -> Served:
        if name not in made:
            work = tmp_path_factory.mktemp(f"{name}-vllm")
            try:
                made[name] = _serve(name, folders(name), work)
            except Exception as error:  # once is enough: starting the engine takes long
                made[name] = str(error)
        found = made[name]
        if isinstance(found, str):
            pytest.fail(found)
        return found

    return get


def _serve(name: str, folder: Path, work: Path) -> Served:
    from moss_audio.model.modeling import MossAudioModel
    from moss_audio.model.processing import MossAudioProcessor

    recipe = checkpoints.RECIPES[name]
    requests: list[dict[str, Any]] = []
    for case in cases.CASES:
        files = []
        for index, samples in enumerate(case.clips()):
            path = work / f"{case.name}-{index}.npy"
            np.save(path, samples)
            files.append(str(path))
        options = {}
        if case.time_markers != recipe.time_markers:  # else the folder decides
            options = {"enable_time_marker": case.time_markers}
        requests.append(
            {"name": case.name, "prompt": case.prompt, "clips": files, "options": options}
        )
    requests.append({"name": cases.CHAT, "messages": cases.chat_messages("audio_url")})
    return Served(
        recipe=recipe,
        folder=folder,
        model=MossAudioModel.from_pretrained(folder).eval(),
        processor=MossAudioProcessor.from_pretrained(folder),
        answers=_run_vllm(folder, recipe, requests, work),
    )


def _run_vllm(
    folder: Path, recipe: checkpoints.Recipe, requests: list[dict[str, Any]], work: Path
) -> dict[str, dict[str, Any]]:
    engine: dict[str, Any] = {  # no trust_remote_code: the plug-in has to do
        "dtype": "float32",
        "enforce_eager": True,
        "max_model_len": 2048,
        "max_num_batched_tokens": 2048,
        "max_num_seqs": 1,
        "limit_mm_per_prompt": {"audio": 2},
        "seed": 0,
    }
    if not recipe.default_caches:
        engine |= {"mm_processor_cache_gb": 0, "enable_prefix_caching": False}
    job, out, log = work / "job.json", work / "out.json", work / "vllm.log"
    job.write_text(
        json.dumps(
            {
                "folder": str(folder),
                "engine": engine,
                "max_tokens": cases.NEW_TOKENS,
                "requests": requests,
            }
        )
    )
    with log.open("w") as file:
        done = subprocess.run(
            [sys.executable, str(_WORKER), str(job), str(out)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENVIRONMENT},
            cwd=work,  # the source tree must not be what makes the import work
            timeout=TIMEOUT_S,
            check=False,
        )
    if done.returncode != 0 or not out.is_file():
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        raise RuntimeError(f"vLLM failed on {folder} (exit {done.returncode}):\n{tail}")
    return {answer["name"]: answer for answer in json.loads(out.read_text())}

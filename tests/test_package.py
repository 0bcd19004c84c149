"""What `pip install` and `import moss_audio` promise, before any model is loaded."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest

import moss_audio

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _name(requirement: str) -> str:
    """The normalised distribution name at the head of a requirement."""
    head = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert head, requirement
    return re.sub(r"[-_.]+", "-", head.group()).lower()


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def test_importing_the_package_brings_in_no_heavy_library() -> None:
    """A command's --help must not wait seconds for torch, so the package never asks for it."""
    code = "import json, sys, moss_audio; dir(moss_audio); print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(_run(code)))
    assert not loaded & {"torch", "transformers", "numpy", "av", "soxr", "huggingface_hub", "rich"}
    assert {name for name in loaded if name.startswith("moss_audio")} == {"moss_audio"}


def test_listening_tells_nobody(tmp_path: Path) -> None:
    """ONNX Runtime, unless it is told otherwise, keeps a number for the device in the home folder
    and sends what it does over the network; in CI it does not by itself."""
    code = "import moss_audio; moss_audio.load('nano', threads=1)"
    kept = {key: value for key, value in os.environ.items()
            if key != "CI" and not key.startswith(("ORT_", "XDG_"))}  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True, env={**kept, "HOME": str(tmp_path)})
    assert not list(tmp_path.rglob("*"))


def test_results_and_errors_load_without_torch() -> None:
    code = (
        "import sys, moss_audio; moss_audio.Word; moss_audio.Transcript; moss_audio.AudioError;"
        "print('torch' in sys.modules)"
    )
    assert _run(code).strip() == "False"


@pytest.mark.parametrize("name", moss_audio.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert name in dir(moss_audio)
    assert getattr(moss_audio, name) is getattr(moss_audio, name)


def test_the_public_list_names_each_thing_once() -> None:
    assert len(moss_audio.__all__) == len(set(moss_audio.__all__))


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="transcibe"):
        moss_audio.transcibe  # noqa: B018
    assert not hasattr(moss_audio, "__wrapped__")  # what inspect and doctest ask of any module


def test_the_installed_version_is_the_one_in_the_source() -> None:
    assert metadata.version("moss-audio") == moss_audio.__version__


def test_the_command_and_the_vllm_plug_in_are_registered() -> None:
    points = {
        (point.group, point.name): point.value
        for point in metadata.distribution("moss-audio").entry_points
    }
    assert points["console_scripts", "moss-audio"] == "moss_audio.cli:main"
    plug_in = points["vllm.general_plugins", "moss_audio"]
    assert plug_in == "moss_audio.model.vllm_plugin:register"


def test_the_typing_marker_travels_with_the_package() -> None:
    assert (Path(moss_audio.__file__).parent / "py.typed").is_file()


def test_every_direct_dependency_is_pinned_inside_its_range() -> None:
    """An unpinned torch would fetch gigabytes; a pin outside the range would install nothing."""
    from packaging.requirements import Requirement

    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {_name(name): version for name, version in pins.items()}
    # Engines that live in environments of their own, and the package itself inside an extra.
    apart = {"vllm", "moss-audio"}
    wanted = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    for text in wanted:
        if _name(text) in apart:
            continue
        assert _name(text) in pins, f"{text} has no pin in constraints.txt"
        assert Requirement(text).specifier.contains(pins[_name(text)]), text
    assert not {"torchvision", "torchaudio", "torchcodec"} & (set(pins) | set(map(_name, wanted)))


def test_the_notice_carries_the_licences_of_the_embedded_parts() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for needed in ("Copyright (c) 2022 OpenAI", "Permission is hereby granted", "SmolLM2-135M"):
        assert needed in notice
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence

"""What the base installation promises: everything but training works where torch is not installed.

Each test runs a process of its own in which any import of torch or transformers fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from moss_audio.model.presets import preset

EXAMPLES = Path(__file__).parents[1] / "examples"
_BLOCKED = "import json, sys; sys.modules.update(dict.fromkeys(('torch', 'transformers')));"
# Imported whole: a module of these that needs torch at its top breaks a command without it.
_ROOMS = (
    "cli", "tasks", "metrics", "evaluate", "annotate", "scenes", "engine", "prompt", "dsp",
    "recordings", "serve",
)  # fmt: skip
_WITH_TORCH = (
    "engine.torch_engine", "engine.torch_runner", "engine.kv",
    "annotate.tools.speech.voice_encoder",
)  # fmt: skip


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _BLOCKED + code, *arguments],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python("from moss_audio.cli import main; sys.exit(main(sys.argv[1:]))", *arguments)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("transcribe", "speech.wav", "-t", "word"), r"^\d+\.\d+ - \d+\.\d+: train$"),
        (("transcribe", "speech.wav", "-f", "srt"), r"^00:00:0\d,\d+ --> 00:00:0\d,\d+$"),
        (("events", "events.wav"), r"^\d+\.\d+ - +\d+\.\d+: .*siren"),
        (("ask", "music.wav", "Is anyone speaking in this recording?"), r"^No\b"),
    ],
    ids=["words", "srt", "events", "ask"],
)
def test_the_commands_listen(arguments: tuple[str, ...], line: str) -> None:
    name, file, *more = arguments
    done = command(name, str(EXAMPLES / file), *more)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(line, done.stdout, re.MULTILINE), done.stdout


def test_info_counts_and_checks() -> None:
    done = command("info", "nano", "--json")
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["ok"], facts["layout"]) == (0, True, "embedded")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "sft", "--config", "none.yaml"),
        ("build-nano", "folder"),
        ("transcribe", str(EXAMPLES / "speech.wav"), "--engine", "torch"),
    ],
    ids=["train", "build-nano", "engine"],
)
def test_what_takes_torch_names_the_extra_in_one_line(arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .* install the extra '\w+', in a clone by .*\n", done.stderr)


def test_a_released_checkpoint_names_the_extra_and_the_export(tmp_path: Path) -> None:
    preset("micro").save_pretrained(tmp_path)
    done = command("transcribe", str(EXAMPLES / "speech.wav"), "--model", str(tmp_path))
    assert done.returncode == 1
    assert re.fullmatch(
        rf"error: .* the extra 'torch'.* moss-audio export {tmp_path} FOLDER\n", done.stderr
    )


def test_classes_of_transformers_name_the_extra() -> None:
    for name in ("MossAudioConfig", "MossAudioModel", "MossAudioProcessor"):
        done = python(
            f"import moss_audio\ntry: moss_audio.{name}\n"
            "except moss_audio.MissingDependencyError as error: print(error)"
        )
        assert done.stdout.startswith(
            f"{name} needs the package 'torch': install the extra 'torch'"
        )


@pytest.mark.parametrize("room", _ROOMS)
def test_every_module_of_a_room_is_importable(room: str) -> None:
    skipped = [f"moss_audio.{name}" for name in _WITH_TORCH]
    code = f"""
import importlib, pkgutil
import moss_audio.{room} as room
for found in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    if found.name not in {skipped!r}:
        importlib.import_module(found.name)
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--help",), 0), (("info", "/no/such/folder"), 1)],
    ids=["help", "info"],
)
def test_what_needs_no_model_loads_nothing_heavy(arguments: tuple[str, ...], code: int) -> None:
    done = python(
        "from moss_audio.cli import main; code = main(sys.argv[1:]);"
        "print(json.dumps([code, *sys.modules]), file=sys.stderr)",
        *arguments,
    )
    exit_code, *loaded = json.loads(done.stderr.splitlines()[-1])
    assert exit_code == code
    assert not {"onnxruntime", "av", "soxr", "huggingface_hub", "tokenizers"} & set(loaded)

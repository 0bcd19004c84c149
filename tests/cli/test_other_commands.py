"""info, build-nano, scenes make, train."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import PROCESSOR_FILE, embedded_folder
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano.build import write_processor_config
from moss_audio.model.presets import preset
from moss_audio.testing.tokenizer import tiny_tokenizer
from moss_audio.train.export import PackedBits
from tests.embedded import NEEDS_NANO

Run = Callable[..., Any]
SPEECH = Path(__file__).parents[2] / "examples" / "speech.wav"


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint in the released layout."""
    folder = tmp_path_factory.mktemp("micro")
    torch.manual_seed(0)
    config = preset("micro", architectures=["MossAudioModel"])
    config.save_pretrained(folder)
    state = {name: t.contiguous() for name, t in MossAudioModel(config).state_dict().items()}
    save_file(state, str(folder / "model.safetensors"))
    tiny_tokenizer().save_pretrained(folder)
    write_processor_config(config, folder)
    return folder


def test_info_names_parts_sizes_and_tokens(run: Run, micro: Path) -> None:
    done = run("info", micro, "--json")
    assert (done.code, done.err) == (0, "")
    facts = json.loads(done.out)
    assert facts["ok"] is True
    stored = load_file(str(micro / "model.safetensors"))
    assert facts["parameters"]["total"] == sum(t.numel() for t in stored.values())
    assert facts["weight_bytes"] == (micro / "model.safetensors").stat().st_size
    assert facts["encoder"]["stem"] == "conv2d"
    assert facts["encoder"]["chunk_s"] == 4.0
    assert facts["encoder"]["taps"] == [0, 1, 2]
    assert facts["decoder"]["family"] == "qwen3"
    assert facts["tokens"] == {"per_second": 12.5, "audio": 384, "start": 385, "end": 386}
    text = run("info", micro)
    assert text.code == 0
    for part in ("conv2d", "qwen3", "4 s", "0, 1, 2", "ok", "384"):
        assert part in text.out


def test_info_says_in_one_line_what_is_wrong(run: Run, micro: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in micro.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    state = load_file(str(micro / "model.safetensors"))
    del state["audio_encoder.conv2.weight"]
    save_file(state, str(broken / "model.safetensors"))
    done = run("info", broken)
    assert done.code == 1
    assert "check         failed" in done.out
    (line,) = done.err.splitlines()
    assert "audio_encoder.conv2.weight" in line
    facts = json.loads(run("info", broken, "--json").out)
    assert facts["ok"] is False
    assert "conv2" in facts["problem"]
    (broken / "model.safetensors").write_bytes(b"short")
    cut = run("info", broken)
    assert cut.code == 1
    assert len(cut.err.splitlines()) == 1


class TestNano:
    pytestmark = NEEDS_NANO

    def test_a_folder_with_the_wrong_prompt_files_is_refused_as_info_says(
        self, run: Run, tmp_path: Path
    ) -> None:
        """Nano without its processor_config.json ended in the index of an embedding: the
        released checkpoints' ids were taken. A damaged tokenizer was "ok" until it was used."""
        for path in embedded_folder().iterdir():
            (tmp_path / path.name).symlink_to(path)
        kept = {name: (tmp_path / name).read_text() for name in (PROCESSOR_FILE, "tokenizer.json")}
        ids = json.loads(kept[PROCESSOR_FILE])
        for name, text, says in (
            (PROCESSOR_FILE, None, "missing; download"),
            (
                PROCESSOR_FILE,
                json.dumps({**ids, "audio_end_id": 7}),
                "audio_end_id is 7, but config",
            ),
            ("tokenizer.json", "{}", "tokenizer is damaged"),
        ):
            path = tmp_path / name
            path.unlink()
            if text is not None:
                path.write_text(text)
            info, used = run("info", tmp_path), run("caption", SPEECH, "--model", tmp_path)
            assert (info.code, used.code) == (1, 1)
            assert info.err == used.err
            (line,) = info.err.splitlines()
            assert str(tmp_path) in line
            assert says in line
            path.write_text(kept[name])
        assert run("info", tmp_path).code == 0


def test_info_of_a_server_says_that_it_has_no_folder(run: Run) -> None:
    done = run("info", "http://127.0.0.1:8000/v1")
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "server" in done.err


@pytest.mark.parametrize("name", ["no/such/folder", "nothing", "."])
def test_info_of_what_is_no_checkpoint(run: Run, name: str, tmp_path: Path) -> None:
    done = run("info", tmp_path if name == "." else name)
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)


def test_build_nano_builds_and_does_not_replace(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def build(folder: Path, seed: int, whisper: Any, smollm2: Any, report: Any) -> None:
        seen.append((folder, seed, whisper, smollm2))
        report("encoder")
        folder.mkdir(exist_ok=True)
        (folder / "trained.safetensors").touch()

    monkeypatch.setattr("moss_audio.model.nano.build.build", build)
    folder = tmp_path / "nano"
    done = run("build-nano", folder, "--seed", 3, "--whisper", tmp_path / "w", "--smollm2", "s")
    assert (done.code, done.out, done.err) == (0, f"{folder}\n", "encoder\n")
    assert seen == [(folder, 3, tmp_path / "w", Path("s"))]
    again = run("build-nano", folder)
    assert again.code == 1
    assert "--overwrite" in again.err
    assert run("build-nano", folder, "--overwrite").code == 0


def test_build_nano_checks_its_parts(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "model.bin"
    wrong.write_bytes(b"something else")
    done = run("build-nano", tmp_path / "nano", "--whisper", wrong)
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "SHA-256" in done.err


def test_scenes_make_calls_the_maker(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        "moss_audio.scenes.make.make",
        lambda config, out, *, workers, **_: seen.append((config, out, workers)) or out,
    )
    done = run("scenes", "make", tmp_path / "c.yaml", tmp_path / "out", "--workers", 3)
    assert (done.code, done.out) == (0, f"{tmp_path / 'out'}\n")
    assert seen == [(tmp_path / "c.yaml", tmp_path / "out", 3)]


def test_scenes_make_names_a_wrong_configuration(run: Run, tmp_path: Path) -> None:
    missing = run("scenes", "make", tmp_path / "c.yaml", tmp_path / "out")
    assert (missing.code, len(missing.err.splitlines())) == (1, 1)
    (tmp_path / "c.yaml").write_text("seed: 1\nloudness: 3\n")
    done = run("scenes", "make", tmp_path / "c.yaml", tmp_path / "out")
    assert done.code == 1
    assert "loudness" in done.err


def test_train_passes_overrides_as_yaml(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def main(config: Path, overrides: dict[str, Any]) -> bool:
        seen.append((config, overrides))
        return "stop" not in overrides

    for stage in ("align", "sft"):
        monkeypatch.setattr(f"moss_audio.train.{stage}.main", main)
    config = tmp_path / "c.yaml"
    done = run(
        "train", "align", "--config", config, "--set", "loop.steps=5", "--set", "model=a=b",
        "--set", "tasks={word: 1.5}", "--set", "scenes=",
    )  # fmt: skip
    assert done.code == 0
    wanted = {"loop.steps": 5, "model": "a=b", "tasks": {"word": 1.5}, "scenes": None}
    assert seen == [(config, wanted)]
    assert run("train", "sft", "-c", config, "--set", "stop=1").code == 130


def test_train_average_hands_on_folders_weights_and_bits(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr("moss_audio.train.average.average", lambda *a: seen.append(a))
        done = run(
            "train", "average", "nano", embedded_folder(), "-o", out, "--weight", "1",
            "--weight", "3", "--lora-bits", "8",
        )  # fmt: skip
    assert done.code == 0, done.err
    assert seen == [
        ([embedded_folder(), embedded_folder()], out, [1.0, 3.0], PackedBits(5, 4, 8, 8))
    ]
    lonely = run("train", "average", "nano", "-o", out)
    assert lonely.code == 1
    assert "two checkpoints" in lonely.err
    odd = run("train", "average", "nano", "nano", "-o", out, "--lora-bits", "7")
    assert "lora_bits must be one of" in odd.err


def test_train_names_what_is_wrong_with_a_configuration(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    assert "cannot be read" in run("train", "sft", "-c", config).err
    config.write_text("model: x\nspeed: 3\n")
    done = run("train", "sft", "-c", config, "--set", "loop.stepz=5")
    assert done.code == 1
    (line,) = done.err.splitlines()
    for field in ("speed", "loop.stepz", "data"):
        assert field in line
    bad = run("train", "sft", "-c", config, "--set", "loop={")
    assert bad.code == 1
    assert "not YAML" in bad.err


def test_an_error_on_several_lines_is_still_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(config: Path, overrides: Any) -> bool:
        raise MossAudioError("first\nsecond")

    monkeypatch.setattr("moss_audio.train.sft.main", main)
    assert run("train", "sft", "-c", tmp_path / "c").err == "error: first second\n"

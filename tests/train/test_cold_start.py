"""Cold start end to end on a nano in miniature that has no think tokens: the new rows, a result
that holds only what is new, both engines, thinking on and off, a killed run."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import moss_audio
from moss_audio.errors import CheckpointError, MossAudioError
from moss_audio.model.checkpoint import PARTS_FILE, Checkpoint, part_files
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano import parts as nano
from moss_audio.model.nano.packed import PackedFile
from moss_audio.model.nano.thinking import add_think_tokens
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.train import checkpoint, cold_start, sft
from moss_audio.train.rl.policy import PolicyWeights
from moss_audio.train.setup import load_for_training
from tests.scene_files import MUSIC, RATE, SILENCE, SPEECH, write_shard
from tests.train.conftest import write_model
from tests.train.helpers import assert_same_checkpoints, killed

SOUNDS = (("bell", 0.2, 0.8), ("dog barking", 1.4, 3.0), ("rain", 3.6, 3.9))
SCENE: tuple[str, float, dict[str, Any]] = (
    "events", 4.2,
    {"events": [{"label": n, "start": s, "end": e, "source": "made"} for n, s, e in SOUNDS]},
)  # fmt: skip


@pytest.fixture(scope="session")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)

    def sound(number: int, kind: str, seconds: float) -> np.ndarray:
        return 3000 * rng.standard_normal(round(seconds * RATE))

    speech: tuple[str, float, dict[str, Any]] = ("speech", 1.0, SPEECH)
    return write_shard(tmp_path_factory.mktemp("reason"), [SCENE, speech, MUSIC, SILENCE], sound)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", think_tokens=False, heads=2)


@pytest.fixture
def write_cold_start(
    write_config: Callable[..., Path], scenes_folder: Path, tmp_path: Path
) -> Callable[..., Path]:
    def write(name: str, **fields: Any) -> Path:
        scenes = {"kind": "scenes", "path": str(scenes_folder), "split": "train"}
        data = {
            "sources": [
                {**scenes, "name": "clips", "group": "audio",
                 "tasks": {"reason": 0.6, "reason_off": 0.2, "reason_direct": 0.2}},
                {**scenes, "kind": "thoughts", "name": "text", "group": "text", "examples": 40},
                {**scenes, "name": "before", "group": "before"},
            ],
            "groups": {"audio": 0.4, "text": 0.4, "before": 0.2},
            "batch_tokens": 300,
            "endless": True,
        }  # fmt: skip
        values = {
            "output": str(tmp_path / f"out-{name}"),
            "lora_rank": 4,
            "lora_lr": 1e-2,
            **fields,
        }
        return write_config(name, data=data, **values)

    return write


def test_new_tokens_change_nothing_that_was_there(model_folder: Path, tmp_path: Path) -> None:
    assert not Checkpoint.open(model_folder).can_think
    folder = add_think_tokens(model_folder, tmp_path / "far" / "thinks")
    assert Checkpoint.open(folder).can_think
    before, after = (
        MossAudioModel.from_pretrained(model_folder),
        MossAudioModel.from_pretrained(folder),
    )
    table, wider = before.lm_head.weight, after.lm_head.weight
    assert wider.shape[0] == table.shape[0] + 2
    assert torch.equal(wider[:-2], table)
    assert not torch.equal(wider[-2], wider[-1])
    assert after.lm_head.weight is after.get_input_embeddings().weight
    size = table.shape[0]
    for tokenizer in (
        MossAudioProcessor.from_pretrained(folder).tokenizer,
        moss_audio.load(folder, engine="onnx").engine.tokenizer,
    ):
        assert tokenizer.backend_tokenizer.token_to_id("<think>") == size
        assert tokenizer.backend_tokenizer.token_to_id("</think>") == size + 1
        assert tokenizer.decode([size, size + 1], skip_special_tokens=True) == "<think></think>"
    # of the source nothing is copied but what describes it
    assert not [p for p in folder.glob("*.safetensors") if p.name != nano.TRAINED_FILE]
    assert (folder / nano.TRAINED_FILE).stat().st_size < 2000
    opened = Checkpoint.open(folder)
    assert opened.thinks is False
    assert opened.weight_files == [
        *(model_folder / name for name in (nano.ENCODER_FILE, nano.DECODER_FILE)),
        model_folder / nano.TRAINED_FILE, folder / nano.TRAINED_FILE,
    ]  # fmt: skip


def test_a_base_that_is_gone_or_changed_is_noticed(model_folder: Path, tmp_path: Path) -> None:
    folder = add_think_tokens(model_folder, tmp_path / "thinks")
    again, unread = Checkpoint.open(folder), Checkpoint.open(folder)
    assert again.fingerprint == Checkpoint.open(folder).fingerprint
    with (model_folder / nano.ENCODER_FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(CheckpointError, match="have changed since it was loaded"):
        _ = unread.fingerprint
    assert Checkpoint.open(folder).fingerprint != again.fingerprint
    model_folder.rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"its base '../model' is no embedded checkpoint"):
        part_files(folder)
    values = json.loads((folder / PARTS_FILE).read_text())
    (folder / PARTS_FILE).write_text(json.dumps({**values, "base": "."}))
    with pytest.raises(CheckpointError, match="leads to itself"):
        part_files(folder)


def test_it_learns_exports_and_thinks_on_both_engines(
    write_cold_start: Callable[..., Path],
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_cold_start("a", loop_steps=40, text_problems=1, loop_evaluate_every=40)
    lines: list[str] = []
    monkeypatch.setattr(cold_start, "log_to", lambda path: lines.append)
    assert cold_start.main(path)
    run, out = tmp_path / "run-a", tmp_path / "out-a"
    seen = [float(line.split(" loss ")[1].split()[0]) for line in lines if " loss " in line]
    assert np.mean(seen[-5:]) < 0.8 * np.mean(seen[:5])
    assert any(line.startswith("held out at step 40: text seen") for line in lines)
    # rows that learnt, and only what is new
    started = nano.load_trained(run / "start")[nano.THINK_ROWS]
    trained = nano.load_trained(out)
    assert (trained[nano.THINK_ROWS] - started).abs().amax(1).min() > 1e-3
    assert set(PackedFile(out / nano.TRAINED_FILE)) == {
        name for name in trained if name.startswith("language_model") or name == nano.THINK_ROWS
    } | {nano.AUDIO_ROWS}
    files = {p.name for p in out.glob("*.safetensors")}
    assert files == {nano.TRAINED_FILE}
    for name, tensor in nano.load_trained(model_folder).items():
        if name.startswith("audio_adapter"):
            assert torch.equal(trained[name], tensor)  # frozen: those of the base
    texts = {}
    clip = np.random.default_rng(1).standard_normal(2 * RATE).astype(np.float32) * 0.1
    for engine in ("torch", "onnx"):
        m = moss_audio.load(out, engine=engine)
        for thinking in (True, False, None):
            answer = m.ask(
                (clip, RATE), "Which sound is longest?", thinking=thinking, max_new_tokens=24
            )
            texts[engine, thinking] = answer.raw
    assert texts["torch", True].startswith("<think>\n")
    assert "<think>" not in texts["torch", False]
    for thinking in (True, False, None):
        assert texts["torch", thinking] == texts["onnx", thinking]


def test_exported_rows_answer_as_the_live_objective(
    write_cold_start: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_cold_start("live", loop_steps=3, lora_bits=16)
    assert cold_start.main(path)
    config = cold_start.load_config(path, cold_start.ColdStartConfig)
    start = tmp_path / "run-live" / "start"
    model, tokenizer, spec = load_for_training(start)
    dtype = cold_start.prepare(model, config, start)
    ids = [tokenizer.convert_tokens_to_ids(mark) for mark in ("<think>", "</think>")]
    objective = sft.objective_of(model, spec, dtype, config, None, think_ids=ids)
    last = checkpoint.read_tensors(tmp_path / "run-live" / "checkpoint-3")
    for name, parameter in objective.trained().items():
        parameter.data.copy_(last[checkpoint.WEIGHT + name])
    merged = PolicyWeights(objective, config.lora.scaling).merged()
    exported = MossAudioModel.from_pretrained(Path(config.output), dtype=torch.float32)
    state = exported.state_dict()
    for name in (nano.EMBEDDING, "language_model.layers.0.mlp.up_proj.weight"):
        torch.testing.assert_close(state[name], merged[name], atol=2e-3, rtol=1e-3)
    assert not torch.equal(state[nano.EMBEDDING][ids], model.state_dict()[nano.EMBEDDING][ids])
    # the head of the live objective has the rows, too
    hidden = torch.randn(3, 32)
    expected = hidden @ merged[nano.EMBEDDING].T
    text = [i for i in range(len(expected[0])) if i not in objective.audio_ids]
    found = objective.logits(hidden)
    torch.testing.assert_close(found[:, text], expected[:, text], atol=1e-5, rtol=1e-5)
    assert (found - hidden @ model.lm_head.weight.T)[:, ids].abs().max() > 1e-4


def test_a_killed_run_goes_on_to_the_weights_of_an_unbroken_one(
    write_cold_start: Callable[..., Path], tmp_path: Path
) -> None:
    options = {"loop_accumulate": 2, "loop_save_every_s": 0.0}
    assert cold_start.main(write_cold_start("whole", **options))
    parts = write_cold_start("parts", **options)
    assert killed(cold_start, parts, "step 4/") == signal.SIGKILL
    assert cold_start.main(parts)
    ends = (tmp_path / f"run-{name}" / "checkpoint-6" for name in ("whole", "parts"))
    assert any(name.endswith("think") for name in assert_same_checkpoints(*ends))


def test_a_plain_result_has_the_rows(write_cold_start: Callable[..., Path]) -> None:
    config = write_cold_start("plain", form="plain", loop_steps=2, thinks=True)
    assert cold_start.main(config)
    out = Path(cold_start.load_config(config, cold_start.ColdStartConfig).output)
    opened = Checkpoint.open(out)
    assert (opened.layout, opened.thinks) == ("released", True)
    assert Checkpoint.open(out).can_think


def test_a_stored_lora_that_goes_on_is_not_written_into_weights_that_hold_it(
    write_cold_start: Callable[..., Path],
) -> None:
    first = write_cold_start("first", loop_steps=2)
    assert cold_start.main(first)
    stored = str(cold_start.load_config(first, cold_start.ColdStartConfig).output)
    config = write_cold_start("on", model=stored, lora_start="stored", form="plain", loop_steps=2)
    with pytest.raises(MossAudioError, match="leave out form: plain"):
        cold_start.main(config)


def test_what_does_not_belong_to_the_stage_is_refused(
    write_cold_start: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(MossAudioError, match="align_weight: text alone has no alignment loss"):
        cold_start.main(write_cold_start("x", align_weight=0.1))
    other = write_model(tmp_path / "other", think_tokens=False, heads=2)
    add_think_tokens(other, tmp_path / "run-y" / "start")
    with pytest.raises(MossAudioError, match="start: made from another model than"):
        cold_start.main(write_cold_start("y"))

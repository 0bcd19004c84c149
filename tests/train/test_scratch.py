"""From an encoder of noise to joint training: the stages `encoder` and `pretrain`."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from moss_audio.data.config import DataConfig, SourceConfig
from moss_audio.errors import MossAudioError
from moss_audio.model.modeling import MossAudioModel
from moss_audio.train import encoder, pretrain
from moss_audio.train.data import Phase, PhasedLoader, only
from tests.train.helpers import assert_same_checkpoints, killed, losses

WriteConfig = Callable[..., Path]
HEAD = {"head_width": 32, "head_layers": 1}


def _encoder_config(write_config: WriteConfig, name: str, tmp_path: Path, **more: Any) -> Path:
    return write_config(name, output=str(tmp_path / name), **HEAD, **more)


def test_an_encoder_from_scratch_lowers_its_loss_and_replaces_the_old_one(
    write_config: WriteConfig, tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _encoder_config(
        write_config, "run", tmp_path, learning_rate=5e-3, loop_steps=30, loop_log_every=10
    )
    seen = losses(encoder, config, monkeypatch)
    assert seen[-1] < 0.8 * seen[0]
    before = MossAudioModel.from_pretrained(model_folder, dtype=torch.float32).state_dict()
    after = MossAudioModel.from_pretrained(tmp_path / "run", dtype=torch.float32).state_dict()
    for name, tensor in before.items():
        if name.startswith("audio_encoder."):
            assert not torch.equal(after[name], tensor), name
        else:
            assert torch.equal(after[name], tensor), name


@pytest.mark.parametrize("stage", [encoder, pretrain], ids=["encoder", "pretrain"])
def test_killed_and_resumed_they_come_to_the_same_weights(
    stage: Any, write_config: WriteConfig, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"loop_save_every_s": 0.0}
    if stage is encoder:
        options |= HEAD
    else:
        options["curriculum"] = [
            {"start": 0.0, "tasks": ["transcribe"]},
            {"start": 0.5, "tasks": ["transcribe", "events", "caption", "ask"]},
        ]
    whole, parts = (
        write_config(name, output=str(tmp_path / name), **options) for name in ("whole", "parts")
    )
    assert stage.main(whole)
    assert killed(stage, parts, "step 4/") == signal.SIGKILL
    assert stage.main(parts)
    ends = (tmp_path / f"run-{name}" / "checkpoint-6" for name in ("whole", "parts"))
    assert_same_checkpoints(*ends)


def test_the_stem_of_a_fresh_encoder_speaks_louder_than_the_positions(model_folder: Path) -> None:
    model = MossAudioModel.from_pretrained(model_folder, dtype=torch.float32)
    mel = torch.randn(1, 16, 200, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.5
    encoder.fresh(model.audio_encoder, mel)
    stem = model.audio_encoder
    with torch.no_grad():
        x = stem.conv2(torch.nn.functional.gelu(stem.conv1(mel)))
    assert float(x.std()) == pytest.approx(1.0, abs=0.05)
    assert float(x.mean()) == pytest.approx(0.0, abs=0.05)


def _text(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "text.jsonl"
    lines = [
        {"conversation": [
            {"role": "user", "message_type": "text", "content": f"the {word}"},
            {"role": "assistant", "message_type": "text", "content": word},
        ]}
        for word in ("user", "system", "ing", "ou")
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"kind": "jsonl", "path": str(path), "group": "text"}


def test_everything_learns_text_joins_and_the_loss_falls(
    write_config: WriteConfig, tmp_path: Path, scenes_folder: Path, model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    scenes = {"kind": "scenes", "path": str(scenes_folder), "split": "train", "group": "speech"}
    data = {
        "sources": [scenes, _text(tmp_path)],
        "groups": {"speech": 0.7, "text": 0.3},
        "endless": True,
    }
    rates = {"encoder_lr": 2e-3, "adapter_lr": 5e-3, "decoder_lr": 5e-3}
    config = write_config(
        "run", output=str(tmp_path / "out"), data=data, form="plain", loop_steps=30,
        loop_log_every=10, **rates,
    )  # fmt: skip
    seen = losses(pretrain, config, monkeypatch)
    assert seen[-1] < 0.8 * seen[0]
    before = MossAudioModel.from_pretrained(model_folder, dtype=torch.float32).state_dict()
    after = MossAudioModel.from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    assert all(not torch.equal(after[name], tensor) for name, tensor in before.items())


def _mixture(**more: Any) -> DataConfig:
    sources = (
        SourceConfig("scenes", "a", split="train", group="speech"),
        SourceConfig("csv", "b", group="captions", tasks={"caption": 1.0}),
        SourceConfig("jsonl", "c", group="text"),
    )
    groups = {"speech": 0.3, "captions": 0.4, "text": 0.3}
    return DataConfig(sources, groups, batch_tokens=10, **more)


def test_a_part_of_a_mixture_has_its_tasks_and_groups_and_nothing_else() -> None:
    part = only(_mixture(), ["caption", "text"])
    assert [s.kind for s in part.sources] == ["scenes", "csv", "jsonl"]
    shares = part.sources[0].tasks
    assert shares is not None
    assert {task for table in shares.values() for task in table} == {"caption"}
    part = only(_mixture(), ["transcribe"])
    assert [s.kind for s in part.sources] == ["scenes"]
    assert dict(part.groups) == {"speech": 0.3}
    with pytest.raises(MossAudioError, match="no source has any of"):
        only(_mixture(), ["nothing"])


class _Counted:
    """Gives its phase's seed and a number, in epochs of three."""

    def __init__(self, config: DataConfig, state: Any) -> None:
        self.name, self.at = config.seed, 0 if state is None else state["at"]

    def __iter__(self) -> Any:
        for _ in range(3):
            self.at += 1
            yield (self.name, self.at)

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}


def test_phases_change_at_their_steps_and_resume_anywhere() -> None:
    phases = (Phase(0.0, ("transcribe",)), Phase(0.25, ("caption",)), Phase(0.5, ("text",)))

    def loader(state: Any = None) -> PhasedLoader:
        return PhasedLoader(_mixture(), phases, 8, 2, _Counted, state)

    def take(one: PhasedLoader, count: int) -> list[Any]:
        batches = iter(one)
        return [next(batches) for _ in range(count)]

    whole = take(loader(), 16)
    assert [name for name, _ in whole] == [0] * 4 + [1] * 4 + [2] * 8
    assert [at for _, at in whole] == [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8]
    for done in range(1, 16):
        first = loader()
        take(first, done)
        state = json.loads(json.dumps(first.state_dict()))
        assert take(loader(state), 16 - done) == whole[done:]


def test_a_run_that_resumes_with_more_steps_goes_on_in_the_phase_that_they_ask_for() -> None:
    phases = (Phase(0.0, ("transcribe",)), Phase(0.5, ("caption",)))

    def loader(steps: int, state: Any = None) -> PhasedLoader:
        return PhasedLoader(_mixture(), phases, steps, 1, _Counted, state)

    first = iter(before := loader(8))
    assert [next(first) for _ in range(5)][-1] == (1, 1)
    asked: list[int] = []

    class Checked(_Counted):
        """As the real one: a state belongs to the mixture that it was saved with."""

        def __init__(self, config: DataConfig, state: Any) -> None:
            super().__init__(config, state)
            if state is not None:
                asked.append(config.seed)

    state = json.loads(json.dumps(before.state_dict()))
    after = iter(PhasedLoader(_mixture(), phases, 40, 1, Checked, state))
    assert asked == [1]
    assert next(after)[0] == 0  # the first phase lasts until step 20 now
    with pytest.raises(MossAudioError, match="stopped in phase 2, and there are 1"):
        PhasedLoader(_mixture(), phases[:1], 8, 1, _Counted, state)


@pytest.mark.parametrize("starts", [[0.5], [0.0, 0.0], [0.0, 1.0], [0.0, 0.5, 0.2]])
def test_phases_out_of_order_are_refused(
    starts: list[float], write_config: WriteConfig, tmp_path: Path
) -> None:
    curriculum = [{"start": s, "tasks": ["transcribe"]} for s in starts]
    config = write_config("run", output=str(tmp_path / "out"), curriculum=curriculum)
    with pytest.raises(MossAudioError, match="curriculum: phases start at"):
        pretrain.main(config)

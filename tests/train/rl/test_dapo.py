"""The stage: it learns, and a run that was killed ends with the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from moss_audio.data.batch import SetAside
from moss_audio.data.collate import Collator
from moss_audio.data.example import Example
from moss_audio.errors import MossAudioError
from moss_audio.model.modeling import MossAudioModel
from moss_audio.train import checkpoint, dapo
from moss_audio.train.rl.loss import PolicyTerms
from moss_audio.train.rl.policy import DapoObjective, RolloutBatch
from moss_audio.train.rl.rollout_engine import EngineRollouts
from tests.train.helpers import killed, torchrun
from tests.train.rl.conftest import Useful, share_of

pytestmark = pytest.mark.usefixtures("by_letters")


def _trained(config: Path, folder: Path) -> dict[str, torch.Tensor]:
    found = checkpoint.latest(folder)
    assert found is not None
    return checkpoint.read_tensors(found)


@pytest.mark.parametrize(("updates", "kind"), [(1, "torch"), (2, "torch"), (1, "onnx")])
def test_a_killed_run_ends_with_the_same_weights(
    write_dapo: Callable[..., Path],
    tmp_path: Path,
    updates: int,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    how = {
        "updates_per_rollout": updates,
        "rollouts": {"kind": kind},
        "loop_save_every_s": 0.0,
        "loop_log_every": 1,
    }
    whole, parts = write_dapo("whole", **how), write_dapo("parts", **how)
    lines: list[str] = []
    monkeypatch.setattr(dapo, "log_to", lambda path: lines.append)
    assert dapo.main(whole)
    norms = [float(line.split(" grad ")[1].split()[0]) for line in lines if " grad " in line]
    assert len(norms) == 4
    assert min(norms) > 0  # else nothing would be compared
    # with all of a rollout sampled; and, of two updates on it, after the first was saved
    for line in ("rollout 2:", "step 4/"):
        assert killed(dapo, parts, line) == 9
    monkeypatch.setattr(dapo, "log_to", lambda path: lambda line: None)
    assert dapo.main(parts)
    expected, found = (_trained(c, tmp_path / f"run-{c.stem}") for c in (whole, parts))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    assert MossAudioModel.from_pretrained(tmp_path / "out-parts", dtype=torch.float32)


def test_the_second_update_on_a_rollout_knows_the_first(
    write_dapo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ratio is that to the weights that sampled, not to those of the moment."""
    seen: list[tuple[RolloutBatch, PolicyTerms]] = []
    forward = DapoObjective.forward

    def watched(objective: DapoObjective, batch: Any, counts: Any) -> torch.Tensor:
        loss = forward(objective, batch, counts)
        seen.append((batch, objective.figures[-1]))
        return loss

    monkeypatch.setattr(DapoObjective, "forward", watched)
    config = write_dapo("two", updates_per_rollout=2, loop_steps=2, loop_accumulate=1)
    assert dapo.main(config)
    (first, begun), (second, moved) = seen
    for batch in (first, second):
        assert len(batch.sampled) > 0
        assert batch.before is not None
        torch.testing.assert_close(batch.before, batch.sampled, rtol=0, atol=1e-5)
    torch.testing.assert_close(begun.ratio, torch.ones_like(begun.ratio), rtol=0, atol=1e-5)
    assert float((moved.ratio - 1).abs().max()) > 1e-3


def test_what_has_changed_is_told_at_resumption(
    write_dapo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(dapo, "log_to", lambda path: lines.append)
    assert dapo.main(write_dapo("same", loop_steps=1))
    assert dapo.main(write_dapo("same", loop_steps=2))
    assert not any(line.startswith("rollout 1: changed") for line in lines)
    assert dapo.main(write_dapo("same", loop_steps=3, loss={"clip_high": 0.3}))
    assert any("rollout 2: changed since: loss.clip_high 0.28 -> 0.3;" in line for line in lines)
    with pytest.raises(MossAudioError, match=r"the data changed .* seed was 3 and is 4"):
        dapo.main(write_dapo("same", loop_steps=4, data={"seed": 4}))


def test_groups_that_are_all_alike_are_replaced_and_at_last_left_out(
    write_dapo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(dapo, "log_to", lambda path: lines.append)
    flat = {"groups": {"prompts_per_step": 2, "answers": 2, "max_refills": 2}, "loop_steps": 1}
    monkeypatch.setattr(dapo.Rewards(None).__class__, "parts", _alike)
    assert dapo.main(write_dapo("flat", **flat))
    assert any(line.startswith("rollout 1: 8 prompts") and "kept 0" in line for line in lines)
    strict = {**flat, "groups": {**flat["groups"], "when_short": "error"}}
    with pytest.raises(MossAudioError, match="0 of 2 groups have answers of different worth"):
        dapo.main(write_dapo("strict", **strict))


def _alike(*_: object) -> dict[str, float]:
    return {"correct": 1.0, "reasoning": 0.0, "quality": 0.0, "format": 0.0}


def test_what_does_not_go_together_is_told(write_dapo: Callable[..., Path]) -> None:
    with pytest.raises(MossAudioError, match=r"loss\.kl: the reference is the policy without"):
        dapo.main(write_dapo("kl", loss={"kl": 0.1}))
    with pytest.raises(MossAudioError, match=r"sampling\.top_k 1 draws nothing"):
        dapo.main(write_dapo("greedy", sampling={"top_k": 1}))
    with pytest.raises(MossAudioError, match=r"sampling\.top_k 1000: .* has [0-9]+ tokens to draw"):
        dapo.main(write_dapo("all", sampling={"top_k": 1000}))
    with pytest.raises(MossAudioError, match="lora_dropout: the policy that samples has none"):
        dapo.main(write_dapo("dropped", lora_dropout=0.1))
    with pytest.raises(MossAudioError, match=r"max_new_tokens 2048: no position of .* is left"):
        dapo.main(write_dapo("endless", sampling={"max_new_tokens": 2048, "top_k": 5}))
    masked = {"augment": {"spec_mask_share": 0.2}}
    with pytest.raises(MossAudioError, match="spec_mask_share: what samples hears no masks"):
        dapo.main(write_dapo("masked", data=masked))
    drills = {"kind": "drills", "path": "x", "split": "train"}
    with pytest.raises(MossAudioError, match="reader drills belong to sft"):
        dapo.main(write_dapo("drills", data={"sources": [drills]}))
    moved = {"kind": "scenes", "path": "x", "split": "train", "begin_s": [0, 60]}
    with pytest.raises(MossAudioError, match="begin_s: answers are sampled about whole clips"):
        dapo.main(write_dapo("moved", data={"sources": [moved]}))


def test_a_prompt_that_is_too_long_is_left_out(
    write_dapo: Callable[..., Path], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too long for `data.max_tokens`, or for the model: a prompt and an answer of eight tokens."""
    most: set[int | None] = set()
    lengths, aside, asked = [], [], []
    fitted, sample = Collator.fitted, EngineRollouts.sample

    def fitting(collator: Collator, example: Example) -> Any:
        most.add(collator.max_tokens)
        found = fitted(collator, example)
        if isinstance(found, SetAside):
            aside.append(found)
        else:
            lengths.append(len(found.rendered.input_ids))
        return found

    def sampled(rollouts: EngineRollouts, prompts: Any, answers: int) -> Any:
        asked.extend(prompts)
        return sample(rollouts, prompts, answers)

    monkeypatch.setattr(Collator, "fitted", fitting)
    monkeypatch.setattr(EngineRollouts, "sample", sampled)
    one = {"loop_steps": 1, "groups": {"prompts_per_step": 12, "answers": 2, "max_refills": 0}}
    assert dapo.main(write_dapo("all", **one))
    assert (most, aside) == ({2048 - 8}, [])
    limit = sorted(lengths)[6]
    for name, how in (("data", {"data": {"max_tokens": limit}}), ("model", {})):
        if name == "model":
            values = json.loads((model_folder / "config.json").read_text())
            values["language_config"]["max_position_embeddings"] = limit + 8
            (model_folder / "config.json").write_text(json.dumps(values))
        for found in (most, lengths, aside, asked):
            found.clear()  # type: ignore[attr-defined]
        assert dapo.main(write_dapo(name, **one, **how))
        assert most == {limit}
        assert max(lengths) <= limit
        assert len(asked) == len(lengths) == 12
        assert aside


@pytest.mark.slow
@pytest.mark.parametrize("name", ["half", "flat"])
def test_processes_without_a_useful_group_wait_for_nobody(
    write_dapo: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    """The groups of one process are all alike, or those of both: the run ends, no example is asked
    about twice in an epoch, and both have the same weights."""
    config = write_dapo(
        name, loop_steps=2, groups={"prompts_per_step": 2, "answers": 2, "max_refills": 1}
    )
    torchrun("rollouts", str(config))
    weights = _trained(config, tmp_path / f"run-{name}")
    moved = any(t.any() for n, t in weights.items() if n.endswith("lora_B.default.weight"))
    assert moved is (name == "half")


# one example a batch, so that two processes take the same ones as one does
_STEP = {
    "data": {"batch_tokens": 1, "endless": True},
    "groups": {"prompts_per_step": 4, "answers": 4, "max_refills": 0},
    "loop_steps": 1,
    "loop_clip_norm": 1e9,
}


def _gradient(config: Path, tmp_path: Path) -> dict[str, torch.Tensor]:
    """Of the one step of a run, as the optimiser has seen it."""
    weights = _trained(config, tmp_path / f"run-{config.stem}")
    found = {n: t for n, t in weights.items() if n.endswith(".exp_avg")}
    assert sum(float(t.abs().max()) > 1e-5 for t in found.values()) > 20
    return found


def _check_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-7, msg=name)


def test_eight_micro_batches_are_one(write_dapo: Callable[..., Path], tmp_path: Path) -> None:
    """Four groups: half of the eight are empty."""
    whole = write_dapo("whole", **_STEP, loop_accumulate=1)
    parts = write_dapo("parts", **_STEP, loop_accumulate=8)
    assert dapo.main(whole)
    assert dapo.main(parts)
    _check_same(_gradient(parts, tmp_path), _gradient(whole, tmp_path))


def test_activations_that_are_computed_again_are_the_same(
    write_dapo: Callable[..., Path], tmp_path: Path
) -> None:
    plain = write_dapo("plain", **_STEP)
    again = write_dapo("again", **_STEP, loop_gradient_checkpointing=True)
    assert dapo.main(plain)
    assert dapo.main(again)
    _check_same(_gradient(again, tmp_path), _gradient(plain, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["both", "half"])
def test_two_processes_are_one(
    write_dapo: Callable[..., Path], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `half` no answer of the second process teaches anything."""
    one, two = (write_dapo(f"{n}-{name}", **_STEP, loop_accumulate=1) for n in ("one", "two"))
    useful = {id for rank in range(1 if name == "half" else 2) for id in share_of(one, rank)}
    assert len(useful) == (2 if name == "half" else 4)
    monkeypatch.setattr(dapo, "Rewards", lambda *_: Useful(useful))
    assert dapo.main(one)
    torchrun("shares", str(two))
    _check_same(_gradient(two, tmp_path), _gradient(one, tmp_path))

"""The stage: it learns, and a run that was killed ends with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from moss_audio.errors import MossAudioError
from moss_audio.model.modeling import MossAudioModel
from moss_audio.train import checkpoint, dapo
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
    moved = {"kind": "scenes", "path": "x", "split": "train", "begin_s": [0, 60]}
    with pytest.raises(MossAudioError, match="begin_s: answers are sampled about whole clips"):
        dapo.main(write_dapo("moved", data={"sources": [moved]}))


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

"""Which rollouts stay on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from moss_audio.errors import MossAudioError
from moss_audio.train.rl import store
from moss_audio.train.rl.policy import RolloutBatch

_TENSORS = (
    "input_ids", "labels", "position_ids", "audio_input_mask", "audio_data", "audio_data_seqlens",
    "longest", "targets", "places", "kept", "sampled", "advantage", "before",
)  # fmt: skip


def _batch(value: float) -> RolloutBatch:
    tensors: dict[str, Any] = {name: torch.full((1,), value) for name in _TENSORS}
    return RolloutBatch(
        **tensors, segments=[[1]], audio_s=value, ids=["x"], words=[], sounds=[], follows=[-1],
        clips_of=[(0, 3)],
    )  # fmt: skip


def _save(folder: Path, rollout: int, rank: int = 0, keep: int = 2) -> Path:
    path = store.path_of(folder, rollout, rank)
    store.save(path, [_batch(float(rollout))], keep)
    return path


def test_a_rollout_comes_back_and_the_newest_stay(tmp_path: Path) -> None:
    for rollout in range(8, 13):
        path = _save(tmp_path, rollout)
    _save(tmp_path, 1, rank=1)
    names = {f"rollout-{n}-rank-{r}.safetensors" for n, r in ((11, 0), (12, 0), (1, 1))}
    assert {one.name for one in tmp_path.iterdir()} == names
    (found,) = store.load(path)
    assert torch.equal(found.targets, torch.tensor([12.0]))
    assert found.before is not None
    assert torch.equal(found.before, torch.tensor([12.0]))
    assert found.clips_of == [(0, 3)]


def test_what_an_earlier_run_left_does_not_push_out_what_was_just_written(tmp_path: Path) -> None:
    """It started in the same folder, and went further; of other processes the files stay."""
    for rollout in (7, 8):
        _save(tmp_path, rollout)
        _save(tmp_path, rollout, rank=1)
    path = _save(tmp_path, 2)
    assert store.load(path)[0].audio_s == 2.0
    left = {one.name for one in tmp_path.iterdir()}
    assert left == {path.name, *(f"rollout-{n}-rank-1.safetensors" for n in (7, 8))}
    with pytest.raises(MossAudioError, match="damaged or missing"):
        store.load(store.path_of(tmp_path, 8, 0))

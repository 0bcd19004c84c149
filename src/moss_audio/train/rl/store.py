"""A rollout on disk, for a run that stops between two updates on it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from moss_audio.errors import MossAudioError
from moss_audio.files import replaced
from moss_audio.train.rl.policy import RolloutBatch

_NAME = re.compile(r"rollout-([0-9]+)-rank-([0-9]+)\.safetensors")
_LISTS = ("segments", "audio_s", "ids", "follows", "clips_of")


def path_of(folder: Path, rollout: int, rank: int) -> Path:
    """The file of a rollout of one process."""
    return folder / f"rollout-{rollout}-rank-{rank}.safetensors"


def save(path: Path, batches: Sequence[RolloutBatch], keep: int) -> None:
    """Write the batches of a rollout, whole or not at all; of this process's files the `keep`
    newest stay, and none of a later rollout, which an earlier run has left in the folder."""
    tensors, lists = {}, []
    for number, batch in enumerate(batches):
        for name, value in vars(batch).items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}.{name}"] = value.contiguous()
        lists.append({name: getattr(batch, name) for name in _LISTS})
    path.parent.mkdir(parents=True, exist_ok=True)
    this = _NAME.fullmatch(path.name)
    assert this is not None, path.name
    found = [_NAME.fullmatch(one.name) for one in path.parent.iterdir()]
    own = {int(m[1]): m.string for m in found if m and m[2] == this[2]}
    for rollout in [one for one in own if one > int(this[1])]:
        (path.parent / own.pop(rollout)).unlink()
    with replaced(path) as temporary:
        save_file(tensors, temporary, metadata={"batches": json.dumps(lists)})
    own[int(this[1])] = path.name
    for rollout in sorted(own)[:-keep]:
        (path.parent / own[rollout]).unlink()


def load(path: Path) -> list[RolloutBatch]:
    """The batches that `save` wrote.

    Raises:
        MossAudioError: if the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            lists = json.loads((file.metadata() or {})["batches"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise MossAudioError(
            f"{path}: damaged or missing ({error}); remove the newest checkpoint to resume from "
            "an older one"
        ) from error
    found = []
    for number, one in enumerate(lists):
        own = {
            name.partition(".")[2]: tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{number}.")
        }
        one["clips_of"] = [(first, count) for first, count in one["clips_of"]]
        found.append(RolloutBatch(**own, **one, words=[], sounds=[]))
    return found

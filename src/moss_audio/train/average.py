"""One checkpoint out of several: the mean of their weights, tensor by tensor.

A short run after a long one learns something new and forgets something old; the mean of before and
after keeps most of both (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). It
has the size and speed of one of them.

Only checkpoints of one line have a mean that works: one was trained from another, or all from the
same. LoRA factors are averaged as they are stored, so they too have to come from the same factors
(`lora_start: stored` of the stage `sft`).
"""

from __future__ import annotations

import filecmp
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import is_embedded, part_files
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano.parts import load_trained
from moss_audio.train.export import SHIPPED_BITS, PackedBits, write_parts, write_plain


def average(
    folders: Sequence[Path],
    output: Path,
    weights: Sequence[float] = (),
    bits: PackedBits = SHIPPED_BITS,
) -> Path:
    """Write the weighted mean of some checkpoints as a complete folder; returns it.

    Args:
        folders: two and more, all embedded (with the same fixed parts) or all in the released
            layout. What is not weights comes from the first.
        output: may be one of them, where they are embedded.
        weights: one for each, relative to their sum; none: all equal.
        bits: in which an embedded folder's trained parts are stored.

    Raises:
        MossAudioError: if the folders do not fit together, naming the first that does not.
    """
    shares = _shares(folders, weights)
    for folder in folders:
        if not folder.is_dir():
            raise MossAudioError(f"{folder}: no such folder")
    packed = [is_embedded(folder) for folder in folders]
    if len(set(packed)) > 1:
        other = folders[packed.index(not packed[0])]
        raise MossAudioError(
            f"{other}: {folders[0]} is {'embedded' if packed[0] else 'in the released layout'} and "
            "this one is not; export one of them again (form: packed or plain)"
        )
    mean: dict[str, torch.Tensor] = {}
    for folder, share in zip(folders, shares, strict=True):
        if packed[0]:
            _check_fixed(folders[0], folder)
            tensors = load_trained(folder)
        else:
            model = MossAudioModel.from_pretrained(folder, dtype=torch.float32)
            tensors = {name: tensor.detach() for name, tensor in model.state_dict().items()}
        _add(mean, tensors, share, folder, folders[0])
    if packed[0]:
        parts = {name: (tensor, bits.of(name, tensor)) for name, tensor in mean.items()}
        write_parts(folders[0], output, parts)
    else:
        write_plain(folders[0], output, mean)
    return output


def _shares(folders: Sequence[Path], weights: Sequence[float]) -> list[float]:
    if len(folders) < 2:
        raise MossAudioError("a mean needs two checkpoints or more")
    weights = weights or [1.0] * len(folders)
    if len(weights) != len(folders):
        raise MossAudioError(
            f"{len(folders)} checkpoints, {len(weights)} weights: give one for each"
        )
    if not all(math.isfinite(w) and w >= 0 for w in weights) or not sum(weights):
        raise MossAudioError(f"weights {list(weights)}: they must be 0 or more, and not all 0")
    return [weight / sum(weights) for weight in weights]


def _check_fixed(first: Path, folder: Path) -> None:
    """The trained parts of two folders mean the same only beside the same fixed parts."""
    ours, others = part_files(first).fixed, part_files(folder).fixed
    if [path.name for path in ours] != [path.name for path in others]:
        raise MossAudioError(f"{folder}: other fixed parts than {first} has")
    for mine, theirs in zip(ours, others, strict=True):
        if mine != theirs and not filecmp.cmp(mine, theirs, shallow=False):
            raise MossAudioError(f"{theirs}: differs from {mine}; they were built apart")


def _add(
    mean: dict[str, torch.Tensor],
    tensors: Mapping[str, torch.Tensor],
    share: float,
    folder: Path,
    first: Path,
) -> None:
    if mean:
        shapes = {name: tensor.shape for name, tensor in mean.items()}
        for name in sorted(shapes.keys() | tensors.keys()):
            if name not in shapes or name not in tensors or shapes[name] != tensors[name].shape:
                raise MossAudioError(f"{folder}: {name} is not there, or not shaped, as in {first}")
    for name, tensor in tensors.items():
        weighted = tensor.float() * share
        mean[name] = mean[name] + weighted if name in mean else weighted

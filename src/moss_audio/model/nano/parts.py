"""Reads the parts of an embedded checkpoint and puts them together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from moss_audio.errors import CheckpointError
from moss_audio.model.checkpoint import part_files
from moss_audio.model.nano.packed import PackedFile

if TYPE_CHECKING:  # the names below are also for those who have no torch
    import torch

ENCODER_FILE = "fixed-encoder.safetensors"
DECODER_FILE = "fixed-decoder.safetensors"
TRAINED_FILE = "trained.safetensors"
EMBEDDING = "language_model.embed_tokens.weight"
HEAD = "lm_head.weight"
AUDIO_ROWS = "audio_token_rows"  # embeddings of the audio ids, appended to the public table
THINK_ROWS = "think_token_rows"  # of <think> and </think>, behind those; also rows of the head
Shapes = Mapping[str, tuple[int, ...]]
LORA_DOWN, LORA_UP = ".lora_down", ".lora_up"  # weight += up @ down


def load_parts(folder: Path, dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
    """The state dict of the folder that `build` (and training) wrote; None: in bfloat16.

    Raises:
        CheckpointError: if a part is missing, damaged, or does not fit the others.
    """
    import torch

    from moss_audio.model.nano.quantize import load_packed

    dtype = dtype or torch.bfloat16
    trained = load_trained(folder)
    # what LoRA is added to is rounded once, after the sum; all else at once
    exact = {name.removesuffix(LORA_UP) for name in trained if name.endswith(LORA_UP)}
    fixed: dict[str, torch.Tensor] = {}
    for file in part_files(folder).fixed:
        fixed.update(load_packed(file, dtype, exact))
    return assemble(fixed, trained, dtype)


def load_trained(folder: Path) -> dict[str, torch.Tensor]:
    """The trained parts of a folder, float32.

    Raises:
        CheckpointError: if they, or `parts.json`, are missing or damaged.
    """
    import torch

    from moss_audio.model.nano.quantize import load_packed

    trained: dict[str, torch.Tensor] = {}
    for file in part_files(folder).trained:
        trained |= load_packed(file, torch.float32)
    return trained


def assembled_shapes(fixed: Shapes, trained: Shapes) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the weights that fixed and trained parts of these shapes give together.

    Raises:
        CheckpointError: if they do not fit each other.
    """
    shapes = dict(fixed)
    for name, shape in trained.items():
        if name.endswith(LORA_UP):
            target = name.removesuffix(LORA_UP)
            if target not in fixed:
                raise CheckpointError(f"{TRAINED_FILE}: {name} has no weight to be added to")
            down = trained.get(target + LORA_DOWN)
            if down is None:
                raise CheckpointError(f"{TRAINED_FILE}: {name} has no {target}{LORA_DOWN}")
            if shape[1] != down[0] or (shape[0], down[1]) != tuple(fixed[target]):
                raise CheckpointError(
                    f"{TRAINED_FILE}: {name} {list(shape)} times {list(down)} does not fit a "
                    f"weight of {list(fixed[target])}"
                )
        elif name in (AUDIO_ROWS, THINK_ROWS):
            if EMBEDDING not in fixed:
                raise CheckpointError(f"{DECODER_FILE}: missing {EMBEDDING}")
            rows, width = shapes[EMBEDDING]
            if len(shape) != 2 or shape[1] != width:
                raise CheckpointError(
                    f"{TRAINED_FILE}: {name} has shape {list(shape)}, expected [ids, {width}]"
                )
            shapes[EMBEDDING] = (rows + shape[0], width)
        elif not name.endswith(LORA_DOWN):
            shapes[name] = shape  # also of a fixed weight that was trained further
    if EMBEDDING in shapes:  # its absence is reported with everything else that is missing
        shapes[HEAD] = shapes[EMBEDDING]
    return shapes


def part_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the weights of an embedded checkpoint, read whole but without torch.

    Raises:
        CheckpointError: if a part is missing, damaged, or does not fit the others.
    """
    files = part_files(folder)
    fixed: dict[str, tuple[int, ...]] = {}
    trained: dict[str, tuple[int, ...]] = {}
    for shapes, paths in ((fixed, files.fixed), (trained, files.trained)):
        for path in paths:
            shapes |= {name: t.shape for name, t in PackedFile(path).items()}
    return assembled_shapes(fixed, trained)


def assemble(
    fixed: Mapping[str, torch.Tensor], trained: Mapping[str, torch.Tensor], dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """One state dict under the model's names: LoRA merged, rows of the audio and think ids
    appended, head tied."""
    import torch

    assembled_shapes(*({n: tuple(t.shape) for n, t in part.items()} for part in (fixed, trained)))
    state = {name: tensor.to(dtype) for name, tensor in fixed.items()}
    for name, tensor in trained.items():
        if name.endswith(LORA_UP):
            target = name.removesuffix(LORA_UP)
            delta = tensor.float() @ trained[target + LORA_DOWN].float()
            state[target] = (fixed[target].float() + delta).to(dtype)
        elif name in (AUDIO_ROWS, THINK_ROWS):
            continue  # below, in their order
        elif not name.endswith(LORA_DOWN):
            state[name] = tensor.to(dtype)  # also a fixed weight that was trained further
    rows = [trained[name].to(dtype) for name in (AUDIO_ROWS, THINK_ROWS) if name in trained]
    if rows:
        state[EMBEDDING] = torch.cat([fixed[EMBEDDING].to(dtype), *rows])
    if EMBEDDING in state:
        state[HEAD] = state[EMBEDDING]
    return state

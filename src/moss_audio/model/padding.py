"""Rows of unequal length as one tensor: prompts are padded on the left, clips at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def left_padded(
    rows: Sequence[Sequence[int] | Sequence[bool]], fill: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and mask `[B, L]` (long) of rows, with `fill` and 0 before each.

    The last column is then every row's last token, from which generation continues.
    """
    width = max(len(row) for row in rows)
    values = torch.full((len(rows), width), fill, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for index, row in enumerate(rows):
        if row:
            values[index, width - len(row) :] = torch.tensor(row, dtype=torch.long)
            mask[index, width - len(row) :] = 1
    return values, mask


def padded_mels(mels: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Features `[mels, frames]` of clips as `[clips, mels, frames]`, zeros behind each, and the
    frames of each `[clips]`."""
    frames = torch.tensor([mel.shape[-1] for mel in mels], dtype=torch.long)
    data = torch.zeros(len(mels), mels[0].shape[0], int(frames.max()))
    for row, mel in enumerate(mels):
        data[row, :, : mel.shape[-1]] = torch.from_numpy(mel)
    return data, frames

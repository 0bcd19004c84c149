"""What a stage learns, as the loop sees it: a module whose forward returns the terms of the loss.

A term is a sum over items divided by the number of such items in the whole step, all micro-batches
and all processes together. That makes accumulation, and more processes, exact: the gradient is
that of one big batch, however the items are spread over micro-batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from moss_audio.data.batch import Batch
from moss_audio.model.modeling import MossAudioModel


class Objective(nn.Module):
    """A model and the loss it is trained on.

    Attributes:
        terms: names of the loss terms, in the order of `counts` and of forward's result.
        also_kept: prefixes of parameters that a checkpoint keeps although they do not learn.
    """

    terms: tuple[str, ...] = ("loss",)
    also_kept: tuple[str, ...] = ()

    def __init__(self, model: MossAudioModel) -> None:
        super().__init__()
        self.model = model

    def counts(self, batch: Batch) -> list[float]:
        """How many items each term has in a batch (the number it will be divided by)."""
        raise NotImplementedError

    def forward(self, batch: Batch, counts: torch.Tensor) -> torch.Tensor:
        """Weighted terms `[len(terms)]`, each divided by its entry of `counts`; the loss is their
        sum."""
        raise NotImplementedError

    def rates(self) -> Mapping[str, float]:
        """Peak learning rate by prefix of the parameters' names; the longest prefix wins."""
        raise NotImplementedError

    def trained(self) -> dict[str, nn.Parameter]:
        """Parameters that learn, by name."""
        return {n: p for n, p in self.named_parameters() if p.requires_grad}

    def kept(self) -> dict[str, nn.Parameter]:
        """What a checkpoint keeps: what learns, and `also_kept`."""
        return {
            n: p
            for n, p in self.named_parameters()
            if p.requires_grad or (self.also_kept and n.startswith(self.also_kept))
        }

    def groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Optimiser groups: a learning rate each, and no decay for vectors."""
        rates = self.rates()
        found: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in self.trained().items():
            prefix = max((p for p in rates if name.startswith(p)), key=len, default=None)
            if prefix is None:
                raise ValueError(f"no learning rate for {name}")
            found.setdefault((rates[prefix], parameter.ndim > 1), []).append(parameter)
        return [
            {"params": parameters, "lr": rate, "weight_decay": weight_decay if decays else 0.0}
            for (rate, decays), parameters in found.items()
        ]

    def flops(self, batch: Batch) -> float:
        """Estimated floating-point operations of one step on a batch; 0 where unknown."""
        return 0.0


def mixed_precision(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Autocast to `dtype` on a device; off where that is float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)

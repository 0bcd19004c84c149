"""Runners of a policy as it is: a copy of its weights on torch, or stored codes with what learns
beside them on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from moss_audio.engine.onnx import weight_source
from moss_audio.engine.onnx.runner import OnnxRunner
from moss_audio.engine.onnx.source import WeightSource
from moss_audio.engine.onnx.weights import Linear, LowRank
from moss_audio.engine.runner import Runner
from moss_audio.engine.threads import choose_threads
from moss_audio.engine.torch_runner import TorchRunner
from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano.parts import AUDIO_ROWS, EMBEDDING, THINK_ROWS
from moss_audio.prompt import PromptSpec
from moss_audio.train.lora import is_lora, pairs
from moss_audio.train.rl.policy import PolicyWeights, sampling_model

# Nobody waits for a next token here. With 16 rows a pass of nano's gives an eighth more tokens a
# second than with 8; with 32 hardly more.
_ROWS = 16

RunnerOf = Callable[[PolicyWeights], Runner]


def torch_runners(model: MossAudioModel, spec: PromptSpec, dtype: torch.dtype) -> RunnerOf:
    """On the device of `model`, the policy in training: LoRA merged, in `dtype`."""

    def runner(weights: PolicyWeights) -> Runner:
        return TorchRunner(sampling_model(model, weights.merged(), dtype), spec.audio_ids)

    return runner


def onnx_runners(folder: Path, *, continued: bool, threads: int | None = None) -> RunnerOf:
    """On this machine's CPU, from the folder that the run started with: what is frozen is computed
    as it is stored there (nano in 4 bits), and LoRA stays beside it.

    Args:
        continued: the policy's LoRA is the folder's own, trained further.
        threads: None takes as many as this process may use.

    Raises:
        MossAudioError: if nothing is stored in codes there, or it cannot be opened.
    """
    checkpoint = Checkpoint.open(folder)
    if checkpoint.layout != "embedded":
        raise MossAudioError(
            f"rollouts.kind: onnx computes with stored codes, and {checkpoint.name} has none; take "
            "torch"
        )

    def runner(weights: PolicyWeights) -> Runner:
        stored, bits = weight_source(checkpoint)
        source = PolicySource(stored, weights.learnt(), weights.scaling, continued=continued)
        made = OnnxRunner(checkpoint.sizes, source, threads=choose_threads(threads), bits=bits)
        made.max_rows = _ROWS
        return made

    return runner


class PolicySource:
    """`WeightSource`: the stored weights, and what was learnt in their place or beside them.

    Args:
        stored: of the folder that the run started with.
        learnt: by the model's own names, with LoRA factors and appended rows (`PolicyWeights`).
        scaling: of this LoRA.
        continued: it is the stored one, trained further, and not one beside it.
    """

    def __init__(
        self,
        stored: WeightSource,
        learnt: Mapping[str, torch.Tensor],
        scaling: float,
        *,
        continued: bool,
    ) -> None:
        self._stored, self._continued = stored, continued
        self._learnt = {n: _array(t) for n, t in learnt.items() if not is_lora(n)}
        self._low_rank = {
            name: LowRank(_array(down), _array(up)) for name, down, up in pairs(learnt, scaling)
        }

    def array(self, name: str) -> np.ndarray:
        """A tensor as float32."""
        found = self._learnt.get(name)
        return self._stored.array(name) if found is None else found

    def linear(self, name: str) -> Linear:
        """The layer of a weight `[N, K]`."""
        layer = self._stored.linear(name)
        bias = layer.bias
        if bias is not None:
            bias = self._learnt.get(name.removesuffix("weight") + "bias", bias)
        if name in self._learnt:  # in full, a stored LoRA merged into it
            return Linear(self._learnt[name], bias=bias)
        return Linear(layer.weight, self._term(name, layer.low_rank), bias)

    def rows_beyond(self) -> list[np.ndarray]:
        """Float32 `[n, H]`: rows behind those of the stored embedding, in their order."""
        if EMBEDDING in self._learnt:  # which holds them
            return []
        stored = self._stored.rows_beyond()
        names = (AUDIO_ROWS, THINK_ROWS)
        return [self._learnt.get(name, rows) for name, rows in zip(names, stored, strict=False)]

    def _term(self, name: str, stored: LowRank | None) -> LowRank | None:
        own = self._low_rank.get(name)
        if own is None or stored is None or self._continued:
            return stored if own is None else own
        return LowRank(
            np.concatenate([stored.down, own.down]), np.concatenate([stored.up, own.up], 1)
        )


def _array(tensor: torch.Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().float().cpu().numpy()
    return array

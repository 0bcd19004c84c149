"""Rollouts in this process, by the engine on torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from moss_audio.engine.base import Generation, Request
from moss_audio.engine.local import LocalEngine
from moss_audio.engine.torch_runner import TorchRunner
from moss_audio.errors import MossAudioError
from moss_audio.model.modeling import MossAudioModel
from moss_audio.prompt import PromptSpec
from moss_audio.train.rl.policy import sampling_model
from moss_audio.train.rl.rollout import AskedPrompt, SampledAnswer, SamplingConfig


class TorchRollouts:
    """`Rollouts` on a model in this process.

    Each `sample` has an engine of its own and all prompts are there before the first is computed:
    what is computed together, and with it the last bit of a log-probability, depends on nothing
    but the prompts. So a run that resumes samples what it would have sampled.

    Args:
        model: the policy in training; its configuration and devices.
        tokenizer, spec: of its checkpoint.
        config: how to sample.
        dtype: to compute in.
        batch_size: answers decoded at once; None takes what suits the device.
    """

    def __init__(
        self,
        model: MossAudioModel,
        tokenizer: Any,
        spec: PromptSpec,
        config: SamplingConfig,
        *,
        dtype: torch.dtype,
        batch_size: int | None = None,
    ) -> None:
        self._policy, self._tokenizer, self._spec = model, tokenizer, spec
        self._config, self._dtype, self._batch_size = config, dtype, batch_size
        self._sampling: MossAudioModel | None = None

    def update(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take new weights."""
        self._sampling = sampling_model(self._policy, weights, self._dtype)

    def sample(self, prompts: Sequence[AskedPrompt], answers: int) -> list[list[SampledAnswer]]:
        """So many answers to each prompt."""
        if self._sampling is None:
            raise MossAudioError("rollouts: update() gives the weights before sample()")
        requests = [
            Request(
                tuple(one.messages),
                one.example.clips,
                self._config.options(answers, one.seed),
                reuse=False,
            )
            for one in prompts
        ]
        runner = TorchRunner(self._sampling, self._spec.audio_ids)
        engine = LocalEngine(runner, self._tokenizer, self._spec, batch_size=self._batch_size)
        try:
            for request in requests:
                engine.check(request)
            # in the engine's own thread: it computes nothing before it knows of all of them
            handles = engine.scheduler.call(lambda: [engine.submit(one) for one in requests])
            found = [handle.result() for handle in handles]
        finally:
            engine.close()
        return [[_answer(one) for one in (first, *first.alternatives)] for first in found]


def _answer(generation: Generation) -> SampledAnswer:
    assert generation.trace is not None
    return SampledAnswer(generation.text, generation.trace, generation.finish_reason)

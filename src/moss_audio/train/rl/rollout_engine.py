"""Rollouts in this process, by an engine on torch or on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from moss_audio.engine.base import Generation, Request
from moss_audio.engine.local import LocalEngine
from moss_audio.engine.runner import Runner
from moss_audio.errors import MossAudioError
from moss_audio.prompt import PromptSpec
from moss_audio.train.rl.policy import PolicyWeights
from moss_audio.train.rl.rollout import AskedPrompt, SampledAnswer, SamplingConfig


class EngineRollouts:
    """`Rollouts` by the scheduler of this process.

    Each `sample` has an engine of its own and all prompts are there before the first is computed:
    what is computed together, and with it the last bit of a log-probability, depends on nothing
    but the prompts. So a run that resumes samples what it would have sampled.

    Args:
        runner_of: a runner of the policy as it is (`runners`).
        tokenizer, spec: of its checkpoint.
        config: how to sample.
        batch_size: answers decoded at once; None takes what suits the runner.
    """

    def __init__(
        self,
        runner_of: Callable[[PolicyWeights], Runner],
        tokenizer: Any,
        spec: PromptSpec,
        config: SamplingConfig,
        *,
        batch_size: int | None = None,
    ) -> None:
        self._runner_of, self._tokenizer, self._spec = runner_of, tokenizer, spec
        self._config, self._batch_size = config, batch_size
        self._runner: Runner | None = None

    def update(self, weights: PolicyWeights) -> None:
        """Take the policy's weights as they are now."""
        self._runner = None  # its memory goes before the next one takes its own
        self._runner = self._runner_of(weights)

    def sample(self, prompts: Sequence[AskedPrompt], answers: int) -> list[list[SampledAnswer]]:
        """So many answers to each prompt."""
        if self._runner is None:
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
        engine = LocalEngine(self._runner, self._tokenizer, self._spec, batch_size=self._batch_size)
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

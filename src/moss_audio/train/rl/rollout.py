"""Who samples answers: the protocol, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from moss_audio.data.example import Example
from moss_audio.engine.base import FinishReason, GenerationOptions, Trace
from moss_audio.errors import MossAudioError
from moss_audio.settings import AtLeastOne, Between, Share
from moss_audio.train.rl.policy import PolicyWeights


@dataclass(frozen=True)
class SamplingConfig:
    """How answers are sampled."""

    temperature: float = 1.0
    top_k: AtLeastOne = 50
    top_p: Share = 1.0
    max_new_tokens: AtLeastOne = 2048
    thinking: bool | None = True  # None: left to the model; False: an empty think block
    thinking_budget: Annotated[int, Between(0)] | None = None

    def __post_init__(self) -> None:
        if self.top_k == 1:
            raise MossAudioError("sampling.top_k 1 draws nothing: give 2 or more")
        self.options(1, 0)

    def options(self, answers: int, seed: int) -> GenerationOptions:
        """Of one prompt."""
        return GenerationOptions(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            seed=seed,
            thinking=self.thinking,
            thinking_budget=self.thinking_budget,
            num_return_sequences=answers,
            trace=True,
        )


@dataclass(frozen=True)
class SampledAnswer:
    """One answer: its text, what its tokens were drawn from, and why it ended."""

    text: str
    trace: Trace
    finish_reason: FinishReason


@dataclass(frozen=True)
class AskedPrompt:
    """An example whose last message, the true answer, is left out, and the seed of its answers."""

    example: Example
    seed: int

    @property
    def messages(self) -> list[dict[str, object]]:
        """What is asked."""
        return self.example.messages[:-1]


class Rollouts(Protocol):
    """Samples answers with the weights that it was last given."""

    def update(self, weights: PolicyWeights) -> None:
        """Take the policy's weights as they are now. What was encoded or prefilled with older ones
        is forgotten."""

    def sample(self, prompts: Sequence[AskedPrompt], answers: int) -> list[list[SampledAnswer]]:
        """So many answers to each prompt, with `SampledAnswer.trace`.

        Raises:
            MossAudioError: if a prompt cannot be answered.
        """

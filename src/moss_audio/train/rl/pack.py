"""Groups of sampled answers -> micro-batches of the loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch

from moss_audio.data.batch import Batch
from moss_audio.data.collate import Collator, RenderedExample
from moss_audio.data.example import Example
from moss_audio.engine.thinking import ThinkIds, leaves_room
from moss_audio.prompt import ChatVocabulary, Rendered, render
from moss_audio.train.rl.groups import AnswerGroup
from moss_audio.train.rl.policy import RolloutBatch
from moss_audio.train.rl.rollout import SampledAnswer
from moss_audio.units import num_tokens_of_samples


class RolloutPacker:
    """Makes batches of groups.

    Args:
        collator: of the model, packed.
        thinking: as it was sampled.
        mask_truncated: answers that ran into the limit are not learnt.
    """

    def __init__(self, collator: Collator, *, thinking: bool | None, mask_truncated: bool) -> None:
        self._collator, self._mask = collator, mask_truncated
        self._thinking = leaves_room(thinking, ThinkIds.of(ChatVocabulary(collator.tokenizer)))

    def batches(self, groups: Sequence[AnswerGroup], count: int) -> list[RolloutBatch]:
        """Exactly `count` batches, of about as many positions each; where there are fewer groups,
        some in which nothing is learnt. A group stays whole: its answers share their clips."""
        shares: list[list[AnswerGroup]] = [[] for _ in range(count)]
        sizes = [0] * count
        prompts = {id(group): self._prompt(group.example) for group in groups}

        def size(group: AnswerGroup) -> int:
            own = len(prompts[id(group)].input_ids)
            return sum(own + len(one.trace.ids) for one in group.answers)

        for group in sorted(groups, key=size, reverse=True):
            least = sizes.index(min(sizes))
            shares[least].append(group)
            sizes[least] += size(group)
        return [self._batch(share, [prompts[id(group)] for group in share]) for share in shares]

    def _prompt(self, example: Example) -> Rendered:
        """Ids of what was asked, as the engine has rendered it."""
        tokens = [num_tokens_of_samples(len(clip)) for clip in example.clips]
        return render(
            example.messages[:-1], tokens, self._collator.tokenizer, self._collator.spec,
            enable_thinking=self._thinking,
        )  # fmt: skip

    def _batch(self, groups: Sequence[AnswerGroup], prompts: Sequence[Rendered]) -> RolloutBatch:
        samples, rows, clips_of, heard = [], _TokenRows(), [], 0
        for group, prompt in zip(groups, prompts, strict=True):
            audio = sum(prompt.audio_mask)
            for place, answer in enumerate(group.answers):
                drawn = ~answer.trace.forced
                if self._mask and answer.finish_reason == "length":
                    drawn = np.zeros_like(drawn)
                # the first answer brings the clips, the others hear the same
                own = group.example if place == 0 else replace(
                    group.example, clips=(), words=(), sounds=()
                )  # fmt: skip
                samples.append(RenderedExample(own, _answered(prompt, answer, drawn)))
                rows.add(answer, drawn, float(group.advantages[place]))
                clips_of.append((heard, audio))
            heard += audio
        plain = self._collator.batch(samples, []) if samples else self._collator.filler([])
        common: dict[str, Any] = {f.name: getattr(plain, f.name) for f in fields(Batch)}
        return RolloutBatch(**common, **rows.tensors(), clips_of=clips_of if heard else [])


def _answered(prompt: Rendered, answer: SampledAnswer, drawn: np.ndarray) -> Rendered:
    ids = answer.trace.ids.tolist()
    return Rendered(
        [*prompt.input_ids, *ids],
        [*prompt.audio_mask, *([False] * len(ids))],
        [*([False] * len(prompt.input_ids)), *drawn.tolist()],
    )


class _TokenRows:
    """What is known of the tokens that are learnt, in the order of a batch's labels."""

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []
        self._sampled: list[np.ndarray] = []
        self._advantage: list[np.ndarray] = []

    def add(self, answer: SampledAnswer, drawn: np.ndarray, advantage: float) -> None:
        """Of the tokens of an answer those that were drawn."""
        assert answer.trace.kept is not None
        self._kept.append(answer.trace.kept[drawn])
        self._sampled.append(answer.trace.logprobs[drawn])
        self._advantage.append(np.full(int(drawn.sum()), advantage, np.float32))

    def tensors(self) -> dict[str, Any]:
        """`kept` `[N, K]`, `sampled` and `advantage` `[N]`."""
        width = max((kept.shape[1] for kept in self._kept), default=1)
        padded = [
            np.pad(kept, ((0, 0), (0, width - kept.shape[1])), constant_values=-1)
            for kept in self._kept
        ]
        empty = np.zeros(0, np.float32)
        kept = np.concatenate([np.zeros((0, width), np.int32), *padded])
        return {
            "kept": torch.from_numpy(kept.astype(np.int64)),
            "sampled": torch.from_numpy(np.concatenate([empty, *self._sampled])),
            "advantage": torch.from_numpy(np.concatenate([empty, *self._advantage])),
        }

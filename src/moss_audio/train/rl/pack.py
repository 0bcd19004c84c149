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
        shared: a prompt stands in a row once, before all of its answers; otherwise each has its
            own, and they share the encoding of their clips alone.
    """

    def __init__(
        self,
        collator: Collator,
        *,
        thinking: bool | None,
        mask_truncated: bool,
        shared: bool = False,
    ) -> None:
        self._collator, self._mask, self._shared = collator, mask_truncated, shared
        self._thinking = leaves_room(thinking, ThinkIds.of(ChatVocabulary(collator.tokenizer)))

    def batches(self, groups: Sequence[AnswerGroup], count: int) -> list[RolloutBatch]:
        """Exactly `count` batches, of about as many positions each; where there are fewer groups,
        some in which nothing is learnt. A group stays whole: its answers share their clips."""
        shares: list[list[AnswerGroup]] = [[] for _ in range(count)]
        sizes = [0] * count
        prompts = {id(group): self._prompt(group.example) for group in groups}

        def size(group: AnswerGroup) -> int:
            own = len(prompts[id(group)].input_ids)
            own *= 1 if self._shared else len(group.answers)
            return own + sum(len(one.trace.ids) for one in group.answers)

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
        row, tokens, clips_of, heard = _AnsweredPrompts(), _TokenRows(), [], 0
        for group, prompt in zip(groups, prompts, strict=True):
            audio = sum(prompt.audio_mask)
            drawn = [self._drawn(answer) for answer in group.answers]
            if self._shared:
                row.add(group.example, prompt, group.answers, drawn)
            # the first answer brings the clips, the others hear the same
            deaf = replace(group.example, clips=(), words=(), sounds=())
            for place, answer in enumerate(group.answers):
                tokens.add(answer, drawn[place], float(group.advantages[place]))
                if not self._shared:
                    own = group.example if place == 0 else deaf
                    row.add(own, prompt, [answer], [drawn[place]])
                    clips_of.append((heard, audio))
            heard += audio
        if not row.samples:
            plain = self._collator.filler([])
        else:
            plain = self._collator.batch(row.samples, [])
            plain.position_ids = row.position_ids()
            plain.segments = [row.segments]
        common: dict[str, Any] = {f.name: getattr(plain, f.name) for f in fields(Batch)}
        return RolloutBatch(
            **common, **row.tensors(), **tokens.tensors(), follows=row.follows,
            clips_of=clips_of if heard else [],
        )  # fmt: skip

    def _drawn(self, answer: SampledAnswer) -> np.ndarray:
        """Bool `[n]`: the tokens of an answer that are learnt."""
        if self._mask and answer.finish_reason == "length":
            return np.zeros_like(answer.trace.forced)
        return ~answer.trace.forced


class _AnsweredPrompts:
    """The one row of a batch: prompts, each with the answers that go on from it."""

    def __init__(self) -> None:
        self.samples: list[RenderedExample] = []
        self.segments: list[int] = []
        self.follows: list[int] = []
        self._length = 0
        self._positions: list[np.ndarray] = []
        self._places: list[np.ndarray] = []
        self._targets: list[np.ndarray] = []

    def add(
        self,
        example: Example,
        prompt: Rendered,
        answers: Sequence[SampledAnswer],
        drawn: Sequence[np.ndarray],
    ) -> None:
        """A prompt and its answers; of these the tokens that are `drawn` are learnt."""
        length = len(prompt.input_ids)
        last, at = self._length + length - 1, self._length + length
        ids, learnt = list(prompt.input_ids), [False] * length
        self._positions.append(np.arange(length))
        for answer, own in zip(answers, drawn, strict=True):
            n = len(answer.trace.ids)
            before = np.arange(at - 1, at + n - 1)  # what each token was drawn after
            before[:1] = last
            self._places.append(before[own])
            self._targets.append(answer.trace.ids[own])
            self._positions.append(np.arange(length, length + n))
            ids += answer.trace.ids.tolist()
            learnt += own.tolist()
            at += n
        first, sizes = len(self.segments), [len(one.trace.ids) for one in answers]
        alone = len(answers) == 1
        self.segments += [length + sizes[0]] if alone else [length, *sizes]
        self.follows += [-1] if alone else [-1, *([first] * len(answers))]
        self._length = at
        heard = [*prompt.audio_mask, *([False] * (len(ids) - length))]
        self.samples.append(RenderedExample(example, Rendered(ids, heard, learnt)))

    def position_ids(self) -> torch.Tensor:
        """Int64 `[1, L]`."""
        return torch.from_numpy(np.concatenate(self._positions))[None]

    def tensors(self) -> dict[str, Any]:
        """`targets` and `places`, int64 `[N]`."""
        empty = np.zeros(0, np.int64)
        found = {"targets": self._targets, "places": self._places}
        return {
            name: torch.from_numpy(np.concatenate([empty, *parts]).astype(np.int64))
            for name, parts in found.items()
        }


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

"""Examples -> one batch, packed or padded, through the one prompt renderer.

Nothing is ever padded to a fixed length, and no answer is ever cut: an example longer than
`max_tokens` is dropped and named, has silence cut off its end where that is safe, or is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from moss_audio.data.batch import IGNORE, Batch, SetAside
from moss_audio.data.config import Layout, OverLong
from moss_audio.data.example import DOCUMENT, DOCUMENT_PART, Example
from moss_audio.data.overlong import shortened
from moss_audio.dsp.mel import log_mel
from moss_audio.errors import MossAudioError, PromptError
from moss_audio.model.encoder import longest_beside
from moss_audio.prompt import PromptSpec, Rendered, render
from moss_audio.prompt.vocabulary import ChatVocabulary
from moss_audio.units import SAMPLE_RATE, num_tokens_of_samples

_END_OF_DOCUMENT = "<|endoftext|>"
# What a rank is given when nothing of its share was usable: as many steps as the other ranks.
_FILLER = [{"role": "user", "content": "."}, {"role": "assistant", "content": "."}]


class RenderedExample(NamedTuple):
    """An example, and its ids and masks."""

    example: Example
    rendered: Rendered


class Collator:
    """Turns a list of `Example` into a `Batch`.

    Args:
        tokenizer: a fast ChatML tokenizer.
        spec: what the checkpoint fixes about its prompt.
        n_mels: mel bins of the features.
        layout: "packed" (one row) or "padded" (a row an example).
        max_tokens: the most tokens of one example, None for no bound.
        over_long: what happens to a longer one. "drop": left out and named in `set_aside`.
            "truncate_audio": its audio is cut at the end if all that is known to sound in it, and
            every number in its answers, lies before the cut; else as "drop". "error".
        features: samples [n] -> float32 [n_mels, n // 160]; `log_mel` by default.

    Raises:
        MossAudioError: when called, for an over-long example where `over_long` is "error".
    """

    def __init__(
        self,
        tokenizer: Any,
        spec: PromptSpec,
        n_mels: int,
        layout: Layout = "packed",
        max_tokens: int | None = None,
        over_long: OverLong = "drop",
        features: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.tokenizer, self.spec, self.n_mels = tokenizer, spec, n_mels
        self.layout, self.max_tokens, self.over_long = layout, max_tokens, over_long
        self._features = features
        self._vocabulary = ChatVocabulary(tokenizer)

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """One batch of all usable examples, in their order.

        Those left out are in `set_aside`. If none is usable the batch is one short row without
        clips in which nothing is learnt, and `ids` is empty.
        """
        samples: list[RenderedExample] = []
        aside: list[SetAside] = []
        for example in examples:
            kept = self.fitted(example)
            if isinstance(kept, SetAside):
                aside.append(kept)
            else:
                samples.append(kept)
        if not samples:
            return self.filler(aside)
        return self.batch(samples, aside)

    def render(self, example: Example) -> Rendered:
        """Ids and masks of one example, as trained on. Raises PromptError."""
        if example.task in (DOCUMENT, DOCUMENT_PART):
            return self._document(example)
        n_tokens = [num_tokens_of_samples(len(clip)) for clip in example.clips]
        return render(
            example.messages, n_tokens, self.tokenizer, self.spec, add_generation_prompt=False,
            begins_s=example.begins_s,
        )  # fmt: skip

    def _document(self, example: Example) -> Rendered:
        ids = self._vocabulary.encode_plain(example.messages[0]["content"])
        if example.task == DOCUMENT:
            end = self.tokenizer.convert_tokens_to_ids(_END_OF_DOCUMENT)
            known = end is not None and end != self.tokenizer.unk_token_id
            ids = [*ids, end if known else self._vocabulary.im_end]
        return Rendered(ids, [False] * len(ids), [True] * len(ids))

    def fitted(self, example: Example) -> RenderedExample | SetAside:
        """An example with its ids, shortened where that is allowed; or why it is left out."""
        for clip in example.clips:
            if not num_tokens_of_samples(len(clip)):
                return SetAside(example.id, "too_short", f"a clip of {len(clip)} samples")
        try:
            rendered = self.render(example)
        except PromptError as error:
            return SetAside(example.id, "unrenderable", str(error))
        length, most = len(rendered.input_ids), self.max_tokens
        if most is None or length <= most:
            return RenderedExample(example, rendered)
        detail = f"{length} tokens, at most {most} are allowed"
        if self.over_long == "error":
            raise MossAudioError(
                f"{example.id}: {detail}; raise max_tokens, or set over_long to drop"
            )
        if self.over_long == "truncate_audio":
            shorter = shortened(example, length - most)
            if isinstance(shorter, Example):
                return RenderedExample(shorter, self.render(shorter))
            return SetAside(example.id, "over_long", f"{detail}; not cut: {shorter}")
        return SetAside(example.id, "over_long", detail)

    def filler(self, aside: list[SetAside]) -> Batch:
        """One short row without clips in which nothing is learnt."""
        rendered = render(_FILLER, [], self.tokenizer, self.spec, add_generation_prompt=False)
        silent = replace(rendered, loss_mask=[False] * len(rendered.loss_mask))
        batch = self.batch([RenderedExample(Example("", [], ()), silent)], aside)
        batch.ids = []
        return batch

    def batch(self, samples: Sequence[RenderedExample], aside: list[SetAside]) -> Batch:
        """One batch of examples that are rendered, in their order; at least one."""
        lengths = [len(s.rendered.input_ids) for s in samples]
        packed = self.layout == "packed"
        rows, width = (1, sum(lengths)) if packed else (len(samples), max(lengths))
        pad = self.tokenizer.pad_token_id
        ids = torch.full((rows, width), self._vocabulary.im_end if pad is None else pad)
        labels = torch.full((rows, width), IGNORE)
        positions = torch.zeros(rows, width, dtype=torch.long)
        mask = torch.zeros(rows, width, dtype=torch.bool)
        attention = None if packed else torch.zeros(rows, width, dtype=torch.long)
        start = 0
        for number, (sample, length) in enumerate(zip(samples, lengths, strict=True)):
            row, at = (0, slice(start, start + length)) if packed else (number, slice(0, length))
            start += length
            own = torch.tensor(sample.rendered.input_ids)
            learnt = torch.tensor(sample.rendered.loss_mask)
            learnt[0] = False  # nothing of its own comes before it
            ids[row, at] = own
            labels[row, at] = own.where(learnt, torch.tensor(IGNORE))
            positions[row, at] = torch.arange(length)
            mask[row, at] = torch.tensor(sample.rendered.audio_mask)
            if attention is not None:
                attention[row, at] = 1
        examples = [s.example for s in samples]
        data, frames = self._audio(examples)
        return Batch(
            input_ids=ids,
            labels=labels,
            position_ids=positions,
            audio_input_mask=mask,
            audio_data=data,
            audio_data_seqlens=frames,
            longest=longest_beside(frames.tolist(), [len(e.clips) for e in examples]),
            segments=[lengths] if packed else [[n] for n in lengths],
            audio_s=sum(len(clip) for e in examples for clip in e.clips) / SAMPLE_RATE,
            ids=[e.id for e in examples],
            words=[w for e in examples for w in e.words or (None,) * len(e.clips)],
            sounds=[s for e in examples for s in e.sounds or (None,) * len(e.clips)],
            made=[e.made for e in examples for _ in e.clips],
            attention_mask=attention,
            set_aside=aside,
        )

    def _audio(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """Features [clips, n_mels, T] and the frames of each clip, of all examples in order."""
        features = self._features or (lambda samples: log_mel(samples, self.n_mels))
        mels = []
        for example in examples:
            for number, clip in enumerate(example.clips):
                mel = features(clip)
                mels.append(mel if example.masks is None else example.masks(mel, number))
        lengths = [mel.shape[1] for mel in mels]
        data = torch.zeros(len(mels), self.n_mels, max(lengths, default=0))
        for row, mel in zip(data, mels, strict=True):
            row[:, : mel.shape[1]] = torch.from_numpy(mel)
        return data, torch.tensor(lengths, dtype=torch.long)

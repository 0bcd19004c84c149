"""A batch: ids, labels, positions, masks and features of several examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from moss_audio.result import Event, Word

IGNORE = -100  # the label of a position where nothing is learnt


@dataclass(frozen=True)
class SetAside:
    """An example that was left out, and why; `reason` is one of a few words to count by."""

    id: str
    reason: str
    detail: str


@dataclass
class Batch:
    """R rows of L positions; the layout decides what a row is.

    packed: one row (R = 1) of all samples one after the other, their lengths in `segments`; what
    crosses a border must be kept apart by the restarting positions or by `segments`, so there is
    no `attention_mask`. padded: a sample a row, right padded, `attention_mask` 0 on the padding.

    Attributes:
        input_ids: int64 [R, L].
        labels: int64 [R, L], `IGNORE` where nothing is learnt. Not shifted. The first position of
            every sample is `IGNORE`, so a shift by one never learns across a border.
        position_ids: int64 [R, L], from 0 in every sample; 0 on padding.
        audio_input_mask: bool [R, L], true where an audio embedding goes.
        audio_data: float32 [clips, n_mels, T], padded with zeros on the right.
        audio_data_seqlens: int64 [clips], frames of each clip.
        longest: int64 [clips], frames of the longest clip in each clip's own sample.
        segments: lengths of the samples in each row, in tokens.
        audio_s: seconds of audio in all clips.
        ids: names of the examples, in order.
        words, sounds: an entry a clip: what is in it, or None where that is not known.
        attention_mask: int64 [R, L] in the padded layout, None in the packed one.
        made: an entry a clip: whether it is silent, and audio tokens made of its words are heard.
        set_aside: examples that were to be in this batch and are not.
    """

    input_ids: Tensor
    labels: Tensor
    position_ids: Tensor
    audio_input_mask: Tensor
    audio_data: Tensor
    audio_data_seqlens: Tensor
    longest: Tensor
    segments: list[list[int]]
    audio_s: float
    ids: list[str]
    words: list[tuple[Word, ...] | None]
    sounds: list[tuple[Event, ...] | None]
    made: list[bool] = field(default_factory=list)
    attention_mask: Tensor | None = None
    set_aside: list[SetAside] = field(default_factory=list)

    @property
    def num_items(self) -> int:
        """Labels that count once shifted by one."""
        return int((self.labels[:, 1:] != IGNORE).sum())

    @property
    def num_tokens(self) -> int:
        """Positions that are not padding."""
        return sum(map(sum, self.segments))

    def to(self, device: Any, *, non_blocking: bool = False) -> Batch:
        """The same batch with its tensors on `device`."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory, which a GPU reads while the CPU works on."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors: dict[str, Any] = {
            name: change(x) for name, x in vars(self).items() if isinstance(x, Tensor)
        }
        return replace(self, **tensors)

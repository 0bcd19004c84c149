"""Rows, borders, labels and the rule for over-long examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.data.batch import IGNORE, Batch
from moss_audio.data.collate import Collator
from moss_audio.data.example import DOCUMENT, DOCUMENT_PART, Example
from moss_audio.dsp.mel import log_mel
from moss_audio.errors import MossAudioError
from moss_audio.prompt import render
from moss_audio.result import Event, Word
from moss_audio.testing.tokenizer import tiny_prompt_spec, tiny_tokenizer
from moss_audio.units import num_tokens_of_samples

TOKENIZER, SPEC = tiny_tokenizer(), tiny_prompt_spec()
N_MELS = 8
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def examples(draw: Any) -> Example:
    """Conversations of one to three rounds with up to two clips in each question."""
    messages: list[dict[str, Any]] = []
    clips: list[np.ndarray] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(TEXT)})
    for _ in range(draw(st.integers(1, 3))):
        parts: list[dict[str, Any]] = []
        for _ in range(draw(st.integers(0, 2))):
            n_samples = draw(st.integers(160, 48_000))
            clips.append(np.linspace(-0.1, 0.1, n_samples, dtype=np.float32))
            parts.append({"type": "audio"})
        parts.insert(draw(st.integers(0, len(parts))), {"type": "text", "text": draw(TEXT)})
        messages.append({"role": "user", "content": parts})
        answer: dict[str, Any] = {"role": "assistant", "content": draw(TEXT)}
        if draw(st.booleans()):
            answer["thinking"] = draw(TEXT)
        messages.append(answer)
    return Example(draw(TEXT), messages, tuple(clips))


def _samples(batch: Batch) -> list[dict[str, list[int]]]:
    """What each sample is in a batch of either layout."""
    names = ("input_ids", "labels", "position_ids", "audio_input_mask")
    found = []
    for row, lengths in enumerate(batch.segments):
        start = 0
        for length in lengths:
            values = {n: getattr(batch, n)[row, start : start + length].tolist() for n in names}
            found.append(values)
            start += length
    return found


@settings(max_examples=25, deadline=None)
@given(st.lists(examples(), min_size=1, max_size=3))
def test_a_batch_holds_exactly_what_the_renderer_gives(given: list[Example]) -> None:
    packed = Collator(TOKENIZER, SPEC, N_MELS, "packed")(given)
    padded = Collator(TOKENIZER, SPEC, N_MELS, "padded")(given)
    assert _samples(packed) == _samples(padded)
    for sample, example in zip(_samples(packed), given, strict=True):
        lengths = [num_tokens_of_samples(len(clip)) for clip in example.clips]
        r = render(example.messages, lengths, TOKENIZER, SPEC, add_generation_prompt=False)
        assert sample["input_ids"] == r.input_ids
        assert sample["audio_input_mask"] == r.audio_mask
        assert sample["position_ids"] == list(range(len(r.input_ids)))
        learnt = [i if keep else IGNORE for i, keep in zip(r.input_ids, r.loss_mask, strict=True)]
        assert sample["labels"] == learnt
        assert sample["labels"][0] == IGNORE
        # what is asked in inference opens what is trained on
        thinking = example.messages[-1].get("thinking")
        silent = thinking is not None and not thinking.strip()
        asked = render(
            example.messages[:-1], lengths, TOKENIZER, SPEC, enable_thinking=not silent
        ).input_ids
        assert sample["input_ids"][: len(asked)] == asked
    clips = [clip for example in given for clip in example.clips]
    assert packed.audio_data_seqlens.tolist() == [len(clip) // 160 for clip in clips]
    for data, clip in zip(packed.audio_data, clips, strict=True):
        assert np.array_equal(data[:, : len(clip) // 160].numpy(), log_mel(clip, N_MELS))
        assert not data[:, len(clip) // 160 :].any()


@settings(max_examples=12, deadline=None)
@given(st.lists(examples(), min_size=2, max_size=4))
def test_packed_is_the_samples_one_after_the_other(given: list[Example]) -> None:
    collator = Collator(TOKENIZER, SPEC, N_MELS, "packed")
    together, alone = collator(given), [collator([example]) for example in given]
    for name in ("input_ids", "labels", "position_ids", "audio_input_mask"):
        joined = torch.cat([getattr(batch, name) for batch in alone], 1)
        assert torch.equal(getattr(together, name), joined)
    assert together.attention_mask is None
    assert together.segments == [[batch.segments[0][0] for batch in alone]]
    assert together.num_items == sum(batch.num_items for batch in alone)
    assert together.num_tokens == together.input_ids.numel()


def test_the_padded_layout_pads_to_its_longest_and_says_so() -> None:
    given = [_talk("a", answer="y"), _talk("b", answer="y" * 30)]
    batch = Collator(TOKENIZER, SPEC, N_MELS, "padded")(given)
    (short,), (long,) = batch.segments
    assert batch.input_ids.shape == (2, long)
    assert batch.attention_mask is not None
    assert batch.attention_mask.sum(1).tolist() == [short, long]
    assert (batch.labels[0, short:] == IGNORE).all()
    assert not batch.audio_input_mask[0, short:].any()
    assert batch.num_tokens == short + long


def _talk(
    id: str = "x", answer: str = "yes", seconds: float = 4.0, task: str = "", **known: Any
) -> Example:
    content = [{"type": "audio"}, {"type": "text", "text": "Well?"}]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    rng = np.random.default_rng(0)
    clip = rng.standard_normal(round(seconds * 16_000)).astype(np.float32) * 0.01
    return Example(id, messages, (clip,), task=task, **known)


def test_a_document_is_learnt_whole_but_for_its_first_token() -> None:
    text = "the user <|im_end|> says"
    example = Example("d", [{"role": "assistant", "content": text}], (), task=DOCUMENT)
    batch = Collator(TOKENIZER, SPEC, N_MELS)([example])
    assert TOKENIZER.decode(batch.input_ids[0]) == text + "<|endoftext|>"
    assert TOKENIZER.convert_tokens_to_ids("<|im_end|>") not in batch.input_ids[0].tolist()
    assert batch.labels[0, 1:].tolist() == batch.input_ids[0, 1:].tolist()
    assert batch.num_items == batch.num_tokens - 1
    assert batch.audio_data.shape == (0, N_MELS, 0)
    part = Collator(TOKENIZER, SPEC, N_MELS)([replace(example, task=DOCUMENT_PART)])
    assert TOKENIZER.decode(part.input_ids[0]) == text


def test_drop_names_what_it_drops_and_keeps_the_rest_whole() -> None:
    collator = Collator(TOKENIZER, SPEC, N_MELS, max_tokens=130)
    batch = collator([_talk("long", "no " * 90), _talk("short")])
    assert batch.ids == ["short"]
    assert [(a.id, a.reason) for a in batch.set_aside] == [("long", "over_long")]
    with pytest.raises(MossAudioError, match=r"long: .* tokens, at most 130"):
        Collator(TOKENIZER, SPEC, N_MELS, max_tokens=130, over_long="error")(
            [_talk("long", "no " * 90)]
        )


WORD, NONE = ((Word("yes", 0.1, 0.9),),), ((),)


@pytest.mark.parametrize(
    ("example", "cut"),
    [
        (_talk(task="transcribe", words=WORD), True),
        (_talk(task="caption", words=WORD, sounds=NONE), True),
        (_talk(task="caption", words=WORD), False),  # nobody knows what else sounds
        (_talk(task="transcribe"), False),
        (_talk(words=NONE, sounds=((Event("bell", 3.0, 3.5),),)), False),
        (_talk(answer="At 3.6 seconds.", words=NONE, sounds=NONE), False),
        (_talk(answer="At 0:03.", words=NONE, sounds=NONE), False),
        (_talk(answer="At 0:01.", words=NONE, sounds=NONE), True),
        (_talk(answer="[0.10]yes[0.90]", task="transcribe_word", words=WORD), True),
    ],
)
def test_audio_is_cut_only_where_no_answer_reaches(example: Example, cut: bool) -> None:
    whole = len(Collator(TOKENIZER, SPEC, N_MELS).render(example).input_ids)
    collator = Collator(TOKENIZER, SPEC, N_MELS, max_tokens=whole - 20, over_long="truncate_audio")
    batch = collator([example])
    assert bool(batch.ids) is cut
    if cut:
        assert batch.input_ids.shape[1] <= whole - 20
        assert int(batch.audio_input_mask.sum()) == 50 - 20
        answer = example.messages[-1]["content"]
        learnt = batch.labels[0][batch.labels[0] != IGNORE]
        assert TOKENIZER.decode(learnt) == answer + "<|im_end|>"
    else:
        assert "not cut" in batch.set_aside[0].detail


def test_nothing_usable_gives_a_row_in_which_nothing_is_learnt() -> None:
    tiny = Example("tiny", _talk().messages, (np.zeros(100, np.float32),))
    wrong = Example("wrong", _talk().messages, ())
    batch = Collator(TOKENIZER, SPEC, N_MELS)([tiny, wrong])
    assert [(a.id, a.reason) for a in batch.set_aside] == [
        ("tiny", "too_short"), ("wrong", "unrenderable"),
    ]  # fmt: skip
    assert batch.ids == []
    assert batch.num_items == 0
    assert batch.num_tokens > 1


def test_to_moves_every_tensor_and_nothing_else() -> None:
    batch = Collator(TOKENIZER, SPEC, N_MELS, "padded")([_talk(words=WORD)])
    moved = batch.to("meta")
    tensors = [v for v in vars(moved).values() if isinstance(v, torch.Tensor)]
    assert len(tensors) == 8
    assert all(t.device.type == "meta" for t in tensors)
    assert moved.words == batch.words == list(WORD)

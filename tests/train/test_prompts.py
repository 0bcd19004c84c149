"""The prompt that is trained on is the prompt that is asked with, whatever the conversation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.data.collate import Collator
from moss_audio.data.example import Example
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.testing.tokenizer import tiny_tokenizer

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_CLIP = st.integers(1_300, 70_000)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[int]]:
    """Messages that end with an answer, and the samples of their clips."""
    messages: list[dict[str, Any]] = []
    clips: list[int] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(_TEXT)})
    for _ in range(draw(st.integers(1, 3))):
        parts: list[dict[str, Any]] = []
        for kind in draw(st.lists(st.sampled_from(["audio", "text"]), min_size=1, max_size=3)):
            if kind == "audio":
                clips.append(draw(_CLIP))
                parts.append({"type": "audio"})
            else:
                parts.append({"type": "text", "text": draw(_TEXT)})
        messages.append({"role": "user", "content": parts})
        answer: dict[str, Any] = {"role": "assistant", "content": draw(_TEXT)}
        if draw(st.booleans()):
            answer["thinking"] = draw(_TEXT)
        messages.append(answer)
    return messages, clips


@pytest.fixture(scope="module")
def processor() -> MossAudioProcessor:
    tokenizer = tiny_tokenizer()
    size = len(tokenizer)
    return MossAudioProcessor(
        tokenizer, audio_token_id=size, audio_start_id=size + 1, audio_end_id=size + 2,
        mel_config={"mel_dim": 16},
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(conversations())
def test_ids_in_training_open_with_those_of_inference(
    processor: MossAudioProcessor, drawn: tuple[list[dict[str, Any]], list[int]]
) -> None:
    messages, lengths = drawn
    rng = np.random.default_rng(0)
    clips = tuple((0.1 * rng.standard_normal(n)).astype(np.float32) for n in lengths)
    collate = Collator(processor.tokenizer, processor.prompt_spec, 16)
    batch = collate([Example("x", messages, clips)])
    if not batch.ids:  # set aside: nothing was trained on
        assert batch.set_aside[0].reason == "unrenderable"
        return
    trained, learnt = batch.input_ids[0], batch.labels[0] != -100
    left = iter(clips)
    asked: list[dict[str, Any]] = []
    for message in messages:
        content = message["content"]
        if message["role"] == "assistant":
            empty = message.get("thinking") is not None and not message["thinking"].strip()
            inputs = processor(
                messages=asked, add_generation_prompt=True,
                **({"enable_thinking": False} if empty else {}),
            )  # fmt: skip
            ids = inputs["input_ids"][0]
            assert torch.equal(trained[: len(ids)], torch.as_tensor(ids))
            assert learnt[len(ids)]  # the answer begins right there
            mask = inputs.get("audio_input_mask")
            if mask is not None:
                assert torch.equal(batch.audio_input_mask[0, : len(ids)], mask[0])
        else:
            if not isinstance(content, str):
                content = [
                    {"type": "audio", "audio": next(left)} if p["type"] == "audio" else p
                    for p in content
                ]
        asked.append({**message, "content": content})

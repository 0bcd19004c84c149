"""A batch, whatever is in it and in whatever order, gives what single calls give."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_models as tiny
import torch
from transformers import DynamicCache, LogitsProcessor, LogitsProcessorList, set_seed

from moss_audio.model.modeling import MossAudioModel

NEW = 12
GREEDY: dict[str, Any] = {"max_new_tokens": NEW, "do_sample": False}


@pytest.fixture(scope="module")
def model() -> MossAudioModel:
    return tiny.model()


@pytest.fixture(scope="module")
def singles(model: MossAudioModel) -> list[list[int]]:
    found = [answer(model, [prompt])[0] for prompt in tiny.mixed_prompts()]
    assert len({tuple(tokens) for tokens in found}) == 8  # else the tests below say little
    assert all(len(set(tokens)) > 1 for tokens in found)
    assert sum(len(set(tokens)) for tokens in found) > 8 * 4
    return found


def answer(model: MossAudioModel, prompts: list[Any], **options: Any) -> list[list[int]]:
    inputs = tiny.batch(prompts)
    output = model.generate(**inputs, **{**GREEDY, **options})
    return output[:, inputs["input_ids"].shape[1] :].tolist()


def test_a_batch_of_eight_equals_eight_singles(
    model: MossAudioModel, singles: list[list[int]]
) -> None:
    assert answer(model, tiny.mixed_prompts()) == singles


@pytest.mark.parametrize("seed", range(3))
def test_a_shuffled_batch_gives_the_same(
    model: MossAudioModel, singles: list[list[int]], seed: int
) -> None:
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed)).tolist()
    prompts = tiny.mixed_prompts()
    assert answer(model, [prompts[i] for i in order]) == [singles[i] for i in order]


def test_a_llama_decoder_with_whispers_stem_batches_too() -> None:
    model = tiny.model(
        seed=3,
        language={**tiny.LLAMA, "tie_word_embeddings": True},
        audio=tiny.WHISPER_STEM,
    )
    prompts = tiny.mixed_prompts()
    assert answer(model, prompts) == [answer(model, [p])[0] for p in prompts]


def test_no_mask_but_the_ids_is_enough(model: MossAudioModel, singles: list[list[int]]) -> None:
    inputs = tiny.batch(tiny.mixed_prompts())
    del inputs["audio_input_mask"]
    output = model.generate(**inputs, **GREEDY)
    assert output[:, inputs["input_ids"].shape[1] :].tolist() == singles


def test_features_made_before_serve_many_calls(
    model: MossAudioModel, singles: list[list[int]]
) -> None:
    inputs = tiny.batch(tiny.mixed_prompts())
    with torch.no_grad():
        features = model.encode_prompts(
            inputs.pop("audio_data"), inputs.pop("audio_data_seqlens"), inputs["audio_input_mask"]
        )
    for _ in range(2):
        output = model.generate(**inputs, audio_features=features, **GREEDY)
        assert output[:, inputs["input_ids"].shape[1] :].tolist() == singles


def test_without_a_cache_the_tokens_are_the_same(
    model: MossAudioModel, singles: list[list[int]]
) -> None:
    """The audio mask once stayed as long as the prompt while the ids grew."""
    assert answer(model, tiny.mixed_prompts(), use_cache=False) == singles


class _Forced(LogitsProcessor):
    """Makes the model say the audio placeholder at its first and third step."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[1] - self.start in (0, 2):
            scores = torch.full_like(scores, -1e9)
            scores[:, tiny.AUDIO_ID] = 0.0
        return scores


@pytest.mark.parametrize("with_mask", [True, False])
@pytest.mark.parametrize("use_cache", [True, False])
def test_a_generated_placeholder_is_text(
    model: MossAudioModel, with_mask: bool, use_cache: bool
) -> None:
    """It once asked for the clips again, and failed because there was no position for them."""
    inputs = tiny.batch(tiny.mixed_prompts()[:3])
    if not with_mask:
        del inputs["audio_input_mask"]
    start = inputs["input_ids"].shape[1]
    output = model.generate(
        **inputs,
        **GREEDY,
        use_cache=use_cache,
        logits_processor=LogitsProcessorList([_Forced(start)]),
    )
    assert (output[:, [start, start + 2]] == tiny.AUDIO_ID).all()
    assert output.shape[1] == start + NEW


@pytest.mark.parametrize("beams", [2, 3])
def test_beams_of_a_batch_equal_beams_of_singles(model: MossAudioModel, beams: int) -> None:
    prompts = tiny.mixed_prompts()
    options = {"num_beams": beams, "num_return_sequences": beams}
    together = answer(model, prompts, **options)
    assert len(together) == 8 * beams
    for index, prompt in enumerate(prompts):
        alone = answer(model, [prompt], **options)
        assert together[index * beams : (index + 1) * beams] == alone
    best = answer(model, prompts, num_beams=beams)
    assert best == together[::beams]


def test_sampled_sequences_are_repeatable_and_varied(model: MossAudioModel) -> None:
    options = {"do_sample": True, "num_return_sequences": 4, "temperature": 1.0}
    prompts = tiny.mixed_prompts()
    set_seed(7)
    first = answer(model, prompts, **options)
    set_seed(7)
    assert answer(model, prompts, **options) == first
    assert len(first) == 32
    assert all(0 <= token < 64 for tokens in first for token in tokens)
    assert len({tuple(tokens) for tokens in first}) > 24


def test_each_of_several_sequences_is_its_prompts_own(
    model: MossAudioModel, singles: list[list[int]]
) -> None:
    """Almost without temperature, sampling is greedy, so every sequence must be the single one."""
    sampled = answer(
        model,
        tiny.mixed_prompts(),
        do_sample=True,
        temperature=1e-5,
        num_return_sequences=3,
    )
    assert sampled == [tokens for tokens in singles for _ in range(3)]


def test_expanding_repeats_the_clips_of_each_prompt(model: MossAudioModel) -> None:
    inputs = tiny.batch(tiny.mixed_prompts())
    features = model.encode_prompts(
        inputs["audio_data"], inputs["audio_data_seqlens"], inputs["audio_input_mask"]
    )
    ids, expanded = model._expand_inputs_for_generation(expand_size=2, **dict(inputs))
    assert ids.shape[0] == 16
    per_prompt = inputs["audio_input_mask"].sum(1).tolist()
    parts = features.embeds.split(per_prompt)
    expected = torch.cat([part for part in parts for _ in range(2)])
    assert torch.equal(expanded["audio_features"].embeds, expected)
    assert int(expanded["audio_input_mask"].sum()) == expected.shape[0]


@pytest.mark.parametrize("size", [1, 5, 64, 1000])
def test_prefill_in_chunks_gives_the_same(
    model: MossAudioModel, singles: list[list[int]], size: int
) -> None:
    assert answer(model, tiny.mixed_prompts(), prefill_chunk_size=size) == singles


def test_a_cached_beginning_serves_many_questions(model: MossAudioModel) -> None:
    """The clip's prefill is made once; each question gives what the whole prompt gives."""
    clip = tiny.mel(430, 9)
    start = tiny.batch([[5, clip]])
    length = start["input_ids"].shape[1]
    for question in ([6, 7], [8, 9, 10]):
        cache = DynamicCache(config=model.config.language_config)
        with torch.no_grad():
            model(**start, past_key_values=cache, use_cache=True)
        assert cache.get_seq_length() == length
        inputs = tiny.batch([[5, clip, *question]])
        expected = model.generate(**inputs, **GREEDY)
        for given in (
            {k: inputs[k] for k in ("input_ids", "attention_mask")},
            inputs,  # the clips again do no harm
        ):
            reused = DynamicCache(config=model.config.language_config)
            for index, layer in enumerate(cache.layers):
                reused.update(layer.keys.clone(), layer.values.clone(), index)
            output = model.generate(**given, past_key_values=reused, **GREEDY)
            assert torch.equal(output, expected)


def test_a_second_turn_may_bring_a_clip_of_its_own(model: MossAudioModel) -> None:
    first, second = tiny.mel(100, 1), tiny.mel(210, 2)
    turn = tiny.batch([[5, first, 6]])
    both = tiny.batch([[5, first, 6, 7, second, 8]])
    expected = model.generate(**both, **GREEDY)
    for clips in ([first, second], [second]):
        cache = DynamicCache(config=model.config.language_config)
        with torch.no_grad():
            model(**turn, past_key_values=cache, use_cache=True)
        output = model.generate(
            input_ids=both["input_ids"],
            attention_mask=both["attention_mask"],
            **tiny.pad_clips(clips),
            past_key_values=cache,
            **GREEDY,
        )
        assert torch.equal(output, expected)


def test_text_embeddings_instead_of_ids(model: MossAudioModel) -> None:
    inputs = tiny.batch([[5, tiny.mel(90), 6, 7]])
    expected = answer(model, [[5, tiny.mel(90), 6, 7]])
    embeds = model.get_input_embeddings()(inputs.pop("input_ids"))
    output = model.generate(**inputs, inputs_embeds=embeds.detach(), **GREEDY)
    assert output.tolist() == expected


def test_a_static_cache_gives_the_same(model: MossAudioModel, singles: list[list[int]]) -> None:
    options = {"cache_implementation": "static", "disable_compile": True}
    assert answer(model, tiny.mixed_prompts(), **options) == singles


def test_bfloat16_generates(model: MossAudioModel) -> None:
    rounded = tiny.model().to(torch.bfloat16)
    assert len(answer(rounded, tiny.mixed_prompts())) == 8

"""Gradients, loss, and the checks between prompts and clips."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_models as tiny
import torch
from torch.nn import functional as F

from moss_audio.errors import PromptError
from moss_audio.model.modeling import MossAudioModel

VARIANTS: dict[str, dict[str, Any]] = {
    "qwen3": {},
    "tied llama": {
        "language": {**tiny.LLAMA, "tie_word_embeddings": True},
        "audio": tiny.WHISPER_STEM,
    },
}
variants = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)


def labelled(prompts: list[Any], seed: int = 0) -> dict[str, torch.Tensor]:
    inputs = tiny.batch(prompts)
    labels = inputs["input_ids"].clone()
    hidden = torch.rand(labels.shape, generator=torch.Generator().manual_seed(seed)) < 0.3
    labels[(inputs["attention_mask"] == 0) | inputs["audio_input_mask"] | hidden] = -100
    # a first token has nothing before it; in a padded row it would be predicted from padding
    labels[torch.arange(len(labels)), inputs["attention_mask"].argmax(1)] = -100
    return {**inputs, "labels": labels}


def gradients(model: MossAudioModel, inputs: dict[str, Any]) -> dict[str, torch.Tensor | None]:
    model.zero_grad()
    model(**inputs).loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@variants
def test_gradients_reach_every_parameter_also_with_checkpointing(variant: dict[str, Any]) -> None:
    model = tiny.model(**variant).train()
    inputs = labelled(tiny.mixed_prompts())
    plain = gradients(model, inputs)
    for name, _ in model.named_parameters():
        assert name in plain, name
        assert plain[name].abs().sum() > 0, name
    model.gradient_checkpointing_enable()
    modules = [m for m in model.modules() if getattr(m, "gradient_checkpointing", False)]
    assert len(modules) >= 8  # the layers of the encoder and of the decoder
    checkpointed = gradients(model, inputs)
    assert checkpointed.keys() == plain.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, msg=name)
    model.gradient_checkpointing_disable()
    torch.testing.assert_close(gradients(model, inputs), plain)


def test_reentrant_checkpointing_gives_the_same_gradients() -> None:
    model = tiny.model().train()
    inputs = labelled(tiny.mixed_prompts()[:3])
    plain = gradients(model, inputs)
    model.gradient_checkpointing_enable({"use_reentrant": True})
    model.enable_input_require_grads()
    checkpointed = gradients(model, inputs)
    # the stem stands before the first checkpoint, whose input needs gradients, so nothing is lost
    assert checkpointed.keys() == plain.keys()
    torch.testing.assert_close(checkpointed, plain)


def test_one_batch_of_eight_equals_eight_accumulated() -> None:
    model = tiny.model().train()
    prompts = tiny.mixed_prompts()
    prompts[5] = [22, 28, 29]
    whole = labelled(prompts)
    items = int((whole["labels"][:, 1:] != -100).sum())
    together = gradients(model, {**whole, "num_items_in_batch": items})
    loss = model(**whole, num_items_in_batch=torch.tensor(items)).loss
    torch.testing.assert_close(loss, model(**whole).loss)
    model.zero_grad()
    total = torch.zeros(())
    for index, prompt in enumerate(prompts):
        one = tiny.batch([prompt])
        one["labels"] = whole["labels"][index : index + 1, -one["input_ids"].shape[1] :]
        part = model(**one, num_items_in_batch=items).loss
        part.backward()
        total = total + part.detach()
    torch.testing.assert_close(total, loss.detach())
    accumulated = {n: p.grad for n, p in model.named_parameters()}
    for name, gradient in together.items():
        torch.testing.assert_close(accumulated[name], gradient, atol=2e-5, rtol=1e-3, msg=name)


def test_labels_are_shifted_and_masked() -> None:
    model = tiny.model()
    inputs = labelled(tiny.mixed_prompts()[:3])
    with torch.no_grad():
        output = model(**inputs)
    losses = []
    for row, labels in zip(output.logits, inputs["labels"], strict=True):
        for position in range(len(labels) - 1):
            if labels[position + 1] != -100:
                losses.append(-F.log_softmax(row[position], -1)[labels[position + 1]])
    torch.testing.assert_close(output.loss, torch.stack(losses).mean())


def test_logits_to_keep_keeps_the_last() -> None:
    model = tiny.model()
    inputs = tiny.batch(tiny.mixed_prompts()[:2])
    with torch.no_grad():
        every = model(**inputs).logits
        torch.testing.assert_close(model(**inputs, logits_to_keep=1).logits, every[:, -1:])
        index = torch.tensor([0, 3])
        torch.testing.assert_close(model(**inputs, logits_to_keep=index).logits, every[:, index])


def test_batched_logits_equal_single_ones() -> None:
    model = tiny.model()
    prompts = tiny.mixed_prompts()
    with torch.no_grad():
        together = model(**tiny.batch(prompts)).logits
        for row, prompt in zip(together, prompts, strict=True):
            alone = model(**tiny.batch([prompt])).logits[0]
            torch.testing.assert_close(row[-len(alone) :], alone, atol=1e-4, rtol=1e-4)


def test_packed_prompts_with_clips_equal_separate_ones() -> None:
    model = tiny.model()
    prompts = tiny.mixed_prompts()[:3]
    singles = [tiny.batch([prompt]) for prompt in prompts]
    lengths = [s["input_ids"].shape[1] for s in singles]
    clips = [p for prompt in prompts for p in prompt if isinstance(p, torch.Tensor)]
    with torch.no_grad():
        packed = model(
            torch.cat([s["input_ids"] for s in singles], dim=1),
            position_ids=torch.cat([torch.arange(n) for n in lengths])[None],
            **tiny.pad_clips(clips),
        ).logits
        for part, single in zip(packed.split(lengths, dim=1), singles, strict=True):
            torch.testing.assert_close(part, model(**single).logits, atol=1e-4, rtol=1e-4)


def test_a_short_clip_is_padded_to_the_longest_of_its_own_prompt_only() -> None:
    """As vLLM and the released code do with one prompt; other prompts of the batch play no part."""
    model = tiny.model()
    chunk = model.config.audio_config.chunk_frames
    short, long = tiny.mel(20, seed=1), tiny.mel(chunk + 50, seed=2)
    with torch.no_grad():
        alone = model.encode_audio(**tiny.pad_clips([short])).embeds
        zeros = torch.nn.functional.pad(short, (0, chunk - 20))
        stem = model.audio_encoder._encode_chunks([zeros], [20], [chunk])[0]
        beside = model.audio_adapter(stem)
        pair = tiny.batch([[short, long, 5]])
        taken = model.encode_prompts(
            pair["audio_data"], pair["audio_data_seqlens"], pair["input_ids"] == tiny.AUDIO_ID
        ).embeds
        apart = tiny.batch([[short, 5], [long, 5]])
        taken_apart = model.encode_prompts(
            apart["audio_data"], apart["audio_data_seqlens"], apart["input_ids"] == tiny.AUDIO_ID
        ).embeds
    n = len(alone)
    torch.testing.assert_close(taken[:n], beside)
    torch.testing.assert_close(taken_apart[:n], alone)
    assert float((beside - alone).abs().max()) > 1e-3


def test_audio_reaches_only_what_follows_it() -> None:
    model = tiny.model()
    with torch.no_grad():
        one = model(**tiny.batch([[5, 6, tiny.mel(80, 1), 7]])).logits[0]
        other = model(**tiny.batch([[5, 6, tiny.mel(80, 2), 7]])).logits[0]
    assert torch.equal(one[:3], other[:3])
    assert not torch.isclose(one[3:], other[3:]).all(dim=1).any()


def test_deepstack_features_are_placed_at_audio_positions_only() -> None:
    model = tiny.model()
    inputs = tiny.batch(tiny.mixed_prompts())
    features = model.encode_audio(inputs["audio_data"], inputs["audio_data_seqlens"])
    mask = inputs["audio_input_mask"]
    text = model.get_input_embeddings()(inputs["input_ids"])
    embeds, streams = model._place_audio(text, features, mask)
    assert torch.equal(embeds[mask], features.embeds)
    assert torch.equal(embeds[~mask], text[~mask])
    assert len(streams) == 3
    for stream, given in zip(streams, features.deepstack, strict=True):
        assert torch.equal(stream[mask], given)
        assert not stream[~mask].any()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_mergers_use_the_first_taps(count: int) -> None:
    model = tiny.model(deepstack_num_inject_layers=count)
    assert len(model.deepstack_audio_merger_list) == count
    clip = tiny.pad_clips([tiny.mel(90)])
    features = model.encode_audio(**clip)
    encoded = model.audio_encoder(clip["audio_data"], clip["audio_data_seqlens"])
    assert len(features.deepstack) == count
    for merger, tap, stream in zip(
        model.deepstack_audio_merger_list, encoded.taps[:count], features.deepstack, strict=True
    ):
        torch.testing.assert_close(merger(tap), stream)


def test_features_made_before_equal_clips_given() -> None:
    model = tiny.model()
    inputs = tiny.batch(tiny.mixed_prompts())
    with torch.no_grad():
        expected = model(**inputs).logits
        data, lengths = inputs.pop("audio_data"), inputs.pop("audio_data_seqlens")
        features = model.encode_prompts(data, lengths, inputs["audio_input_mask"])
        assert sum(features.lengths) == features.embeds.shape[0]
        assert torch.equal(model(**inputs, audio_features=features).logits, expected)
        del inputs["audio_input_mask"]  # found by id
        assert torch.equal(model(**inputs, audio_features=features).logits, expected)
        assert model.encode_audio(data[:, :, :100]).lengths == (13,) * len(lengths)


def test_positions_and_clips_must_agree() -> None:
    model = tiny.model()
    inputs = tiny.batch([[5, tiny.mel(90), 6]])
    clips = {k: inputs[k] for k in ("audio_data", "audio_data_seqlens")}
    text = {k: inputs[k] for k in ("input_ids", "attention_mask")}
    shorter = tiny.pad_clips([tiny.mel(80)])
    for call in (model, model.generate):
        for wrong in (
            text,  # positions without a clip
            {**text, "audio_input_mask": inputs["audio_input_mask"]},
            {**inputs, **shorter},
            {"input_ids": torch.tensor([[5, 6]]), **clips},  # a clip without positions
            {"input_ids": torch.tensor([[5]]), **clips},
        ):
            with pytest.raises(PromptError, match=r"audio positions, but the clips give \d+"):
                call(**wrong)
    with pytest.raises(PromptError):
        model.generate(**inputs | shorter, num_return_sequences=2, do_sample=True)


def test_compiled_model_gives_the_same() -> None:
    model = tiny.model(
        audio={"encoder_layers": 1, "deepstack_encoder_layer_indexes": [0]},
        language={"num_hidden_layers": 1},
    )
    inputs = tiny.batch([[5, 6, tiny.mel(37), 7]])
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(**inputs).logits, model(**inputs).logits)


def test_dropout_is_off_in_evaluation() -> None:
    model = tiny.model(audio={"dropout": 0.5, "attention_dropout": 0.5, "activation_dropout": 0.5})
    clip = tiny.pad_clips([tiny.mel(90)])
    assert torch.equal(model.encode_audio(**clip).embeds, model.encode_audio(**clip).embeds)
    model.train()
    assert not torch.equal(model.encode_audio(**clip).embeds, model.encode_audio(**clip).embeds)


def test_attention_implementation_reaches_the_decoder() -> None:
    model = tiny.model()
    model.set_attn_implementation("eager")
    assert model.language_model.config._attn_implementation == "eager"


def test_resized_vocabulary_still_computes_a_loss() -> None:
    model = tiny.model()
    model.resize_token_embeddings(70)
    inputs = labelled(tiny.mixed_prompts()[:2])
    output = model(**inputs)
    assert output.logits.shape[-1] == 70
    assert output.loss.isfinite()

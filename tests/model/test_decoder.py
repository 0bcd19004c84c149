"""The decoder is transformers' own, but for the DeepStack features in its layer loop."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_models as tiny
import torch
from transformers import AutoModelForCausalLM

from moss_audio.model.decoder import build_decoder

FAMILIES = [tiny.QWEN3, tiny.LLAMA]
both_families = pytest.mark.parametrize("language", FAMILIES, ids=["qwen3", "llama"])


def build(language: dict[str, Any]) -> Any:
    decoder = build_decoder(tiny.config(language=language).language_config).eval()
    tiny.scramble(decoder)
    return decoder


def ids(length: int = 12, rows: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randint(2, 60, (rows, length), generator=torch.Generator().manual_seed(seed))


@both_families
def test_without_deepstack_equals_transformers_exactly(language: dict[str, Any]) -> None:
    model = tiny.model(language=language)
    theirs = AutoModelForCausalLM.from_config(model.config.language_config).eval()
    theirs.model.load_state_dict(model.language_model.state_dict())
    theirs.lm_head.load_state_dict(model.lm_head.state_dict())
    tokens = ids(rows=3)
    padding = torch.ones_like(tokens)
    padding[1, :5] = 0
    with torch.no_grad():
        assert torch.equal(model(tokens).logits, theirs(tokens).logits)
        ours = model(tokens, attention_mask=padding).logits
        assert torch.equal(ours, theirs(tokens, attention_mask=padding).logits)


@both_families
def test_deepstack_is_added_to_the_output_of_its_layer(language: dict[str, Any]) -> None:
    decoder = build(language)
    tokens = ids()
    generator = torch.Generator().manual_seed(1)
    features = [torch.randn(1, 12, 32, generator=generator) for _ in range(3)]
    with torch.no_grad():
        output = decoder(tokens, deepstack_features=features, output_hidden_states=True)
        hidden = decoder.embed_tokens(tokens)
        positions = torch.arange(12)[None]
        rotary = decoder.rotary_emb(hidden, position_ids=positions)
        causal = torch.full((12, 12), float("-inf")).triu(1)[None, None]
        for index, layer in enumerate(decoder.layers):
            hidden = layer(
                hidden,
                attention_mask=causal,
                position_embeddings=rotary,
                position_ids=positions,
            )
            if index < 3:
                hidden = hidden + features[index]
            if index < 3:  # the last entry is normed
                torch.testing.assert_close(output.hidden_states[index + 1], hidden)
        torch.testing.assert_close(output.last_hidden_state, decoder.norm(hidden))


@both_families
@pytest.mark.parametrize("changed", [0, 1, 2])
def test_a_deepstack_stream_changes_nothing_before_its_layer(
    language: dict[str, Any], changed: int
) -> None:
    decoder = build(language)
    features = [torch.zeros(1, 12, 32) for _ in range(3)]
    with torch.no_grad():
        before = decoder(ids(), deepstack_features=features, output_hidden_states=True)
        features[changed] = torch.zeros(1, 12, 32)
        features[changed][0, 5] = 1.0
        after = decoder(ids(), deepstack_features=features, output_hidden_states=True)
    for index, (old, new) in enumerate(zip(before.hidden_states, after.hidden_states, strict=True)):
        assert torch.equal(old, new) == (index <= changed)
        assert torch.equal(old[:, :5], new[:, :5])  # causal


@both_families
@pytest.mark.parametrize("training", [False, True])
def test_packed_samples_equal_separate_ones(language: dict[str, Any], training: bool) -> None:
    """In evaluation a cache of the decoder's own once hid the restarts from the mask."""
    decoder = build(language).train(training)
    parts = [ids(n, seed=n) for n in (7, 1, 10)]
    positions = torch.cat([torch.arange(p.shape[1]) for p in parts])[None]
    deep = [torch.randn(1, 18, 32, generator=torch.Generator().manual_seed(2))]
    with torch.no_grad():
        packed = decoder(
            torch.cat(parts, dim=1), position_ids=positions, deepstack_features=deep
        ).last_hidden_state
        at = 0
        for part in parts:
            end = at + part.shape[1]
            alone = decoder(part, deepstack_features=[d[:, at:end] for d in deep])
            torch.testing.assert_close(
                packed[:, at:end], alone.last_hidden_state, atol=1e-5, rtol=1e-5
            )
            at = end


@both_families
def test_one_token_at_a_time_equals_the_whole(language: dict[str, Any]) -> None:
    decoder = build(language)
    tokens = ids(rows=2)
    deep = torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        whole_deep = torch.cat([deep, torch.zeros(2, 6, 32)], dim=1)
        whole = decoder(tokens, deepstack_features=(whole_deep,), use_cache=False)
        assert whole.past_key_values is None
        step = decoder(tokens[:, :6], deepstack_features=(deep,), use_cache=True)
        collected = [step.last_hidden_state]
        for at in range(6, 12):
            step = decoder(
                tokens[:, at : at + 1], past_key_values=step.past_key_values, use_cache=True
            )
            collected.append(step.last_hidden_state)
    torch.testing.assert_close(
        torch.cat(collected, dim=1), whole.last_hidden_state, atol=1e-5, rtol=1e-5
    )


@both_families
def test_rotary_frequencies_stay_float32(language: dict[str, Any]) -> None:
    """`.to(bfloat16)` rounds every buffer; late positions of a long clip would be blurred."""
    model = tiny.model(language=language)
    exact = {n: b.clone() for n, b in model.named_buffers()}
    assert exact
    for cast in (model.to(torch.bfloat16), model.half(), model.float()):
        for name, buffer in cast.named_buffers():
            assert buffer.dtype == torch.float32
            assert torch.equal(buffer, exact[name])
    assert model.to(torch.bfloat16).language_model.layers[0].mlp.up_proj.weight.dtype == (
        torch.bfloat16
    )


def test_exactly_one_input_is_needed() -> None:
    decoder = build(tiny.QWEN3)
    with pytest.raises(ValueError, match="exactly one"):
        decoder()
    with pytest.raises(ValueError, match="exactly one"):
        decoder(ids(), inputs_embeds=torch.zeros(1, 12, 32))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_decoder_gives_the_same(backend: str) -> None:
    decoder = build(tiny.QWEN3)
    deep = (torch.randn(1, 12, 32, generator=torch.Generator().manual_seed(4)),)
    torch.compiler.reset()
    compiled = torch.compile(decoder, backend=backend, fullgraph=backend == "eager")
    with torch.no_grad():
        expected = decoder(ids(), deepstack_features=deep, use_cache=False).last_hidden_state
        output = compiled(ids(), deepstack_features=deep, use_cache=False).last_hidden_state
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)

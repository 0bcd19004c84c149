"""The decoder: Qwen3 (or Llama, for nano) with DeepStack as an argument of forward (spec 1.3, 1.4).

transformers' own layers, embedding, norm and rotary positions are used unchanged; only the loop
over the layers is ours, because that is where the DeepStack features are added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import LlamaModel, PretrainedConfig, PreTrainedModel, Qwen3Model
from transformers.cache_utils import Cache, DynamicCache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast


class _DeepStackDecoder:
    """Forward of a decoder that adds `deepstack_features[i]` to the output of layer i."""

    def _apply(self: Any, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        """Moves and casts as usual, but the rotary frequencies stay float32.

        In bfloat16 they are off by up to 0.4 %, which is whole turns at the positions of a long
        clip; transformers keeps them only when it loads in bfloat16, not in `.to(bfloat16)`.
        """
        kept = dict(self.rotary_emb.named_buffers(recurse=False))
        moved = super()._apply(fn, recurse)  # type: ignore[misc]
        for name, buffer in kept.items():
            now = getattr(self.rotary_emb, name)
            if now.dtype != buffer.dtype:
                setattr(self.rotary_emb, name, buffer.to(now.device))
        return moved

    def forward(
        self: Any,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        deepstack_features: Sequence[torch.Tensor] = (),
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """One pass.

        Args:
            input_ids, inputs_embeds: exactly one of `[B, L]` and `[B, L, H]`.
            attention_mask: `[B, past + L]`, 1 where a position exists.
            position_ids: `[B, L]`; positions that restart mark packed samples.
            deepstack_features: `[B, L, H]` each, zero away from audio positions; the i-th is
                added to the output of layer i.

        Returns:
            last hidden state `[B, L, H]` after the final norm, and the cache.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        if use_cache is None:
            use_cache = bool(self.config.use_cache) and not self.training
        # An empty cache of our own must not hide packed samples from the mask, which looks for
        # restarting positions only where nothing is cached.
        given_cache = past_key_values
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if position_ids is None:
            seen = past_key_values.get_seq_length() if past_key_values is not None else 0
            positions = torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device)
            position_ids = (positions + seen).unsqueeze(0)
        mask = attention_mask
        if not isinstance(mask, dict):
            mask = create_causal_mask(
                config=self.config,
                inputs_embeds=inputs_embeds,
                attention_mask=attention_mask,
                past_key_values=given_cache,
                position_ids=position_ids,
            )
        else:
            mask = mask["full_attention"]
        hidden = inputs_embeds
        position_embeddings = self.rotary_emb(hidden, position_ids=position_ids)
        collected = [hidden] if output_hidden_states else None
        for index, layer in enumerate(self.layers):
            hidden = layer(
                hidden,
                attention_mask=mask,
                position_embeddings=position_embeddings,
                position_ids=position_ids,
                past_key_values=past_key_values,
                use_cache=use_cache,
                **kwargs,
            )
            if index < len(deepstack_features):
                hidden = hidden + deepstack_features[index]
            if collected is not None:
                collected.append(hidden)
        hidden = self.norm(hidden)
        if collected is not None:
            collected[-1] = hidden  # the last entry is normed, as everywhere in transformers
        return BaseModelOutputWithPast(
            last_hidden_state=hidden,
            past_key_values=past_key_values if use_cache else None,
            hidden_states=tuple(collected) if collected is not None else None,
        )


class MossAudioQwen3Decoder(_DeepStackDecoder, Qwen3Model):
    """Qwen3 with DeepStack: the released decoder."""


class MossAudioLlamaDecoder(_DeepStackDecoder, LlamaModel):
    """Llama with DeepStack: nano's decoder."""


_FAMILIES: dict[str, type[PreTrainedModel]] = {
    "qwen3": MossAudioQwen3Decoder,
    "llama": MossAudioLlamaDecoder,
}


def build_decoder(config: PretrainedConfig) -> PreTrainedModel:
    """The decoder of `config`'s family."""
    return _FAMILIES[config.model_type](config)

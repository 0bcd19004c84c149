"""transformers' `generate` with audio: each clip goes into the pass that holds its positions."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache
from transformers.generation import GenerationMixin

from moss_audio.errors import PromptError
from moss_audio.model.features import AudioFeatures, check_count

_AUDIO_INPUTS = ("audio_data", "audio_data_seqlens", "audio_input_mask", "audio_features")


class AudioGenerationMixin(GenerationMixin):
    """Inputs of each pass, and of beams, for a model whose `forward` takes audio."""

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        past_key_values: Cache | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Audio goes into the pass that holds its positions, and into no later one."""
        audio = {k: kwargs.pop(k, None) for k in _AUDIO_INPUTS}
        seen = past_key_values.get_seq_length() if past_key_values is not None else 0
        mask: torch.Tensor | None = audio.pop("audio_input_mask")
        inputs = super().prepare_inputs_for_generation(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )
        given = inputs.get("input_ids")
        width = (inputs["inputs_embeds"] if given is None else given).shape[1]
        if mask is None and seen > 0:
            return inputs
        if mask is not None and mask.shape[1] != width:
            # The mask covers the prompt; this pass is a part of it (a cached turn before it, or
            # prefill in chunks), or all of it and what was generated since, or only the latter,
            # which is text whatever its id.
            if width == 1 and seen >= mask.shape[1]:
                return inputs
            part = mask[:, seen : seen + width]
            features: AudioFeatures | None = audio["audio_features"]
            if features is not None and features.embeds.shape[0] == int(mask.sum()):
                rows = (mask.flatten().cumsum(0) - 1).view_as(mask)[:, seen : seen + width]
                audio["audio_features"] = features.rows(rows[part])
            mask = torch.nn.functional.pad(part, (0, width - part.shape[1]))
        if mask is not None:
            inputs["audio_input_mask"] = mask
            if not bool(mask.any()):
                return inputs
        inputs.update({k: v for k, v in audio.items() if v is not None})
        return inputs

    def _expand_inputs_for_generation(  # type: ignore[override]
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: torch.Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[torch.Tensor | None, dict[str, Any]]:
        """Beams and several sequences a prompt: clips are encoded once and their tokens repeated.

        transformers would repeat `audio_data` clip by clip, which is wrong for a prompt of two.
        """
        data = model_kwargs.pop("audio_data", None)
        lengths = model_kwargs.pop("audio_data_seqlens", None)
        mask = model_kwargs.get("audio_input_mask")
        if mask is None and input_ids is not None:
            # looked for once, in the prompt: a generated id is text even where it is this one
            mask = input_ids == self.config.audio_token_id
            model_kwargs["audio_input_mask"] = mask
        if data is not None and model_kwargs.get("audio_features") is None:
            model_kwargs["audio_features"] = self.encode_prompts(data, lengths, mask)
        features: AudioFeatures | None = model_kwargs.get("audio_features")
        cache = model_kwargs.get("past_key_values")
        if cache is None or cache.get_seq_length() == 0:
            # (with a cache, the clips of earlier turns need not be given again)
            check_count(mask, features)
        if features is not None and expand_size > 1:
            if mask is None:
                raise PromptError("audio in several sequences needs input_ids or audio_input_mask")
            check_count(mask, features)
            per_prompt = torch.arange(features.embeds.shape[0], device=mask.device).split(
                mask.sum(dim=1).tolist()
            )
            index = torch.cat([rows for rows in per_prompt for _ in range(expand_size)])
            model_kwargs["audio_features"] = features.rows(index)
        return super()._expand_inputs_for_generation(
            expand_size=expand_size,
            is_encoder_decoder=is_encoder_decoder,
            input_ids=input_ids,
            **model_kwargs,
        )

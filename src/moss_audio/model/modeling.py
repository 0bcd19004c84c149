"""The whole model: encoder -> adapter and DeepStack mergers -> decoder -> head (spec, section 1).

Shapes: B prompts, L positions, H decoder width, V vocabulary, N audio tokens of all clips.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMultimodalLM,
    PreTrainedModel,
)
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast

from moss_audio.errors import CheckpointError
from moss_audio.model.adapter import GatedMLP
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.config import MossAudioConfig
from moss_audio.model.decoder import build_decoder
from moss_audio.model.encoder import EncoderOutput, MossAudioEncoder, longest_beside
from moss_audio.model.features import AudioFeatures, check_count, clips_of_prompts
from moss_audio.model.generation import AudioGenerationMixin
from moss_audio.model.nano.parts import load_parts
from moss_audio.model.weights import check_weights, compare_shapes, expected_shapes, listed

_HUB_OPTIONS = ("revision", "cache_dir", "token", "local_files_only")


class MossAudioModel(PreTrainedModel, AudioGenerationMixin):
    """MOSS-Audio. `model.generate(**processor(text=..., audio=...))` is all it takes."""

    config_class = MossAudioConfig
    config: MossAudioConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _no_split_modules = ["Qwen3DecoderLayer", "LlamaDecoderLayer", "EncoderLayer"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _tied_weights_keys = {  # noqa: RUF012 (only where config.tie_word_embeddings says so)
        "lm_head.weight": "language_model.embed_tokens.weight"
    }
    # released files may carry the position table that nobody needs
    _keys_to_ignore_on_load_unexpected = [r"audio_encoder\.embed_positions"]  # noqa: RUF012

    def __init__(self, config: MossAudioConfig) -> None:
        super().__init__(config)
        decoder = config.language_config
        width_in, width_out = config.audio_config.output_dim, decoder.hidden_size
        self.audio_encoder = MossAudioEncoder(config.audio_config)
        self.audio_adapter = GatedMLP(width_in, config.adapter_hidden_size, width_out)
        self.deepstack_audio_merger_list = nn.ModuleList(
            GatedMLP(width_in, config.adapter_hidden_size, width_out)
            for _ in range(config.num_deepstack)
        )
        self.language_model = build_decoder(decoder)
        self.lm_head = nn.Linear(width_out, decoder.vocab_size, bias=False)
        self.loss_type = "ForCausalLM"  # shifts the labels, honours num_items_in_batch
        self.post_init()

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path | Checkpoint | None,
        *args: Any,
        **kwargs: Any,
    ) -> MossAudioModel:
        """Load a checkpoint: what `Checkpoint.open` takes, in either layout.

        Strict: a missing, unexpected or misshapen weight is one `CheckpointError` naming it.
        Everything else as in transformers (`dtype=`, `device_map=`, ...). An embedded checkpoint
        comes in bfloat16 unless `dtype` says otherwise.
        """
        source = pretrained_model_name_or_path
        if source is None or kwargs.get("state_dict") is not None:
            return super().from_pretrained(source, *args, **kwargs)
        hub = {name: kwargs.pop(name) for name in _HUB_OPTIONS if name in kwargs}
        checkpoint = Checkpoint.open(source, **hub)
        if kwargs.get("config") is None:
            kwargs["config"] = checkpoint.config
        checkpoint.require_torch_weights()
        if checkpoint.parts is not None:
            return cls._from_parts(checkpoint.folder, **kwargs)
        check_weights(checkpoint, kwargs["config"].sizes)
        return super().from_pretrained(checkpoint.folder, *args, **kwargs)

    @classmethod
    def _from_parts(cls, folder: Path, config: MossAudioConfig, **kwargs: Any) -> MossAudioModel:
        """The model of a folder of quantised parts."""
        dtype = kwargs.pop("dtype", None) or kwargs.pop("torch_dtype", None)
        if dtype in (None, "auto"):
            dtype = torch.bfloat16
        elif isinstance(dtype, str):
            dtype = getattr(torch, dtype.removeprefix("torch."))
        state = load_parts(folder, dtype)
        if kwargs:  # device_map and the like are transformers' own business
            return super().from_pretrained(
                None, config=config, state_dict=state, dtype=dtype, **kwargs
            )
        # Nothing is initialised at random, nothing copied.
        config.dtype = dtype
        with torch.device("meta"):
            model = cls(config)
        stored = {name: tuple(tensor.shape) for name, tensor in state.items()}
        sizes = config.sizes
        compare_shapes(folder, stored, expected_shapes(sizes), tied=sizes.tied)
        model.load_state_dict(state, strict=False, assign=True)
        model.tie_weights()
        # the rotary table is the one thing that no file holds; it is made anew, off the meta device
        decoder: Any = model.language_model
        decoder.rotary_emb = type(decoder.rotary_emb)(config=config.language_config)
        left = [n for n, t in (*model.named_parameters(), *model.named_buffers()) if t.is_meta]
        if left:
            raise CheckpointError(
                f"{folder}: no values for {listed(left)}; reinstall or rebuild it"
            )
        return model.eval()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        self.lm_head = new_embeddings

    def encode_audio(
        self,
        audio_data: torch.Tensor,
        audio_data_seqlens: torch.Tensor | None = None,
        longest: torch.Tensor | None = None,
    ) -> AudioFeatures:
        """Encode clips for the decoder.

        Args:
            audio_data: log-mel features `[clips, mels, frames]`, padded at the end.
            audio_data_seqlens: mel frames of each clip `[clips]`; None: all full.
            longest: mel frames of the longest clip in each clip's prompt `[clips]`; None: each
                clip has a prompt of its own. `encode_prompts` finds it.
        """
        lengths = _lengths(audio_data, audio_data_seqlens)
        return self.adapt(self.audio_encoder(audio_data, lengths, longest))

    def encode_prompts(
        self,
        audio_data: torch.Tensor,
        audio_data_seqlens: torch.Tensor | None,
        mask: torch.Tensor | None,
        position_ids: torch.Tensor | None = None,
    ) -> AudioFeatures:
        """Encode clips as `forward` does: knowing which prompt each belongs to.

        Args:
            audio_data, audio_data_seqlens: clips of all prompts in order (see `encode_audio`).
            mask: `[B, L]`, True at the audio positions of each prompt.
            position_ids: `[B, L]`, where a row holds several prompts: they restart in each.
        """
        if mask is None or audio_data.shape[0] < 2:
            return self.encode_audio(audio_data, audio_data_seqlens)
        audio_data_seqlens = _lengths(audio_data, audio_data_seqlens)
        frames = [int(n) for n in audio_data_seqlens.reshape(-1).tolist()]
        longest = longest_beside(frames, clips_of_prompts(frames, mask, position_ids))
        if len(longest) != len(frames):  # positions and clips disagree, which `_place_audio` says
            return self.encode_audio(audio_data, audio_data_seqlens)
        return self.encode_audio(audio_data, audio_data_seqlens, longest)

    def adapt(self, encoded: EncoderOutput) -> AudioFeatures:
        """Carry the encoder's output to the decoder's width: adapter and mergers."""
        return AudioFeatures(
            embeds=self.audio_adapter(encoded.tokens),
            deepstack=tuple(
                merger(tap)
                for merger, tap in zip(self.deepstack_audio_merger_list, encoded.taps, strict=False)
            ),
            lengths=encoded.lengths,
        )

    def _place_audio(
        self,
        inputs_embeds: torch.Tensor,
        features: AudioFeatures | None,
        mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Put audio tokens at their positions; DeepStack as `[B, L, H]`, zero elsewhere."""
        check_count(mask, features)
        if features is None or mask is None:
            return inputs_embeds, ()
        where = mask.unsqueeze(-1).expand_as(inputs_embeds)
        embeds = inputs_embeds.masked_scatter(where, features.embeds.to(inputs_embeds.dtype))
        empty = torch.zeros_like(inputs_embeds)
        deepstack = tuple(
            empty.masked_scatter(where, stream.to(inputs_embeds.dtype))
            for stream in features.deepstack
        )
        return embeds, deepstack

    def hidden_states(
        self,
        input_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        audio_data: torch.Tensor | None = None,
        audio_data_seqlens: torch.Tensor | None = None,
        audio_input_mask: torch.Tensor | None = None,
        audio_features: AudioFeatures | None = None,
        **decoder_inputs: Any,
    ) -> Any:
        """Everything but the head: the decoder's output, `last_hidden_state` `[B, L, H]`.

        Takes what `forward` takes; `decoder_inputs` (attention mask, cache, ...) go to the decoder
        as they are.

        Raises:
            PromptError: if audio positions and audio tokens disagree, also when positions come
                without any audio.
        """
        # one new token a step cannot be an audio position: no need to look, nor to synchronise
        if (
            audio_input_mask is None
            and input_ids is not None
            and (input_ids.shape[1] > 1 or audio_features is not None or audio_data is not None)
        ):
            audio_input_mask = input_ids == self.config.audio_token_id
        if audio_features is None and audio_data is not None:
            audio_features = self.encode_prompts(
                audio_data, audio_data_seqlens, audio_input_mask, position_ids
            )
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        inputs_embeds, deepstack = self._place_audio(
            inputs_embeds, audio_features, audio_input_mask
        )
        return self.language_model(
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            deepstack_features=deepstack,
            **decoder_inputs,
        )

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        audio_data: torch.Tensor | None = None,
        audio_data_seqlens: torch.Tensor | None = None,
        audio_input_mask: torch.Tensor | None = None,
        audio_features: AudioFeatures | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """One pass over prompts with audio.

        Args:
            input_ids: `[B, L]`; audio positions hold `config.audio_token_id`.
            attention_mask: `[B, past + L]`.
            position_ids: `[B, L]`; restarting positions mark packed samples.
            labels: `[B, L]`, -100 where nothing is to be learnt; shifted here.
            audio_data, audio_data_seqlens: clips of all prompts in order (see `encode_audio`).
            audio_input_mask: `[B, L]`, True at audio positions; found by id when absent.
            audio_features: clips encoded before, instead of `audio_data`.
            logits_to_keep: only the last k positions get logits (0: all).

        Returns:
            logits `[B, L, V]`, the cache, and the loss when there are labels.

        Raises:
            PromptError: if audio positions and audio tokens disagree.
        """
        loss_kwargs = {k: kwargs.pop(k) for k in ("num_items_in_batch",) if k in kwargs}
        outputs = self.hidden_states(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            audio_data=audio_data,
            audio_data_seqlens=audio_data_seqlens,
            audio_input_mask=audio_input_mask,
            audio_features=audio_features,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden[:, keep, :])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits,
                labels=labels,
                vocab_size=self.config.language_config.vocab_size,
                ignore_index=self.config.ignore_index,
                **loss_kwargs,
            )
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
        )


def _lengths(audio_data: torch.Tensor, given: torch.Tensor | None) -> torch.Tensor:
    """Mel frames of each clip `[clips]`; all of them where nobody says."""
    if given is not None:
        return given
    return torch.full((audio_data.shape[0],), audio_data.shape[-1])


# A folder's model is found by its configuration.
for _auto in (AutoModel, AutoModelForCausalLM, AutoModelForMultimodalLM):
    _auto.register(MossAudioConfig, MossAudioModel, exist_ok=True)

"""transformers' configuration of the whole model; what may stand in it is `model.sizes`' business.

Importing this module makes `AutoConfig` know it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import AutoConfig, LlamaConfig, PretrainedConfig, Qwen3Config

from moss_audio.errors import CheckpointError, short_reason
from moss_audio.model.sizes import ADAPTER_HIDDEN_SIZE, AUDIO_IDS, MODEL_TYPE, ModelSizes

DECODERS: dict[str, type[PretrainedConfig]] = {"qwen3": Qwen3Config, "llama": LlamaConfig}


class MossAudioEncoderConfig(PretrainedConfig):
    """The audio encoder (specification 1.2). Defaults are the released size.

    Args:
        d_model, encoder_layers, encoder_attention_heads, encoder_ffn_dim: transformer sizes.
        output_dim: width of a token that leaves the encoder.
        num_mel_bins: rows of the log-mel input.
        downsample_hidden_size: channels of the conv2d stem.
        n_window: half a chunk, in mel frames; a chunk of `2 * n_window` frames is encoded alone.
        conv_chunksize: chunks encoded at once, a bound on memory.
        deepstack_encoder_layer_indexes: 0-based layers whose output feeds a DeepStack merger.
        stem: `conv2d` or `conv1d_stack4`.
    """

    model_type = "moss_audio_encoder"
    base_config_key = "audio_config"

    def __init__(
        self,
        d_model: int = 1280,
        output_dim: int = 1280,
        num_mel_bins: int = 128,
        encoder_layers: int = 32,
        encoder_attention_heads: int = 20,
        encoder_ffn_dim: int = 5120,
        downsample_rate: int = 8,
        downsample_hidden_size: int = 480,
        encoder_attention_window_size: int = 100,
        max_source_positions: int = 1500,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        activation_dropout: float = 0.0,
        activation_function: str = "gelu",
        layer_norm_eps: float = 1e-5,
        n_window: int = 200,
        conv_chunksize: int = 64,
        deepstack_encoder_layer_indexes: Sequence[int] | None = (8, 16, 24),
        stem: str = "conv2d",
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        self.d_model = d_model
        self.output_dim = output_dim
        self.num_mel_bins = num_mel_bins
        self.encoder_layers = encoder_layers
        self.encoder_attention_heads = encoder_attention_heads
        self.encoder_ffn_dim = encoder_ffn_dim
        self.downsample_rate = downsample_rate
        self.downsample_hidden_size = downsample_hidden_size
        self.encoder_attention_window_size = encoder_attention_window_size
        self.max_source_positions = max_source_positions
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation_dropout = activation_dropout
        self.activation_function = activation_function
        self.layer_norm_eps = layer_norm_eps
        self.n_window = n_window
        self.conv_chunksize = conv_chunksize
        self.deepstack_encoder_layer_indexes = list(deepstack_encoder_layer_indexes or [])
        self.stem = stem
        self.initializer_range = initializer_range
        super().__init__(**kwargs)

    @property
    def chunk_frames(self) -> int:
        """Mel frames of one chunk."""
        return 2 * self.n_window


def _plain(part: Mapping[str, Any] | PretrainedConfig | None) -> Any:
    return part.to_dict() if isinstance(part, PretrainedConfig) else part


def _decoder_config(value: Mapping[str, Any] | PretrainedConfig | None) -> PretrainedConfig:
    if isinstance(value, PretrainedConfig):
        return value
    values = dict(value or {})
    try:
        return DECODERS[values.pop("model_type", "qwen3")](**values)
    except Exception as error:  # transformers validates with kinds of errors of its own
        raise CheckpointError(f"config.json: language_config: {short_reason(error)}") from error


class MossAudioConfig(PretrainedConfig):
    """Encoder, adapter, DeepStack and decoder sizes, and the ids of the audio tokens.

    Args:
        audio_config: the encoder, an object or a mapping.
        language_config: the decoder: a Qwen3 configuration (or Llama, for nano), or a mapping.
        adapter_hidden_size: inner width of the adapter and of every merger.
        deepstack_num_inject_layers: how many taps are used; None is all of them.
        audio_token_id, audio_start_id, audio_end_id: ids around and at the audio positions.

    Raises:
        CheckpointError: naming every inconsistent field at once.
    """

    model_type = MODEL_TYPE
    is_composition = True
    # `attn_implementation` and `dtype` reach the parts that are named here
    sub_configs = {  # noqa: RUF012 (transformers' own form)
        "audio_config": MossAudioEncoderConfig,
        "language_config": AutoConfig,
    }

    def __init__(
        self,
        audio_config: Mapping[str, Any] | MossAudioEncoderConfig | None = None,
        language_config: Mapping[str, Any] | PretrainedConfig | None = None,
        adapter_hidden_size: int = ADAPTER_HIDDEN_SIZE,
        ignore_index: int = -100,
        deepstack_num_inject_layers: int | None = None,
        audio_token_id: int = AUDIO_IDS["audio_token_id"],
        audio_start_id: int = AUDIO_IDS["audio_start_id"],
        audio_end_id: int = AUDIO_IDS["audio_end_id"],
        **kwargs: Any,
    ) -> None:
        given = {
            "audio_config": _plain(audio_config),
            "language_config": _plain(language_config),
            "adapter_hidden_size": adapter_hidden_size,
            "deepstack_num_inject_layers": deepstack_num_inject_layers,
            "audio_token_id": audio_token_id,
            "audio_start_id": audio_start_id,
            "audio_end_id": audio_end_id,
        }
        ModelSizes.read(given)  # refuses what is wrong, all of it at once
        if not isinstance(audio_config, MossAudioEncoderConfig):
            values = dict(audio_config or {})
            values.pop("model_type", None)
            audio_config = MossAudioEncoderConfig(**values)
        self.audio_config = audio_config
        self.language_config = _decoder_config(language_config)
        self.adapter_hidden_size = adapter_hidden_size
        self.ignore_index = ignore_index
        self.deepstack_num_inject_layers = deepstack_num_inject_layers
        self.audio_token_id = audio_token_id
        self.audio_start_id = audio_start_id
        self.audio_end_id = audio_end_id
        decoder = self.language_config
        for key in ("eos_token_id", "bos_token_id", "pad_token_id", "vocab_size"):
            kwargs.setdefault(key, getattr(decoder, key, None))
        # vLLM and others read the decoder's sizes from the top level
        for key in ("num_hidden_layers", "hidden_size", "num_attention_heads"):
            kwargs[key] = getattr(decoder, key)
        for key in ("num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps"):
            if getattr(decoder, key, None) is not None:
                kwargs[key] = getattr(decoder, key)
        kwargs.setdefault(
            "tie_word_embeddings", bool(getattr(decoder, "tie_word_embeddings", False))
        )
        # the head belongs to the whole model: both levels say the same
        decoder.tie_word_embeddings = kwargs["tie_word_embeddings"]
        super().__init__(**kwargs)

    @property
    def sizes(self) -> ModelSizes:
        """The same without transformers.

        Raises:
            CheckpointError: if a field was set to something impossible.
        """
        return ModelSizes.read(self.to_dict())

    @property
    def num_deepstack(self) -> int:
        """DeepStack mergers, one per used tap."""
        taps = len(self.audio_config.deepstack_encoder_layer_indexes)
        if self.deepstack_num_inject_layers is None:
            return taps
        return min(taps, self.deepstack_num_inject_layers)

    def get_text_config(self, decoder: bool = False, encoder: bool = False) -> PretrainedConfig:
        """The decoder's configuration (what `generate` and caches ask for)."""
        return self.language_config


AutoConfig.register(MossAudioConfig.model_type, MossAudioConfig, exist_ok=True)

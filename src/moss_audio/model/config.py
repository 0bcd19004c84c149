"""Configuration of the whole model, in the released layout (specification, sections 1.2 to 1.6).

Two fields go beyond the released checkpoints, so that one model serves them and nano alike:
`audio_config.stem` (`conv2d`, the released one, or `conv1d_stack4`, Whisper's) and the family of
`language_config` (`qwen3`, the released one, or `llama`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import AutoConfig, LlamaConfig, PretrainedConfig, Qwen3Config

from moss_audio.errors import CheckpointError
from moss_audio.units import FRAMES_PER_TOKEN

AUDIO_TOKEN_ID = 151654
AUDIO_START_ID = 151669
AUDIO_END_ID = 151670

STEMS = ("conv2d", "conv1d_stack4")
STACK = 4  # 50-Hz frames joined into one 12.5-Hz token by the conv1d_stack4 stem
DECODERS: dict[str, type[PretrainedConfig]] = {"qwen3": Qwen3Config, "llama": LlamaConfig}

_SIZES = (
    "d_model",
    "output_dim",
    "num_mel_bins",
    "encoder_layers",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "downsample_hidden_size",
    "conv_chunksize",
)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _size_problems(config: PretrainedConfig, names: Sequence[str]) -> list[str]:
    """One line for every field of `names` that is not a positive whole number."""
    return [
        f"{name} {getattr(config, name)!r} must be a positive whole number"
        for name in names
        if not _is_int(getattr(config, name)) or getattr(config, name) < 1
    ]


def has_sliding_window(config: PretrainedConfig) -> bool:
    """Whether a decoder asks for sliding-window layers, which no released model has."""
    return "sliding_attention" in (getattr(config, "layer_types", None) or [])


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

    def problems(self) -> list[str]:
        """Everything wrong with this configuration, one line each."""
        taps = self.deepstack_encoder_layer_indexes
        found = _size_problems(self, _SIZES)
        if not _is_int(self.n_window):
            found.append(f"n_window {self.n_window!r} must be a whole number")
        if not all(_is_int(tap) for tap in taps):
            found.append(f"deepstack_encoder_layer_indexes {taps} must be whole numbers")
        if found:  # the checks below compute with these
            return found
        if self.n_window <= 0 or self.chunk_frames % FRAMES_PER_TOKEN:
            found.append(
                f"n_window {self.n_window}: a chunk of {self.chunk_frames} frames must be a "
                f"positive multiple of {FRAMES_PER_TOKEN} (n_window divisible by "
                f"{FRAMES_PER_TOKEN // 2})"
            )
        for tap in taps:
            if not 0 <= tap < self.encoder_layers:
                found.append(
                    f"deepstack_encoder_layer_indexes names layer {tap}, but the encoder has "
                    f"layers 0 to {self.encoder_layers - 1}"
                )
        if sorted(set(taps)) != taps:
            found.append(f"deepstack_encoder_layer_indexes {taps} must rise, without repeats")
        if self.d_model % self.encoder_attention_heads:
            found.append(
                f"d_model {self.d_model} is not divisible by encoder_attention_heads "
                f"{self.encoder_attention_heads}"
            )
        if self.d_model % 2 or self.d_model < 4:
            found.append(f"d_model {self.d_model} must be even and at least 4")
        if self.activation_function != "gelu":
            found.append(f"activation_function {self.activation_function!r}: only 'gelu' is known")
        if self.stem not in STEMS:
            found.append(f"stem {self.stem!r} is not one of {', '.join(STEMS)}")
        elif self.stem == "conv1d_stack4" and self.output_dim != STACK * self.d_model:
            found.append(
                f"stem conv1d_stack4 gives tokens of width {STACK} * d_model = "
                f"{STACK * self.d_model}, but output_dim is {self.output_dim}"
            )
        return found


def _decoder_config(value: Any) -> PretrainedConfig:
    given = isinstance(value, PretrainedConfig)
    values = {} if given else dict(value or {})
    family = value.model_type if given else values.pop("model_type", "qwen3")
    if family not in DECODERS:
        raise CheckpointError(
            f"config.json: language_config.model_type {family!r} is not one of "
            f"{', '.join(DECODERS)}"
        )
    if given:
        return value
    try:
        return DECODERS[family](**values)
    except Exception as error:  # transformers validates with kinds of errors of its own
        reason = " ".join(str(error).split())
        raise CheckpointError(f"config.json: language_config: {reason}") from error


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

    model_type = "moss_audio"
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
        adapter_hidden_size: int = 8192,
        ignore_index: int = -100,
        deepstack_num_inject_layers: int | None = None,
        audio_token_id: int = AUDIO_TOKEN_ID,
        audio_start_id: int = AUDIO_START_ID,
        audio_end_id: int = AUDIO_END_ID,
        **kwargs: Any,
    ) -> None:
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
        self.check()

    @property
    def num_deepstack(self) -> int:
        """DeepStack mergers, one per used tap."""
        taps = len(self.audio_config.deepstack_encoder_layer_indexes)
        if self.deepstack_num_inject_layers is None:
            return taps
        return min(taps, self.deepstack_num_inject_layers)

    def check(self) -> None:
        """Raise one CheckpointError that lists every problem, or return."""
        found = self.audio_config.problems()
        found += _size_problems(self, ("adapter_hidden_size",))
        decoder = self.language_config
        count = self.deepstack_num_inject_layers
        if count is not None and not _is_int(count):
            found.append(f"deepstack_num_inject_layers {count!r} must be a whole number or null")
        elif count is not None and count < 0:
            found.append(f"deepstack_num_inject_layers {count} is negative")
        elif self.num_deepstack > decoder.num_hidden_layers:
            found.append(
                f"{self.num_deepstack} DeepStack mergers, but the decoder has only "
                f"{decoder.num_hidden_layers} layers"
            )
        names = ("audio_token_id", "audio_start_id", "audio_end_id")
        for name in names:
            value = getattr(self, name)
            if not _is_int(value):
                found.append(f"{name} {value!r} must be a whole number")
            elif not 0 <= value < decoder.vocab_size:
                found.append(f"{name} {value} is outside the vocabulary of {decoder.vocab_size}")
        if len({str(getattr(self, name)) for name in names}) < len(names):
            found.append(f"{', '.join(names)} must be three different ids")
        if has_sliding_window(decoder):
            found.append("language_config: sliding-window attention is not supported")
        if found:
            raise CheckpointError("config.json: " + "; ".join(found))

    def get_text_config(self, decoder: bool = False, encoder: bool = False) -> PretrainedConfig:
        """The decoder's configuration (what `generate` and caches ask for)."""
        return self.language_config

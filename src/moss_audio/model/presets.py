"""Named sizes: the released 4b and 8b, the embedded nano, and micro for tests (spec 1.2 to 1.4)."""

from __future__ import annotations

from typing import Any

from moss_audio.errors import CheckpointError
from moss_audio.model.config import MossAudioConfig

_QWEN3: dict[str, Any] = {
    "model_type": "qwen3",
    "vocab_size": 151936,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "rope_theta": 1e6,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 40960,
    "tie_word_embeddings": False,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "pad_token_id": 151643,
}

_PRESETS: dict[str, dict[str, Any]] = {
    "4b": {
        "language_config": {**_QWEN3, "hidden_size": 2560, "intermediate_size": 9728},
    },
    "8b": {
        "language_config": {**_QWEN3, "hidden_size": 4096, "intermediate_size": 12288},
    },
    # Whisper tiny.en's transformer behind its own stem, SmolLM2-135M-Instruct, our adapters.
    "nano": {
        "adapter_hidden_size": 1024,
        "audio_token_id": 49152,
        "audio_start_id": 49153,
        "audio_end_id": 49154,
        "audio_config": {
            "stem": "conv1d_stack4",
            "num_mel_bins": 80,
            "d_model": 384,
            "output_dim": 1536,
            "encoder_layers": 4,
            "encoder_attention_heads": 6,
            "encoder_ffn_dim": 1536,
            "deepstack_encoder_layer_indexes": [0, 1, 2],
            "dropout": 0.0,
            "attention_dropout": 0.0,
        },
        "language_config": {
            "model_type": "llama",
            "vocab_size": 49155,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "max_position_embeddings": 8192,
            "rope_theta": 100_000.0,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": True,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 2,
        },
    },
    # The released layout, small enough for tests; ids just past a tokenizer of 384 entries.
    "micro": {
        "adapter_hidden_size": 256,
        "audio_token_id": 384,
        "audio_start_id": 385,
        "audio_end_id": 386,
        "audio_config": {
            "d_model": 128,
            "output_dim": 128,
            "encoder_layers": 4,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 384,
            "downsample_hidden_size": 16,
            "deepstack_encoder_layer_indexes": [0, 1, 2],
            "dropout": 0.0,
            "attention_dropout": 0.0,
        },
        "language_config": {
            **_QWEN3,
            "vocab_size": 400,
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
    },
}

PRESET_NAMES = tuple(_PRESETS)


def preset(name: str, **changes: Any) -> MossAudioConfig:
    """The configuration called `name`; `changes` replace top-level fields.

    Raises:
        CheckpointError: for an unknown name.
    """
    if name not in _PRESETS:
        raise CheckpointError(f"no preset {name!r}; there are {', '.join(PRESET_NAMES)}")
    return MossAudioConfig(**{**_PRESETS[name], **changes})

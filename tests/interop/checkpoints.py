"""Random checkpoints in the released layout, a tokenizer with Qwen3's ids, and synthetic clips.

vLLM fixes the ids of the audio tokens and of the digits, so the vocabulary has the released
size; everything else is small. Random weights make a sharp test only if the answer hangs on all
of them: every matrix keeps the scale of its input, so that neither the clip nor a DeepStack
merger drowns in the rest, and logits lie far enough apart for float32 to rank them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moss_audio.model.config import MossAudioConfig
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.units import SAMPLE_RATE

VOCABULARY = 151_936
_FIRST_ADDED = 151_643
_ADDED = (  # in Qwen3's order; special or not as there
    *((token, True) for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")),
    *((f"<|object_{i}|>", True) for i in range(8)),
    ("<|vision_pad|>", True),  # 151654
    *((f"<|tool_{i}|>", False) for i in range(12)),
    ("<think>", False),  # 151667
    ("</think>", False),
)
_SPLIT = r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = ("system", "user", "assistant", "the", "ing", "audio")


@dataclass(frozen=True)
class Recipe:
    """What sets one checkpoint apart.

    Attributes:
        audio, language, model: changes to the three levels of the configuration.
        time_markers: what the folder's processor_config.json says.
        max_shard_size: None writes one file.
        default_caches: leave vLLM's caches of clips and prompts on, as `vllm serve` does.
    """

    seed: int
    audio: dict[str, Any] = field(default_factory=dict)
    language: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    time_markers: bool = True
    max_shard_size: str | None = None
    default_caches: bool = False


RECIPES = {
    "plain": Recipe(seed=1, default_caches=True),
    "projected": Recipe(
        seed=2,
        audio={"output_dim": 96, "conv_chunksize": 4},  # 33 s are nine chunks: three rounds
        language={"head_dim": 64, "num_key_value_heads": 1},
        max_shard_size="30MB",
    ),
    "two-mergers": Recipe(
        seed=3,
        model={"deepstack_num_inject_layers": 2},
        time_markers=False,
        max_shard_size="60MB",
    ),
}


def config(recipe: Recipe) -> MossAudioConfig:
    """A configuration of the released layout, a few hundred times narrower."""
    audio = {
        "d_model": 64,
        "output_dim": 64,
        "encoder_layers": 6,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 128,
        "downsample_hidden_size": 16,
        "deepstack_encoder_layer_indexes": [1, 2, 4],
    }
    language = {
        "model_type": "qwen3",
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "rope_theta": 1e6,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        "bos_token_id": 151_643,
        "eos_token_id": 151_645,
        "pad_token_id": 151_643,
    }
    return MossAudioConfig(
        audio_config={**audio, **recipe.audio},
        language_config={**language, **recipe.language},
        adapter_hidden_size=128,
        **recipe.model,
    )


def build_model(recipe: Recipe) -> MossAudioModel:
    """A float32 model whose every weight, bias and norm is random."""
    model = MossAudioModel(config(recipe)).float().eval()
    generator = torch.Generator().manual_seed(recipe.seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if name.endswith("embed_tokens.weight"):
                weight.copy_(noise)
            elif weight.ndim >= 2:
                weight.copy_(noise * (1.3 / weight[0].numel() ** 0.5))
            elif name.endswith("bias"):
                weight.copy_(0.3 * noise)
            else:
                weight.copy_(1 + 0.2 * noise)
        model.lm_head.weight.mul_(6.0)
    return model


def build_tokenizer(*, timed: bool = False) -> Any:
    """A fast tokenizer of 151,669 entries; bytes, digits and control tokens have Qwen3's ids.
    `timed`: most of the others are words, some with times, so that whatever a model says at
    random can be read as a transcript."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {char: i for i, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    for word in _WORDS:
        for end in range(1, len(word)):
            if word[: end + 1] not in vocab:
                vocab[word[: end + 1]] = len(vocab)
                merges.append((word[:end], word[end]))
    while len(vocab) < _FIRST_ADDED:  # no merge leads to these, so text never becomes one
        vocab[_timed_word(len(vocab)) if timed else f"~{len(vocab)}"] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    for token, special in _ADDED:
        tokenizer.add_tokens([AddedToken(token, special=special, normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


def _timed_word(number: int) -> str:
    start_s, length_s = number % 977 / 100, 0.05 + number % 89 / 100
    word = f"w{number}"
    if number % 5 == 0:
        return f"\u0120{word}"  # a space and a word
    return f"[{start_s:.2f}]{word}[{start_s + length_s:.2f}]"


def save(folder: Path, recipe: Recipe, *, timed: bool = False) -> None:
    """Write the checkpoint as a user would: the model's and the processor's `save_pretrained`;
    `timed`: with a tokenizer of that kind."""
    model = build_model(recipe)
    if recipe.max_shard_size is None:
        model.save_pretrained(folder)
    else:
        model.save_pretrained(folder, max_shard_size=recipe.max_shard_size)
    tokenizer = build_tokenizer(timed=timed)
    processor = MossAudioProcessor(tokenizer, enable_time_marker=recipe.time_markers)
    processor.save_pretrained(folder)


def clip(seconds: float, seed: int) -> np.ndarray:
    """Gliding tones that come and go over noise, float32 mono at 16 kHz."""
    rng = np.random.default_rng(seed)
    n = round(seconds * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    out = 0.02 * rng.standard_normal(n)
    for _ in range(4):
        low, high = rng.uniform(80, 4000, 2)
        pitch = low + (high - low) * 0.5 * (1 + np.sin(2 * np.pi * rng.uniform(0.1, 1) * t))
        loud = 0.5 * (1 + np.sin(2 * np.pi * (rng.uniform(0.2, 2) * t + rng.uniform())))
        out += 0.15 * loud * np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)
    return np.clip(out, -1, 1).astype(np.float32)

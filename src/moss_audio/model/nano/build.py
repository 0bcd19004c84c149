"""Builds the untrained nano from its two public parts, as `moss-audio build-nano` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from moss_audio.model.checkpoint import PARTS_FILE, Parts
from moss_audio.model.config import MossAudioConfig
from moss_audio.model.nano import public
from moss_audio.model.nano.parts import (
    AUDIO_ROWS,
    DECODER_FILE,
    EMBEDDING,
    ENCODER_FILE,
    TRAINED_FILE,
)
from moss_audio.model.nano.quantize import load_packed, save_packed
from moss_audio.model.presets import preset

_ENCODER_BITS, _DECODER_BITS = 8, 4


def write_tokenizer(metadata: Mapping[str, Any], folder: Path) -> None:
    """SmolLM2's tokenizer from GGUF metadata, as `tokenizer.json` and `tokenizer_config.json`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in metadata["tokenizer.ggml.merges"]]
    control = 3  # GGUF's token type of control tokens
    special = [
        token
        for token, kind in zip(tokens, metadata["tokenizer.ggml.token_type"], strict=True)
        if kind == control
    ]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(metadata["llama.context_length"]),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def write_fixed(
    folder: Path,
    whisper_path: Path | None = None,
    smollm2_path: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> None:
    """Write the fixed parts, the tokenizer and the configurations of nano into `folder`."""
    whisper = public.locate(public.WHISPER_TINY_EN, whisper_path)
    smollm2 = public.locate(public.SMOLLM2_135M, smollm2_path)
    folder.mkdir(parents=True, exist_ok=True)
    report("encoder: Whisper tiny.en, 8 bits")
    encoder = public.whisper_encoder(whisper)
    save_packed(
        folder / ENCODER_FILE,
        {n: (t, 16 if t.ndim == 1 else _ENCODER_BITS) for n, t in encoder.items()},
    )
    report("decoder: SmolLM2-135M-Instruct, 4 bits")
    metadata, decoder = public.smollm2_decoder(smollm2)
    save_packed(
        folder / DECODER_FILE,
        {n: (t, 16 if t.ndim == 1 else _DECODER_BITS) for n, t in decoder.items()},
    )
    write_tokenizer(metadata, folder)
    config = preset("nano", architectures=["MossAudioModel"], dtype="bfloat16")
    config.save_pretrained(folder)
    write_processor_config(config, folder)
    parts = asdict(Parts(fixed=(ENCODER_FILE, DECODER_FILE), trained=TRAINED_FILE))
    (folder / PARTS_FILE).write_text(json.dumps(parts, indent=2) + "\n")


def write_processor_config(config: MossAudioConfig, folder: Path) -> None:
    """`processor_config.json` with the keys vLLM and our processor read."""
    settings = {
        "processor_class": "MossAudioProcessor",
        "audio_token_id": config.audio_token_id,
        "audio_start_id": config.audio_start_id,
        "audio_end_id": config.audio_end_id,
        "enable_time_marker": True,
        "mel_config": {
            "mel_dim": config.audio_config.num_mel_bins,
            "mel_sr": 16000,
            "mel_hop_length": 160,
            "mel_n_fft": 400,
        },
    }
    (folder / "processor_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def initial_trained(
    config: MossAudioConfig, embedding: torch.Tensor, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Untrained adapter and mergers, and audio-token rows at the embedding's mean, float32."""
    width_in = config.audio_config.output_dim
    width_out, hidden = config.language_config.hidden_size, config.adapter_hidden_size
    out: dict[str, torch.Tensor] = {AUDIO_ROWS: embedding.float().mean(0).repeat(3, 1)}
    prefixes = ["audio_adapter"]
    prefixes += [f"deepstack_audio_merger_list.{i}" for i in range(config.num_deepstack)]
    for prefix in prefixes:
        for name, rows, columns in (
            ("gate_proj", hidden, width_in),
            ("up_proj", hidden, width_in),
            ("down_proj", width_out, hidden),
        ):
            weight = torch.randn(rows, columns, generator=generator) * columns**-0.5
            # a merger starts silent, so that it does not disturb what the decoder knows
            silent = prefix != "audio_adapter" and name == "down_proj"
            out[f"{prefix}.{name}.weight"] = torch.zeros_like(weight) if silent else weight
    return out


def build(
    folder: Path,
    seed: int = 0,
    whisper_path: Path | None = None,
    smollm2_path: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> None:
    """Write the untrained nano into `folder` (fixed parts, tokenizer, random adapters).

    Args:
        seed: random seed of the adapters.
        whisper_path, smollm2_path: files of the public parts; None takes the installed packages'.
        report: called with a line as each part begins.
    """
    write_fixed(folder, whisper_path, smollm2_path, report)
    config = MossAudioConfig.from_pretrained(folder)
    embedding = load_packed(folder / DECODER_FILE, torch.float32)[EMBEDDING]
    trained = initial_trained(config, embedding, torch.Generator().manual_seed(seed))
    report("adapter and mergers: random")
    save_packed(folder / TRAINED_FILE, {name: (t, 16) for name, t in trained.items()})

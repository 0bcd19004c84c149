"""Builds nano from its two public parts: `moss-audio build-nano` writes the folder below.

    config.json              sizes; one model with the released ones
    processor_config.json    ids, time markers, mel settings
    tokenizer.json, ...      SmolLM2's
    fixed-encoder.safetensors  Whisper tiny.en's encoder, 8 bits       never changes
    fixed-decoder.safetensors  SmolLM2-135M-Instruct, 4 bits           never changes
    trained.safetensors        adapter, mergers, LoRA, audio-token rows: what training replaces

`load_parts` puts them together; `MossAudioModel.from_pretrained` makes a model of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from moss_audio.errors import CheckpointError
from moss_audio.model import public_parts
from moss_audio.model.checkpoint import PARTS_FILE, Parts, read_parts
from moss_audio.model.config import MossAudioConfig
from moss_audio.model.presets import preset
from moss_audio.model.quantize import load_packed, save_packed

ENCODER_FILE = "fixed-encoder.safetensors"
DECODER_FILE = "fixed-decoder.safetensors"
TRAINED_FILE = "trained.safetensors"
EMBEDDING = "language_model.embed_tokens.weight"
HEAD = "lm_head.weight"
AUDIO_ROWS = "audio_token_rows"  # embeddings of the audio ids, appended to the public table
LORA_DOWN, LORA_UP = ".lora_down", ".lora_up"  # weight += up @ down

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
    whisper = public_parts.locate(public_parts.WHISPER_TINY_EN, whisper_path)
    smollm2 = public_parts.locate(public_parts.SMOLLM2_135M, smollm2_path)
    folder.mkdir(parents=True, exist_ok=True)
    report("encoder: Whisper tiny.en, 8 bits")
    encoder = public_parts.whisper_encoder(whisper)
    save_packed(
        folder / ENCODER_FILE,
        {n: (t, 16 if t.ndim == 1 else _ENCODER_BITS) for n, t in encoder.items()},
    )
    report("decoder: SmolLM2-135M-Instruct, 4 bits")
    metadata, decoder = public_parts.smollm2_decoder(smollm2)
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
    """Write the untrained nano into `folder` (fixed parts, tokenizer, random adapters)."""
    write_fixed(folder, whisper_path, smollm2_path, report)
    config = MossAudioConfig.from_pretrained(folder)
    embedding = load_packed(folder / DECODER_FILE, torch.float32)[EMBEDDING]
    trained = initial_trained(config, embedding, torch.Generator().manual_seed(seed))
    report("adapter and mergers: random")
    save_packed(folder / TRAINED_FILE, {name: (t, 16) for name, t in trained.items()})


def assemble(
    fixed: Mapping[str, torch.Tensor], trained: Mapping[str, torch.Tensor], dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """One state dict under the model's names: LoRA merged, audio rows appended, head tied."""
    state = {name: tensor.to(dtype) for name, tensor in fixed.items()}
    for name, tensor in trained.items():
        if name.endswith(LORA_UP):
            target = name.removesuffix(LORA_UP)
            if target not in state:
                raise CheckpointError(f"{TRAINED_FILE}: {name} has no weight to be added to")
            down = trained.get(target + LORA_DOWN)
            if down is None:
                raise CheckpointError(f"{TRAINED_FILE}: {name} has no {target}{LORA_DOWN}")
            shape = (tensor.shape[0], down.shape[1])
            if tensor.shape[1] != down.shape[0] or shape != tuple(fixed[target].shape):
                raise CheckpointError(
                    f"{TRAINED_FILE}: {name} {list(tensor.shape)} times {list(down.shape)} does "
                    f"not fit a weight of {list(fixed[target].shape)}"
                )
            delta = tensor.float() @ down.float()
            state[target] = (fixed[target].float() + delta).to(dtype)
        elif name == AUDIO_ROWS:
            if EMBEDDING not in fixed:
                raise CheckpointError(f"{DECODER_FILE}: missing {EMBEDDING}")
            if tensor.ndim != 2 or tensor.shape[1] != fixed[EMBEDDING].shape[1]:
                raise CheckpointError(
                    f"{TRAINED_FILE}: {name} has shape {list(tensor.shape)}, expected "
                    f"[ids, {fixed[EMBEDDING].shape[1]}]"
                )
            state[EMBEDDING] = torch.cat([fixed[EMBEDDING].to(dtype), tensor.to(dtype)])
        elif not name.endswith(LORA_DOWN):
            state[name] = tensor.to(dtype)  # also a fixed weight that was trained further
    if EMBEDDING in state:  # its absence is reported with everything else that is missing
        state[HEAD] = state[EMBEDDING]
    return state


def load_parts(folder: Path, dtype: torch.dtype = torch.bfloat16) -> dict[str, torch.Tensor]:
    """The state dict of the folder that `build` (and training) wrote.

    Raises:
        CheckpointError: if a part is missing, damaged, or does not fit the others.
    """
    trained = load_trained(folder)
    # what LoRA is added to is rounded once, after the sum; all else at once
    exact = {name.removesuffix(LORA_UP) for name in trained if name.endswith(LORA_UP)}
    fixed: dict[str, torch.Tensor] = {}
    for file in read_parts(folder).fixed:
        fixed.update(load_packed(folder / file, dtype, exact))
    return assemble(fixed, trained, dtype)


def load_trained(folder: Path) -> dict[str, torch.Tensor]:
    """The trained parts of a folder, float32.

    Raises:
        CheckpointError: if they, or `parts.json`, are missing or damaged.
    """
    return load_packed(folder / read_parts(folder).trained, torch.float32)


def has_lora(folder: Path) -> bool:
    """Whether the trained parts of a folder include a LoRA of the decoder."""
    return any(name.endswith(LORA_UP) for name in load_trained(folder))

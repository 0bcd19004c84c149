"""Gives an embedded checkpoint the marks of a think block: two tokens, and a row for each.

Nano's tokenizer has none, and its spare tokens share one vector. The new tokens come behind the
audio ids; their rows are rows of the embedding and, as it is tied, of the head. Until they are
trained they stand for nothing: the mean of the embedding and some noise.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from moss_audio.errors import CheckpointError
from moss_audio.files import MODEL_SUFFIXES
from moss_audio.model.checkpoint import (
    EMBEDDED,
    PARTS_FILE,
    PROCESSOR_FILE,
    Checkpoint,
    Parts,
    embedded_folder,
)
from moss_audio.model.nano.parts import EMBEDDING, THINK_ROWS, TRAINED_FILE, load_parts
from moss_audio.model.nano.quantize import save_packed
from moss_audio.model.output import replaced_folder
from moss_audio.text import THINK_CLOSE, THINK_OPEN

_NOISE = 0.5  # of a row, in standard deviations of the embedding
_AUDIO_TOKENS = {"audio_token_id": "<|AUDIO|>", "audio_start_id": "<|audio_bos|>",
                 "audio_end_id": "<|audio_eos|>"}  # fmt: skip


def add_think_tokens(source: Path, output: Path, seed: int = 0) -> Path:
    """Write an embedded checkpoint that is based on `source` and can think; returns it.

    It holds the tokenizer, the configuration and the two rows; all else is the source's, which has
    to stay where it is. It thinks where it is told to.

    Raises:
        CheckpointError: if the source's tokenizer has ids for something else where the new tokens
            would come, or the source is not an embedded checkpoint.
    """
    checkpoint = Checkpoint.open(source)
    if checkpoint.parts is None:
        raise CheckpointError(
            f"{source}: its tokenizer has no {THINK_OPEN}; only embedded checkpoints are given one"
        )
    table = load_parts(source, torch.float32)[EMBEDDING]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, table.shape[1], generator=generator) * table.std(0)
    rows = table.mean(0) + _NOISE * noise
    with replaced_folder(output) as folder:
        for path in source.iterdir():
            if path.suffix in MODEL_SUFFIXES and path.suffix != ".safetensors" and path.is_file():
                shutil.copyfile(path, folder / path.name)
        _add_tokens(checkpoint, folder)
        _widen(checkpoint, folder)
        _write_json(folder / PROCESSOR_FILE, {**checkpoint.processor, "thinks": False})
        parts = replace(checkpoint.parts, trained=TRAINED_FILE)
        save_packed(folder / TRAINED_FILE, {THINK_ROWS: (rows, 16)})
        write_parts_file(folder, parts, base_name(source, output))
    return output


def base_name(base: Path, folder: Path) -> str:
    """How a folder's `parts.json` names another one as its base."""
    if base.resolve() == embedded_folder().resolve():
        return EMBEDDED
    return os.path.relpath(base.resolve(), folder.resolve())


def write_parts_file(folder: Path, parts: Parts, base: str | None = None) -> None:
    """`parts.json`: with a base that has the fixed parts, or with those of `parts`."""
    values = {**asdict(parts), "base": base}
    del values["base" if base is None else "fixed"]
    _write_json(folder / PARTS_FILE, values)


def _add_tokens(checkpoint: Checkpoint, folder: Path) -> None:
    """The marks in `tokenizer.json`; before them names of the audio ids, where it has none: ids of
    added tokens leave no gap."""
    from tokenizers import AddedToken, Tokenizer

    path = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    audio = sorted((getattr(checkpoint.sizes, name), text) for name, text in _AUDIO_TOKENS.items())
    wanted = [(one, AddedToken(text, special=True, normalized=False)) for one, text in audio]
    size = checkpoint.sizes.decoder.vocab_size
    # not special: they are to be seen in what is decoded
    wanted += [
        (size + i, AddedToken(text, special=False, normalized=False))
        for i, text in enumerate((THINK_OPEN, THINK_CLOSE))
    ]
    for token_id, token in wanted:
        if tokenizer.id_to_token(token_id) is None:
            add = tokenizer.add_special_tokens if token.special else tokenizer.add_tokens
            add([token])
        if tokenizer.id_to_token(token_id) is None:
            raise CheckpointError(
                f"{checkpoint.folder}: its tokenizer cannot give the id {token_id} to "
                f"{token.content}; the ids before it are not all taken"
            )
    tokenizer.save(str(path), pretty=False)


def _widen(checkpoint: Checkpoint, folder: Path) -> None:
    """Two more tokens in `config.json`."""
    values = dict(checkpoint.values)
    size = checkpoint.sizes.decoder.vocab_size + 2
    values["language_config"] = {**values["language_config"], "vocab_size": size}
    if "vocab_size" in values:
        values["vocab_size"] = size
    _write_json(folder / "config.json", values)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

"""From trained weights to a folder: nano's packed parts, or the plain layout that vLLM reads too.

Both are made from the folder that the run started with and the weights it learnt, so that neither
sharding nor precision of the run matters.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from moss_audio.errors import MossAudioError
from moss_audio.files import write_atomic
from moss_audio.model.checkpoint import (
    PROCESSOR_FILE,
    Checkpoint,
    is_embedded,
    part_files,
    read_parts,
)
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano.parts import (
    AUDIO_ROWS,
    EMBEDDING,
    HEAD,
    LORA_DOWN,
    LORA_UP,
    THINK_ROWS,
    load_trained,
)
from moss_audio.model.nano.quantize import BITS, save_packed
from moss_audio.model.nano.thinking import base_name, write_parts_file
from moss_audio.model.output import replaced_folder
from moss_audio.train.lora import is_lora, pairs, plain_name

# An objective's parameters: rows of the audio ids [3, H] and of the think marks [2, H].
ROWS, THINK = "rows", "think"
MODEL = "model."  # prefix of an objective's model

EMBEDDED_DTYPE = torch.bfloat16  # of the plain folder made from packed parts

Form = Literal["auto", "packed", "plain"]
Packable = Mapping[str, tuple[torch.Tensor, int]]  # name -> a tensor, and the bits to store it in
_NOTHING: Mapping[str, Packable] = {}
_DECODER = "language_model."


@dataclass(frozen=True)
class PackedBits:
    """Bits in which the trained parts of an embedded folder are stored (16: float16)."""

    adapter: int = 16
    merger: int = 16
    lora: int = 16
    encoder: int = 8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value not in (*BITS, 16):
                raise MossAudioError(f"{name}_bits must be one of {(*BITS, 16)}")

    def of(self, name: str, tensor: torch.Tensor) -> int:
        """For one tensor: vectors and appended rows are never rounded."""
        if tensor.ndim == 1 or name in (AUDIO_ROWS, THINK_ROWS):
            return 16
        if name.endswith((LORA_DOWN, LORA_UP)):
            return self.lora
        if name.startswith("deepstack_audio_merger_list"):
            return self.merger
        return self.adapter if name.startswith("audio_adapter") else self.encoder


# What `sft` and `average` store unless told otherwise: the size of nano. Other stages round less.
SHIPPED_BITS = PackedBits(adapter=5, merger=4, lora=5, encoder=8)


def model_weights(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An objective's weights under the model's own names; what is not the model's is left out."""
    found = {
        plain_name(name.removeprefix(MODEL)): tensor
        for name, tensor in weights.items()
        if name.startswith(MODEL)
    }
    for own, stored in ((ROWS, AUDIO_ROWS), (THINK, THINK_ROWS)):
        if own in weights:
            found[stored] = weights[own]
    return found


def packs(source: Path, form: Form, weights: Mapping[str, Any]) -> bool:
    """Whether the result is packed: embedded folders are, unless the whole decoder learnt and
    nobody asked for its rounding."""
    whole_decoder = any(
        name.startswith((MODEL + "language_model.", MODEL + "lm_head.")) and not is_lora(name)
        for name in weights
    )
    if form == "packed" and not is_embedded(source):
        raise MossAudioError("form: packed is for a folder of packed parts; use form: plain")
    return form == "packed" or (form == "auto" and is_embedded(source) and not whole_decoder)


def write_result(
    source: Path,
    output: Path,
    weights: Mapping[str, torch.Tensor],
    *,
    scaling: float = 1.0,
    bits: PackedBits | None = None,
    form: Form = "auto",
    continued: bool = False,
) -> Path:
    """Write a complete folder; returns it.

    Args:
        source: the folder that the run started with; may be `output` itself where it is packed.
        weights: what was learnt, by the objective's names.
        scaling: alpha / rank of the LoRA among them.
        bits: for the packed form.
        continued: the LoRA is the source's own, trained further, not one to be added to it.
    """
    named = model_weights(weights)
    if packs(source, form, weights):
        _write_packed(source, output, named, scaling, bits or PackedBits(), continued)
    else:
        write_plain(source, output, named, scaling)
    return output


def _stored_bits(*paths: Path) -> dict[str, int]:
    """Bits of each tensor; of a name in several files those of the last."""
    from safetensors import safe_open

    found: dict[str, int] = {}
    for path in paths:
        with safe_open(path, framework="pt") as file:
            index = json.loads((file.metadata() or {})["index"])
        found |= {name: int(entry["bits"]) for name, entry in index.items()}
    return found


def _write_packed(
    source: Path,
    output: Path,
    named: dict[str, torch.Tensor],
    scaling: float,
    bits: PackedBits,
    continued: bool,
) -> None:
    old, old_bits = load_trained(source), _stored_bits(*part_files(source).trained)
    decoder = {n: t for n, t in named.items() if n.startswith(_DECODER) and not is_lora(n)}
    if decoder:  # it learnt as a whole, with the LoRA that was merged into it
        old = {name: tensor for name, tensor in old.items() if not name.startswith(_DECODER)}
        named = {n: t for n, t in named.items() if n not in decoder and n != HEAD}
        for name in (THINK_ROWS, AUDIO_ROWS):  # the last ones first
            rows = len(old.get(name, ()))
            if rows:
                named[name] = decoder[EMBEDDING][-rows:]
                decoder[EMBEDDING] = decoder[EMBEDDING][:-rows]
    parts = {name: (tensor, old_bits[name]) for name, tensor in old.items()}
    for name, tensor in named.items():
        if not is_lora(name):
            parts[name] = (tensor, bits.of(name, tensor))
    for name, down, up in pairs(named, scaling):
        if name in parts:  # a weight that was trained itself before
            weight, stored = parts[name]
            parts[name] = (weight.float() + up @ down, stored)
            continue
        if name + LORA_UP in old and not continued:
            # two adapters on a weight are one of their ranks together
            down = torch.cat([old[name + LORA_DOWN], down])
            up = torch.cat([old[name + LORA_UP], up], 1)
        parts[name + LORA_DOWN] = (down, bits.lora)
        parts[name + LORA_UP] = (up, bits.lora)
    write_parts(source, output, parts, _requantised(source, decoder))


def _requantised(source: Path, decoder: Mapping[str, torch.Tensor]) -> dict[str, Packable]:
    """File name -> tensors of the fixed parts that hold `decoder`, in the bits of before."""
    files: dict[str, Packable] = {}
    for path in part_files(source).fixed if decoder else ():
        bits = _stored_bits(path)
        if decoder.keys() & bits.keys():
            files[path.name] = {name: (decoder[name], stored) for name, stored in bits.items()}
    return files


def write_parts(
    source: Path, output: Path, parts: Packable, fixed: Mapping[str, Packable] = _NOTHING
) -> None:
    """An embedded folder with the files of `source`, but for its trained parts: by name, each with
    the bits to store it in. Where `source` has a base, so has the result, and holds only what
    differs from it. `fixed`: new contents of files of fixed parts; the result has no base then.
    """
    own = read_parts(source)
    files = part_files(source)
    based = own.base is not None and not fixed and _covers(files.folders[1], parts)
    if based:
        parts = _beside(files.folders[1], parts)
    if output.resolve() == source.resolve() and not fixed and based == (own.base is not None):
        save_packed(output / own.trained, parts)
        return
    weights = {path.name for path in (*files.fixed, *files.trained)}
    with replaced_folder(output) as folder:
        for path in source.iterdir():
            if path.is_file() and path.name not in weights:
                shutil.copy2(path, folder / path.name)
        if based:
            write_parts_file(folder, own, base_name(files.folders[1], output))
        for path in () if based else files.fixed:
            if path.name not in fixed:
                shutil.copy2(path, folder / path.name)
        if own.base is not None and not based:
            write_parts_file(folder, replace(own, fixed=tuple(path.name for path in files.fixed)))
        for name, content in {**fixed, own.trained: parts}.items():
            save_packed(folder / name, content)


def _covers(base: Path, parts: Packable) -> bool:
    """Whether everything that a base holds is among the parts: else it would come back."""
    return load_trained(base).keys() <= parts.keys()


def _beside(base: Path, parts: Packable) -> Packable:
    """The parts that are not stored in a base as they are."""
    stored, bits = load_trained(base), _stored_bits(*part_files(base).trained)
    return {
        name: (tensor, own)
        for name, (tensor, own) in parts.items()
        if bits.get(name) != own or not torch.equal(stored[name], tensor.float().cpu())
    }


def write_plain(
    source: Path, output: Path, named: Mapping[str, torch.Tensor], scaling: float = 1.0
) -> None:
    """A folder in the released layout: the model of `source` with the weights in `named` (by the
    model's own names) instead of its own, and LoRA factors among them merged."""
    from moss_audio.model.processing import MossAudioProcessor

    model = MossAudioModel.from_pretrained(source, dtype=torch.float32)
    dtype = EMBEDDED_DTYPE if is_embedded(source) else _stored_dtype(source)
    state = model.state_dict()
    with torch.no_grad():
        for name, tensor in named.items():
            if name == AUDIO_ROWS:
                config = model.config
                ids = [config.audio_token_id, config.audio_start_id, config.audio_end_id]
                state[EMBEDDING][ids] = tensor.float()  # a tied head is the same tensor
            elif name == THINK_ROWS:
                state[EMBEDDING][-len(tensor) :] = tensor.float()
            elif not is_lora(name):
                state[name].copy_(tensor)
        for name, down, up in pairs(named, scaling):
            state[name].add_(up @ down)
    if model.config.tie_word_embeddings:
        assert state[HEAD].data_ptr() == state[EMBEDDING].data_ptr()
    processor = MossAudioProcessor.from_pretrained(source)
    with replaced_folder(output) as folder:
        model.to(dtype).save_pretrained(folder)
        processor.save_pretrained(folder)
        _carry_habits(source, folder)


def _stored_dtype(source: Path) -> torch.dtype:
    """The type of a plain folder's weights."""
    from safetensors import safe_open

    with safe_open(Checkpoint.open(source).weight_files[0], framework="pt") as file:
        return file.get_tensor(next(iter(file.keys()))).dtype


def _carry_habits(source: Path, target: Path) -> None:
    """What a checkpoint says of its use, into the file where a plain folder has it."""
    said = Checkpoint.open(source).habits
    if said:
        _say(target, said)


def set_thinks(folder: Path, thinks: bool) -> None:
    """Let a checkpoint think, or not, where nobody says otherwise."""
    _say(folder, {"thinks": thinks})


def _say(folder: Path, said: Mapping[str, object]) -> None:
    path = folder / PROCESSOR_FILE
    values = json.loads(path.read_text(encoding="utf-8"))
    write_atomic(path, json.dumps({**values, **said}, indent=2) + "\n")

"""`info`: what a checkpoint is made of, and whether it is whole."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moss_audio.errors import CheckpointError, MossAudioError

if TYPE_CHECKING:
    from moss_audio.model.checkpoint import Checkpoint

# Parts of the model by the first component of a weight's name, in the order of the flow.
_PARTS = {
    "audio_encoder": "encoder",
    "audio_adapter": "adapter",
    "deepstack_audio_merger_list": "mergers",
    "language_model": "decoder",
    "lm_head": "head",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: moss-audio info nano")(info)


def info(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="nano (built in), a folder, or a hub id.")
    ] = "nano",
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show a checkpoint's architecture and sizes, and check that its weights are complete."""
    from moss_audio.model.checkpoint import Checkpoint

    checkpoint = Checkpoint.open(model)
    facts = describe(checkpoint)
    problem = None
    try:
        check(checkpoint)
    except MossAudioError as error:
        problem = str(error)
    facts["ok"] = problem is None
    if problem is not None:
        facts["problem"] = problem
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=2))
    else:
        typer.echo(_table(facts))
    if problem is not None:
        raise CheckpointError(problem)


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """The facts of a checkpoint as JSON types. Sizes follow from the configuration alone."""
    from moss_audio.model.weights import expected_shapes
    from moss_audio.units import FRAMES_PER_SECOND, TOKENS_PER_SECOND

    sizes = checkpoint.sizes
    audio, decoder = sizes.audio, sizes.decoder
    parameters = dict.fromkeys(_PARTS.values(), 0)
    for name, shape in expected_shapes(sizes).items():
        if name == "lm_head.weight" and sizes.tied:
            continue  # the embedding, counted with the decoder
        parameters[_PARTS[name.split(".", 1)[0]]] += math.prod(shape)
    return {
        "folder": str(checkpoint.folder),
        "layout": checkpoint.layout,
        "architecture": (checkpoint.values.get("architectures") or ["MossAudioModel"])[0],
        "parameters": {**parameters, "total": sum(parameters.values())},
        "weight_bytes": sum(
            path.stat().st_size for path in checkpoint.folder.glob("*.safetensors")
        ),
        "encoder": {
            "stem": audio.stem,
            "mel_bins": audio.num_mel_bins,
            "layers": audio.layers,
            "width": audio.d_model,
            "token_width": audio.output_dim,
            "heads": audio.heads,
            "chunk_s": audio.chunk_frames / FRAMES_PER_SECOND,
            "taps": list(audio.taps),
        },
        "mergers": sizes.n_deepstack,
        "decoder": {
            "family": decoder.family,
            "layers": decoder.layers,
            "width": decoder.hidden_size,
            "heads": decoder.heads,
            "kv_heads": decoder.kv_heads,
            "vocabulary": decoder.vocab_size,
            "max_positions": decoder.max_positions,
            "tied_head": sizes.tied,
        },
        "tokens": {
            "per_second": TOKENS_PER_SECOND,
            "audio": sizes.audio_token_id,
            "start": sizes.audio_start_id,
            "end": sizes.audio_end_id,
        },
    }


def check(checkpoint: Checkpoint) -> None:
    """Raises CheckpointError, one line, unless every weight is there, readable and in shape, and
    the tokenizer and the audio ids are, too."""
    from moss_audio.model.checkpoint import PROCESSOR_FILE
    from moss_audio.model.tokenizer import Tokenizer
    from moss_audio.model.weights import check_weights

    check_weights(checkpoint)
    Tokenizer.open(checkpoint.folder)
    path = checkpoint.folder / PROCESSOR_FILE
    if not path.is_file():
        raise CheckpointError(f"{path}: missing; download the checkpoint again")
    _ = checkpoint.prompt_spec


def _table(facts: dict[str, Any]) -> str:
    encoder, decoder, tokens = facts["encoder"], facts["decoder"], facts["tokens"]
    parameters = facts["parameters"]
    sizes = ", ".join(f"{k} {_count(v)}" for k, v in parameters.items() if k != "total" and v)
    taps = ", ".join(map(str, encoder["taps"])) or "none"
    rows = [
        ("folder", facts["folder"]),
        ("architecture", f"{facts['architecture']} ({facts['layout']} layout)"),
        ("parameters", f"{_count(parameters['total'])}: {sizes}"),
        ("weights", f"{facts['weight_bytes'] / 1e6:,.1f} MB on disk"),
        (
            "encoder",
            f"stem {encoder['stem']}, {encoder['layers']} layers of width {encoder['width']}, "
            f"{encoder['heads']} heads, {encoder['mel_bins']} mel bins",
        ),
        ("chunks", f"{encoder['chunk_s']:g} s, tokens of width {encoder['token_width']}"),
        ("taps", f"after layers {taps}; {facts['mergers']} DeepStack mergers"),
        (
            "decoder",
            f"{decoder['family']}, {decoder['layers']} layers of width {decoder['width']}, "
            f"{decoder['heads']} heads ({decoder['kv_heads']} for keys and values), "
            f"{'tied' if decoder['tied_head'] else 'untied'} head",
        ),
        ("vocabulary", f"{decoder['vocabulary']}, {decoder['max_positions']} positions"),
        (
            "audio tokens",
            f"{tokens['per_second']:g} a second; ids {tokens['audio']} (audio), "
            f"{tokens['start']} (start), {tokens['end']} (end)",
        ),
        ("check", "ok" if facts["ok"] else "failed"),
    ]
    return "\n".join(f"{name:<14}{value}" for name, value in rows)


def _count(number: int) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return str(number)

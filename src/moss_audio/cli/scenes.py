"""`scenes make`: composed sound scenes with exact truth, to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="Compose sound scenes with exact truth.")
    group.command("make", epilog="Example: moss-audio scenes make configs/nano/scenes.yaml data")(
        make_scenes
    )
    # A group needs a callback to stay one while it has a single command.
    group.callback()(lambda: None)
    app.add_typer(group, name="scenes")


def make_scenes(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of shards; made if absent.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Make the scenes that CONFIG describes. The same command goes on where a run ended."""
    from moss_audio.scenes.make import make

    typer.echo(str(make(config, out, workers=workers)))

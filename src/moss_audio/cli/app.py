"""The tree of commands, and what becomes of their errors."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from moss_audio import __version__
from moss_audio.cli import (
    annotate,
    bench_serve,
    build_nano,
    evaluate,
    export,
    info,
    listen,
    scenes,
    serve,
    train,
)
from moss_audio.cli.messages import INTERRUPTED, PIPE_CLOSED, complain
from moss_audio.errors import MossAudioError

_TORCH_MEMORY = "OutOfMemoryError"


class _Group(TyperGroup):
    """Turns what a user can cause into one line and an exit code, whichever command it was."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            complain(str(stop) or "interrupted", kind=None)
            raise typer.Exit(INTERRUPTED) from None
        except MossAudioError as error:
            complain(str(error))
            raise typer.Exit(1) from None
        except BrokenPipeError:
            raise typer.Exit(PIPE_CLOSED) from None  # its reader has seen enough
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            complain(f"{name}{error.strerror or error}")
            raise typer.Exit(1) from None
        except (MemoryError, RuntimeError) as error:
            # torch's own class, told by its name so that torch need not be imported for it
            if not isinstance(error, MemoryError) and type(error).__name__ != _TORCH_MEMORY:
                raise
            complain("out of memory: use a smaller --batch-size or a part with --start and --end")
            raise typer.Exit(1) from None


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"moss-audio {__version__}")
        raise typer.Exit


def build() -> typer.Typer:
    """The application, with every command. Imports neither torch nor numpy."""
    app = typer.Typer(
        name="moss-audio",
        cls=_Group,
        no_args_is_help=True,
        # A traceback is a bug of ours and is wanted whole, without a frame's private values.
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(epilog="Example: moss-audio transcribe talk.mp3 --timestamps word")
    def root(
        version: Annotated[
            bool,
            typer.Option(
                "--version", callback=_show_version, is_eager=True, help="Print the version."
            ),
        ] = False,
    ) -> None:
        """From a sound file to a transcript with times, a timeline of events, or an answer."""

    for group in (
        listen, info, serve, bench_serve, export, build_nano, scenes, annotate, train, evaluate,
    ):  # fmt: skip
        group.register(app)
    return app


def run(arguments: list[str]) -> int:
    """Run a command line; returns its exit code instead of leaving the process."""
    try:
        build()(args=arguments, prog_name="moss-audio")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    return 0

"""`serve`: a model behind OpenAI's REST interface."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moss_audio.cli.messages import complain
from moss_audio.cli.options import BatchSize, Device, Dtype
from moss_audio.errors import MissingDependencyError, MossAudioError

if TYPE_CHECKING:
    from moss_audio.api import MossAudio

_ACCESS = "Who may use it"
_LIMITS = "Limits"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: moss-audio serve nano --served-model-name whisper-1")(serve)


def serve(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="nano (built in), a folder, or a hub id.")
    ] = "nano",
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen at. Others than this machine's need keys."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes any free port.")
    ] = 8000,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--served-model-name",
            help="Name that clients ask for, such as whisper-1. Can be repeated; the first is "
            "the canonical one. Default: MODEL.",
        ),
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--api-key",
            envvar="MOSS_AUDIO_API_KEYS",
            show_envvar=True,
            help="Key that clients must send. Can be repeated; the variable holds several with "
            "spaces between them.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--api-key-file", help="File with a key on each line.", rich_help_panel=_ACCESS
        ),
    ] = None,
    origins: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin",
            help="Origin of a web page that may use the server, such as https://example.org. Can "
            "be repeated.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Allow everyone who can reach the host.", rich_help_panel=_ACCESS
        ),
    ] = False,
    max_body_mib: Annotated[
        int,
        typer.Option("--max-body-mib", min=1, help="Size of a request.", rich_help_panel=_LIMITS),
    ] = 100,
    max_audio_s: Annotated[
        float,
        typer.Option(
            "--max-audio-seconds", min=1.0, help="Sound in a request.", rich_help_panel=_LIMITS
        ),
    ] = 10800.0,
    max_waiting: Annotated[
        int,
        typer.Option(
            "--max-waiting", min=1, help="Requests that wait for a turn.", rich_help_panel=_LIMITS
        ),
    ] = 32,
    max_wait_s: Annotated[
        float,
        typer.Option(
            "--max-wait-seconds",
            min=1.0,
            help="Requests that would wait longer are refused at once.",
            rich_help_panel=_LIMITS,
        ),
    ] = 60.0,
    drain_s: Annotated[
        float,
        typer.Option(
            "--drain-seconds",
            min=0.0,
            help="Time that running requests get after SIGTERM.",
            rich_help_panel=_LIMITS,
        ),
    ] = 30.0,
    workers: Annotated[int, typer.Option("--workers", hidden=True)] = 1,
    batch_size: BatchSize = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Serve a model over HTTP as OpenAI does: transcriptions, chat about clips, events, captions
    and questions."""
    if workers != 1:
        raise typer.BadParameter(
            "one process serves one model; run several servers behind a proxy "
            "(docs/serving.md)", param_hint="--workers",
        )  # fmt: skip
    for package in ("starlette", "uvicorn", "python_multipart", "prometheus_client"):
        if util.find_spec(package) is None:
            raise MissingDependencyError(package.replace("_", "-"), "serve", "moss-audio serve")
    from moss_audio.serve.config import MIB, Limits, ServerConfig
    from moss_audio.serve.run import serve as run

    limits = replace(
        Limits(),
        body_bytes=max_body_mib * MIB,
        audio_s=max_audio_s,
        waiting=max_waiting,
        wait_s=max_wait_s,
        drain_s=drain_s,
    )
    config = ServerConfig(
        host=host,
        port=port,
        names=tuple(names or [Path(model).name]),
        keys=(*(keys or ()), *_keys_of(key_file)),
        origins=tuple(origins or ()),
        insecure=insecure,
        limits=limits,
    )
    if not config.local and not config.keys:
        complain(f"everyone who can reach {host} can use this server: no key is asked for",
                 "warning")  # fmt: skip
    began = time.monotonic()

    def load() -> MossAudio:
        from moss_audio import api

        return api.load(model, device=device, dtype=dtype, batch_size=batch_size)

    def ready(address: str) -> None:
        took = f"ready in {time.monotonic() - began:.1f} s"
        complain(f"{config.names[0]} at {address} ({took}); Ctrl-C ends it", kind=None)

    _log_to_stderr()
    run(load, config, ready)


def _keys_of(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        keys = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise MossAudioError(f"{path}: cannot be read ({reason})") from error
    if not keys:
        raise MossAudioError(f"{path}: holds no key; write one on each line")
    return keys


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    levels = {
        "moss_audio.serve": logging.INFO,
        "uvicorn.error": logging.WARNING,
        "python_multipart": logging.ERROR,  # its warnings quote what clients send
    }
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.addHandler(handler)

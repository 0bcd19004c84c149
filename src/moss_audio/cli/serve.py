"""`serve`: a model behind OpenAI's REST and realtime interfaces."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moss_audio.cli.messages import complain
from moss_audio.cli.options import (
    BatchSize,
    Device,
    Dtype,
    Engine,
    Threads,
    load_model,
    with_common,
)
from moss_audio.errors import MissingDependencyError, MossAudioError

if TYPE_CHECKING:
    from moss_audio.api import MossAudio
    from moss_audio.serve.config import ServerConfig

_ACCESS = "Who may use it"
_LIMITS = "Limits"


@dataclass(frozen=True)
class ServeOptions:
    """What the command is told."""

    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="nano (built in), a folder, or a hub id.")
    ] = "nano"
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen on. Any but this machine's own needs keys."),
    ] = "127.0.0.1"
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes any free port.")
    ] = 8000
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--served-model-name",
            help="Name that clients ask for, such as whisper-1. Can be repeated; the first is "
            "the canonical one. Default: MODEL.",
        ),
    ] = None
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
    ] = None
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--api-key-file", help="File with a key on each line.", rich_help_panel=_ACCESS
        ),
    ] = None
    origins: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin",
            help="Origin of a web page that may use the server, such as https://example.org. Can "
            "be repeated.",
            rich_help_panel=_ACCESS,
        ),
    ] = None
    url_hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-url-host",
            help="Host, or HOST:PORT, that an audio_url of a client may name, such as "
            "media.example.org. Can be repeated. Default: no address is fetched.",
            rich_help_panel=_ACCESS,
        ),
    ] = None
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Let everyone who can reach the host use the server without a key.",
            rich_help_panel=_ACCESS,
        ),
    ] = False
    max_body_mib: Annotated[
        int,
        typer.Option(
            "--max-body-mib", min=1, help="Largest request in MiB.", rich_help_panel=_LIMITS
        ),
    ] = 100
    max_audio_s: Annotated[
        float,
        typer.Option(
            "--max-audio-seconds",
            min=1.0,
            help="Most seconds of audio in a request.",
            rich_help_panel=_LIMITS,
        ),
    ] = 10800.0
    max_waiting: Annotated[
        int,
        typer.Option(
            "--max-waiting", min=1, help="Requests that may wait.", rich_help_panel=_LIMITS
        ),
    ] = 32
    max_wait_s: Annotated[
        float,
        typer.Option(
            "--max-wait-seconds",
            min=1.0,
            help="Refuse a request at once if it would wait longer.",
            rich_help_panel=_LIMITS,
        ),
    ] = 60.0
    drain_s: Annotated[
        float,
        typer.Option(
            "--drain-seconds",
            min=0.0,
            help="Time that running requests get after SIGTERM.",
            rich_help_panel=_LIMITS,
        ),
    ] = 30.0
    max_sessions: Annotated[
        int,
        typer.Option(
            "--max-live-sessions",
            min=1,
            help="Realtime sessions at once; further ones are refused.",
            rich_help_panel=_LIMITS,
        ),
    ] = 8
    workers: Annotated[int, typer.Option("--workers", hidden=True)] = 1
    engine: Engine = None
    threads: Threads = None
    device: Device = None
    dtype: Dtype = None
    batch_size: BatchSize = None

    def config(self) -> ServerConfig:
        """The server's own form. Raises MossAudioError for what is not possible."""
        from moss_audio.serve.config import MIB, Limits, ServerConfig

        limits = Limits(
            body_bytes=self.max_body_mib * MIB,
            audio_s=self.max_audio_s,
            waiting=self.max_waiting,
            wait_s=self.max_wait_s,
            drain_s=self.drain_s,
            sessions=self.max_sessions,
        )
        return ServerConfig(
            host=self.host,
            port=self.port,
            names=tuple(self.names or [Path(self.model).name]),
            keys=(*(self.keys or ()), *_keys_of(self.key_file)),
            origins=tuple(self.origins or ()),
            url_hosts=tuple(self.url_hosts or ()),
            insecure=self.insecure,
            limits=limits,
        )

    def load(self) -> MossAudio:
        """The model."""
        loaded: MossAudio = load_model(self)
        return loaded


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "Example: moss-audio serve nano --served-model-name whisper-1"
    app.command(epilog=example)(with_common(serve, ServeOptions))


def serve(options: ServeOptions) -> None:
    """Serve a model over HTTP as OpenAI does: transcriptions, live ones too, chat about clips,
    events, captions and questions."""
    if options.workers != 1:
        raise typer.BadParameter(
            "one process serves one model; run several servers behind a proxy (docs/deploy.md)",
            param_hint="--workers",
        )
    for package in ("starlette", "uvicorn", "python_multipart", "prometheus_client", "websockets"):
        if util.find_spec(package) is None:
            raise MissingDependencyError(package.replace("_", "-"), "serve", "moss-audio serve")
    from moss_audio.serve.run import serve as run

    config = options.config()
    if config.insecure and not config.keys:
        complain(
            f"everyone who can reach {config.host} can use this server: no key is asked for",
            "warning",
        )
    began = time.monotonic()

    def ready(address: str) -> None:
        took = f"ready in {time.monotonic() - began:.1f} s"
        complain(f"{config.names[0]} at {address} ({took}); Ctrl-C ends it", kind=None)

    with _log_to_stderr():
        run(options.load, config, ready)


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


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    levels = {
        "moss_audio.serve": logging.INFO,
        "uvicorn.error": logging.WARNING,
        "python_multipart": logging.ERROR,  # its warnings quote what clients send
    }
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in levels:
            logging.getLogger(name).removeHandler(handler)

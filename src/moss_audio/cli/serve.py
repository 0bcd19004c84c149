"""`serve`: a model behind OpenAI's REST and realtime interfaces."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moss_audio.cli.messages import complain
from moss_audio.cli.options import (
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

BACKEND_KEY = "MOSS_AUDIO_BACKEND_API_KEY"
_ACCESS = "Who may use it"
_BACKEND = "Backend"
_LIMITS = "Limits"


@dataclass(frozen=True)
class ServeOptions:
    """What the command is told."""

    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="nano (built in; the default), a folder, or a hub id. With --backend the "
            "checkpoint that the backend serves, for what a server keeps to itself.",
        ),
    ] = None
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
            "the canonical one. Default: MODEL, or the backend's name for it.",
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
            "be repeated; * is refused.",
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
    page: Annotated[
        bool,
        typer.Option(
            "--page/--no-page",
            help="Show a page at / to record, drop files and ask.",
            rich_help_panel=_ACCESS,
        ),
    ] = True
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
        int | None,
        typer.Option(
            "--max-live-sessions",
            min=1,
            help="Realtime sessions at once; further ones are refused. Default: as many as this "
            "machine can transcribe in 60 % of its time, as measured at the start.",
            rich_help_panel=_LIMITS,
        ),
    ] = None
    prefix_cache_mib: Annotated[
        int | None,
        typer.Option(
            "--prefix-cache-mib",
            min=0,
            help="Memory for keys and values of clips that were heard, for further questions "
            "about them; 0 keeps none. Default: 512.",
            rich_help_panel=_LIMITS,
        ),
    ] = None
    vad: Annotated[
        str,
        typer.Option(
            "--vad",
            help="What finds the turns of live sessions: energy, or silero, a network that knows "
            "voices from other sounds (pip install --no-deps silero-vad).",
        ),
    ] = "energy"
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            help="Server that runs the model, such as vLLM's: http://host:8000/v1, followed by "
            "#name if it serves several. This server then loads none.",
            rich_help_panel=_BACKEND,
        ),
    ] = None
    backend_key: Annotated[
        str | None,
        typer.Option(
            "--backend-api-key",
            envvar=BACKEND_KEY,
            show_envvar=True,
            help="Key for the backend.",
            rich_help_panel=_BACKEND,
        ),
    ] = None
    backend_concurrency: Annotated[
        int | None,
        typer.Option(
            "--backend-concurrency",
            min=1,
            help="Requests that the backend is asked at once. Default: 16.",
            rich_help_panel=_BACKEND,
        ),
    ] = None
    backend_timeout_s: Annotated[
        float | None,
        typer.Option(
            "--backend-timeout-seconds",
            min=1.0,
            help="Longest silence of the backend within an answer. Default: 120.",
            rich_help_panel=_BACKEND,
        ),
    ] = None
    workers: Annotated[int, typer.Option("--workers", hidden=True)] = 1
    engine: Engine = None
    threads: Threads = None
    device: Device = None
    dtype: Dtype = None
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            help="Number of requests in the model at once, whose answers are decoded together; "
            "others wait for their turn. Default: depends on the device.",
            rich_help_panel=_LIMITS,
        ),
    ] = None

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
            names=self._names(),
            keys=(*(self.keys or ()), *_keys_of(self.key_file)),
            origins=tuple(self.origins or ()),
            url_hosts=tuple(self.url_hosts or ()),
            insecure=self.insecure,
            page=self.page,
            vad=self.vad,
            limits=limits,
        )

    def check(self) -> None:
        """Raises MossAudioError for options that do not go together."""
        from moss_audio.recordings import is_url

        if self.model is not None and is_url(self.model):
            raise MossAudioError(f"{self.model}: give the address of a server as --backend")
        where = "without --backend"
        names: tuple[str, ...] = ("backend_concurrency", "backend_timeout_s")
        if self.backend is not None:
            where = "with --backend, which decides that"
            names = ("engine", "threads", "device", "dtype", "batch_size", "prefix_cache_mib")
        for name in names:
            if getattr(self, name) is not None:
                option = re.sub("_s$", "_seconds", name).replace("_", "-")
                raise MossAudioError(f"--{option}: leave it out {where}")

    def load(self) -> MossAudio:
        """The model."""
        loaded: MossAudio
        if self.backend is None:
            mib = self.prefix_cache_mib
            loaded = load_model(
                replace(self, model=self.model or "nano"),
                reuse_bytes=None if mib is None else mib * 2**20,
            )
            return loaded
        from moss_audio.serve.backend import Backend

        if self.backend_key is not None:  # the client of servers reads keys there, and nowhere else
            os.environ[BACKEND_KEY] = self.backend_key
        how: dict[str, Any] = {
            "concurrency": self.backend_concurrency,
            "timeout_s": self.backend_timeout_s,
        }
        told = {name: value for name, value in how.items() if value is not None}
        return Backend(self.backend, self.model, **told, key_env=BACKEND_KEY).load()

    def _names(self) -> tuple[str, ...]:
        if self.names:
            return tuple(self.names)
        if self.model is None and self.backend is not None:
            return ()
        model = Path(self.model or "nano")
        return (model.name if model.name.strip(".") else model.resolve().name,)


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
    from moss_audio.serve.realtime.silero import silero_file
    from moss_audio.serve.run import serve as run

    options.check()
    config = options.config()
    if config.vad == "silero":
        silero_file()  # told before the model is loaded
    _check_temporary_folder()
    if config.insecure and not config.keys:
        complain(
            f"everyone who can reach {config.host} can use this server: no key is asked for",
            "warning",
        )
    began = time.monotonic()

    def ready(name: str, address: str) -> None:
        took = f"ready in {time.monotonic() - began:.1f} s"
        complain(f"{name} at {address} ({took}); Ctrl-C ends it", kind=None)

    with _log_to_stderr():
        run(options.load, config, ready)


def _check_temporary_folder() -> None:
    """Raises MossAudioError where there is none for uploads."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise MossAudioError(
            "there is no folder for large uploads that can be written: set TMPDIR to one"
        ) from error


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

"""`bench-serve`: how fast a server answers under load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from moss_audio.cli.messages import INTERRUPTED, complain, plural
from moss_audio.cli.options import with_common
from moss_audio.errors import MossAudioError, require
from moss_audio.files import write_atomic

if TYPE_CHECKING:
    from moss_audio.serve.bench.plan import BenchPlan

N = TypeVar("N", int, float)

_STREAMS, _CONCURRENCY = "1,2,4", "1,8"


@dataclass(frozen=True)
class BenchOptions:
    """What the command is told."""

    url: Annotated[
        str, typer.Argument(metavar="[URL]", help="Address of the server, with /v1.")
    ] = "http://127.0.0.1:8000/v1"
    streams: Annotated[
        str | None,
        typer.Option(
            "--streams",
            metavar="N,N,...",
            help=f"Live streams at once, a level each. Default, without any load: {_STREAMS}.",
        ),
    ] = None
    concurrency: Annotated[
        str | None,
        typer.Option(
            "--concurrency",
            metavar="N,N,...",
            help="Requests under way at any time, a level each. Default, without any load: "
            f"{_CONCURRENCY}.",
        ),
    ] = None
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate",
            metavar="R,R,...",
            help="Requests a second, at random moments, a level each.",
        ),
    ] = None
    together: Annotated[
        bool,
        typer.Option("--together", help="Send the requests beside every level of streams."),
    ] = False
    duration_s: Annotated[
        float, typer.Option("--duration", min=0.1, help="Seconds that a level lasts.")
    ] = 30.0
    audio: Annotated[
        list[str] | None,
        typer.Option(
            "--audio",
            help="Recording to send. Can be repeated. Default: examples/speech.wav of a clone.",
        ),
    ] = None
    task: Annotated[
        str, typer.Option("--task", help="What requests ask for: transcribe, chat or events.")
    ] = "transcribe"
    turns: Annotated[
        str,
        typer.Option(
            "--turns", help="Who ends a turn of a stream: the client (commit) or server_vad."
        ),
    ] = "commit"
    sample_rate: Annotated[
        int, typer.Option("--sample-rate", min=8000, max=48000, help="Hz of what is sent.")
    ] = 24_000
    model: Annotated[
        str, typer.Option("--model", "-m", help="As the server calls it. Default: its first.")
    ] = ""
    key: Annotated[
        str,
        typer.Option("--api-key", envvar="OPENAI_API_KEY", show_envvar=True, help="For servers "
                     "that ask for one.", show_default=False),
    ] = ""  # fmt: skip
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the report to this JSON file.")
    ] = None
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of pauses, arrivals and the order of clips.")
    ] = 0
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.1, help="An answer that takes longer is an error.")
    ] = 60.0
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Compare every answer with the one that the same sound gets by itself.",
        ),
    ] = False

    def plan(self) -> BenchPlan:
        """The plan that they make. Raises MossAudioError."""
        from moss_audio.serve.bench.plan import BenchPlan

        streams, concurrency = self.streams, self.concurrency
        if streams is None and concurrency is None and self.rate is None:
            streams, concurrency = _STREAMS, _CONCURRENCY
        return BenchPlan(
            url=self.url,
            model=self.model,
            key=self.key,
            streams=_numbers("--streams", streams, int),
            concurrency=_numbers("--concurrency", concurrency, int),
            rates=_numbers("--rate", self.rate, float),
            together=self.together,
            duration_s=self.duration_s,
            task=self.task,  # type: ignore[arg-type]  # it is checked there
            turns=self.turns,  # type: ignore[arg-type]
            sample_rate=self.sample_rate,
            seed=self.seed,
            timeout_s=self.timeout_s,
            check=self.check,
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "Example: moss-audio bench-serve http://127.0.0.1:8000/v1 --streams 1,4,8"
    app.command("bench-serve", epilog=example)(with_common(bench_serve, BenchOptions))


def bench_serve(options: BenchOptions) -> None:
    """Measure how fast a server with OpenAI's interface answers: live streams at the pace of
    speech, and requests. Everything is sent when it is due, however late the server is; what
    the server has not is left out and said. Ctrl-C shows what is known by then."""
    require("websockets", extra="serve", purpose="moss-audio bench-serve")
    from moss_audio.serve.bench.clips import example_clips
    from moss_audio.serve.bench.run import Bench

    plan = options.plan()
    bench = Bench(plan, options.audio or example_clips(), lambda line: complain(line, None))
    interrupted = False
    try:
        asyncio.run(bench.run())
    except KeyboardInterrupt:
        interrupted = True
    report = bench.report(interrupted=interrupted)
    _show(report)
    if options.out is not None:
        write_atomic(options.out, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    wrong = report["wrong"]
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if wrong and wrong["count"]:
        complain(f"{plural(wrong['count'], 'answer')} not as the same sound gets by itself")
        raise typer.Exit(1)


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console

    from moss_audio.serve.bench.table import show

    # a pipe has no width of its own
    console = Console()
    show(report, console if console.is_terminal else Console(width=160))
    for line in report["skipped"]:
        complain(line, "not measured")
    for level in report["levels"]:
        for problem, count in level["problems"].items():
            complain(f"{count} times: {problem}", f"{level['kind']} {level['size']:g}")


def _numbers(option: str, text: str | None, kind: Callable[[str], N]) -> tuple[N, ...]:
    if text is None:
        return ()
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise MossAudioError(
            f"{option} {text}: give numbers with commas between them, such as 1,2,4"
        ) from None

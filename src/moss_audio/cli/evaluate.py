"""`evaluate`: a checkpoint on a suite of test sets, to report.json and report.md."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moss_audio.cli.messages import complain, plural
from moss_audio.cli.options import MODEL_HELP, BatchSize, Device, Dtype, Engine, Threads
from moss_audio.cli.progress import ProgressBar
from moss_audio.errors import MossAudioError

if TYPE_CHECKING:
    from moss_audio.evaluate.plan import Plan
    from moss_audio.metrics.judge import SpeechCaptionJudge

_LISTED = 10  # failures named on the terminal; the report has them all


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: moss-audio evaluate nano --suite nano --data data/scenes")(
        evaluate
    )


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    suite: Annotated[
        str,
        typer.Option(
            "--suite", "-s", help="nano, reasoning, general, asr, timestamps or captions."
        ),
    ],
    data: Annotated[Path, typer.Option("--data", "-d", help="Folder with the test sets.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for answers and reports. Default: evaluation/MODEL-SUITE.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of items per part.")
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option("--part", help="Run only this part of the suite. Can be repeated."),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh/--resume",
            help="Ask everything again, or resume an earlier run. Answers from another model, "
            "suite or prompt are never reused.",
        ),
    ] = False,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against",
            help="Output folder (--out) of another checkpoint's run of the suite reasoning, to be "
            "compared question by question. Can be repeated.",
        ),
    ] = None,
    judge_url: Annotated[
        str | None,
        typer.Option(
            "--judge-url",
            help="OpenAI-compatible service that rates descriptions of speakers (suite captions). "
            "The key is read from OPENAI_API_KEY.",
        ),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option("--judge-model", help="The judge's name at that service.")
    ] = None,
    batch_size: BatchSize = None,
    engine: Engine = None,
    threads: Threads = None,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Evaluate a checkpoint. Items that fail are listed, and make the exit code 1."""
    from moss_audio.evaluate.paired import read_run
    from moss_audio.evaluate.suites import plan

    # a mistake in the data shows before the model is loaded
    whole = plan(suite, data, _judge(judge_url, judge_model))
    planned = _suited(whole.only(part) if part else whole, model)
    earlier = [read_run(one, whole) for one in against or ()]
    folder = out or Path("evaluation") / f"{_slug(model)}-{suite}"
    how = {
        "engine": engine, "threads": threads, "device": device, "dtype": dtype,
        "batch_size": batch_size,
    }  # fmt: skip
    told = {
        "model": model,
        "command": _command(model, suite, data, limit, part or (), against or ()),
        "limit": limit,
        "earlier": earlier,
    }
    report, page, reused = _measured(planned, folder, fresh, how, told)
    typer.echo(page.read_text(encoding="utf-8"), nl=False)
    if reused:
        complain(f"{plural(reused, 'answer')} from an earlier run", kind=None)
    _tell_failed(report["failed"], folder)


def _measured(
    planned: Plan, folder: Path, fresh: bool, how: Mapping[str, Any], told: Mapping[str, Any]
) -> tuple[dict[str, Any], Path, int]:
    """The report, its page, and how many answers were there from an earlier run. `how` the model is
    loaded; what the report is `told`."""
    from moss_audio.evaluate import report as reports
    from moss_audio.evaluate.run import run
    from moss_audio.evaluate.store import AnswerFile

    bar = ProgressBar(1, "loading the model", wanted=True)
    with AnswerFile(folder, fresh=fresh) as store, bar:
        from moss_audio import api

        loaded = api.load(told["model"], **how)
        mark = loaded.fingerprint
        ran = run(
            loaded,
            planned,
            store,
            fingerprint=mark,
            limit=told["limit"],
            progress=lambda done, total, name: bar.move(done / max(1, total), name),
        )
        bar.move(1, "measuring")
        report = reports.build(planned, ran, fingerprint=mark, **told)
        _, page = reports.write(folder, report)
    return report, page, ran.reused


def _suited(planned: Plan, model: str) -> Plan:
    """What can be asked of this checkpoint; what cannot be measured is told."""
    from moss_audio.api import open_checkpoint

    if planned.tells_thinking:
        checkpoint = open_checkpoint(model)
        if not checkpoint.can_think and checkpoint.thinker is None:
            planned = planned.without_thinking()
    for absent, reason in planned.absent:
        complain(f"{absent} is not measured: {reason}", kind="note")
    return planned


def _tell_failed(failed: Sequence[Mapping[str, str]], folder: Path) -> None:
    for row in failed[:_LISTED]:
        complain(f"{row['part']} {row['id']}: {row['error']}")
    if failed:
        complain(f"{plural(len(failed), 'item')} failed; all are in {folder / 'report.json'}")
        raise typer.Exit(1)


def _judge(url: str | None, name: str | None) -> SpeechCaptionJudge | None:
    if url is None and name is None:
        return None
    if url is None or name is None:
        raise MossAudioError("--judge-url and --judge-model belong together: give both")
    from moss_audio.endpoint import Endpoint
    from moss_audio.metrics.judge import SpeechCaptionJudge

    return SpeechCaptionJudge(Endpoint(url, name))


def _command(
    model: str,
    suite: str,
    data: Path,
    limit: int | None,
    parts: Sequence[str],
    against: Sequence[Path],
) -> str:
    """The command that gives these figures again: without what only says where and how fast."""
    words = ["moss-audio", "evaluate", model, "--suite", suite, "--data", str(data)]
    if limit is not None:
        words += ["--limit", str(limit)]
    for part in parts:
        words += ["--part", part]
    for folder in against:
        words += ["--against", str(folder)]
    return shlex.join(words)


def _slug(model: str) -> str:
    return re.sub(r"[^\w.-]+", "-", Path(model).name if Path(model).is_dir() else model).strip("-")

"""`scenes make`, `scenes check`, `scenes info`: composed sound scenes with exact truth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moss_audio.cli.messages import complain, plural
from moss_audio.cli.options import NewFolder
from moss_audio.cli.progress import ProgressBar
from moss_audio.errors import MossAudioError

if TYPE_CHECKING:
    from moss_audio.scenes.check import Report

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder written by `scenes make`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
_SHOWN = 20  # leaks and names that are listed; --json has all


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Compose sound scenes whose words, events and music are known exactly.",
    )
    group.command("make", epilog="Example: moss-audio scenes make configs/nano/scenes.yaml data")(
        make_scenes
    )
    group.command("check", epilog="Example: moss-audio scenes check data")(check_scenes)
    group.command("info", epilog="Example: moss-audio scenes info data")(scenes_info)
    app.add_typer(group, name="scenes")


def make_scenes(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="YAML file that describes the scenes.")
    ],
    out: NewFolder,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 2,
) -> None:
    """Make the scenes that CONFIG describes. Running the same command again resumes."""
    from moss_audio.scenes.make import make

    bar: ProgressBar | None = None
    with ExitStack() as stack:

        def report(line: str) -> None:
            with bar.aside() if bar is not None else nullcontext():
                complain(line, kind="note")

        def progress(done: int, total: int) -> None:
            nonlocal bar
            if bar is None:  # the total is not known before
                bar = stack.enter_context(ProgressBar(total, "shards", wanted=True))
            bar.move(done, f"{done} of {plural(total, 'shard')}")

        folder = make(config, out, workers=workers, progress=progress, report=report)
    typer.echo(str(folder))


def check_scenes(folder: Folder, as_json: AsJson = False) -> None:
    """Check that the splits share no sentence, voice or recording; exit code 1 if they do."""
    from moss_audio.scenes.check import check

    report = check(folder)
    if not report.scenes:
        raise MossAudioError(f"{folder}: no completed shard of scenes; make one first")
    if as_json:
        typer.echo(json.dumps(_report(report), ensure_ascii=False, indent=2))
    else:
        for leak in report.leaks[:_SHOWN]:
            typer.echo(f"leak: {leak}")
        if len(report.leaks) > _SHOWN:
            typer.echo(f"and {len(report.leaks) - _SHOWN} more: --json names all")
        looked = ", ".join(plural(n, f"different {what}") for what, n in report.counts.items())
        typer.echo(f"{plural(report.scenes, 'scene')}: {looked}")
    if report.leaks:
        found = ", ".join(plural(n, what) for what, n in report.kinds.items())
        raise MossAudioError(f"{folder}: shared between splits: {found}")


def scenes_info(folder: Folder, as_json: AsJson = False) -> None:
    """Show the hours of a folder by split, kind, voice and source."""
    from moss_audio.scenes.summary import summarise

    facts = summarise(folder)
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    shards = facts["shards"]
    total = f" of {shards['total']}" if shards["total"] is not None else ""
    typer.echo(f"{'scenes':<10}{facts['scenes']}, {facts['hours']:.2f} h")
    typer.echo(f"{'shards':<10}{shards['complete']}{total} complete")
    engines: dict[str, float] = {}
    for voice, hours in facts["voice"].items():
        engine = voice if voice.startswith("human/") else voice.split("/", 1)[0]
        engines[engine] = engines.get(engine, 0.0) + hours
    for name in ("split", "kind", "voice", "source", "effect"):
        for line in _rows(name, engines if name == "voice" else facts[name]):
            typer.echo(line)
    for source in facts["sources"]:
        files = "" if source["files"] is None else f", {plural(source['files'], 'file')}"
        version = source["version"] or "not installed"
        typer.echo(f"{'from':<10}{source['name']} ({version}{files}): {source['licence']}")


def _rows(name: str, hours: Mapping[str, float]) -> list[str]:
    shown = list(hours.items())[:_SHOWN]
    lines = [
        f"{name if i == 0 else '':<10}{what:<28}{value:9.3f} h"
        for i, (what, value) in enumerate(shown)
    ]
    rest = list(hours.items())[_SHOWN:]
    if rest:
        lines.append(f"{'':<10}{f'{len(rest)} more':<28}{sum(v for _, v in rest):9.3f} h")
    return lines


def _report(report: Report) -> dict[str, Any]:
    return {
        "ok": not report.leaks,
        "scenes": report.scenes,
        "counts": report.counts,
        "leaks": [
            {"what": leak.what, "name": leak.name, "scenes": dict(leak.scenes)}
            for leak in report.leaks
        ],
    }

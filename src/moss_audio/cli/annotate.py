"""`annotate`: recordings of any kind to segments with captions and data to train on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from moss_audio.cli.messages import complain, plural
from moss_audio.cli.train import Changes, parse_changes

if TYPE_CHECKING:
    from moss_audio.annotate.config import AnnotateConfig
    from moss_audio.annotate.finish import Summary

_LOCAL = "local"  # `--ray` without an address
_ADDRESS = re.compile(r"auto|local|ray://.+|[\w.-]+:\d+")


class _Command(TyperCommand):
    """Lets `--ray` go without an address: Typer's options take a value always or never."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given: list[str] = []
        for word, following in zip(args, [*args[1:], ""], strict=True):
            given.append(word)
            if word == "--ray" and not _ADDRESS.fullmatch(following):
                given.append(_LOCAL)
        return super().parse_args(ctx, given)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=_Command, epilog="Example: moss-audio annotate recordings data --workers 2")(
        annotate
    )


def annotate(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help="Files, folders, patterns such as '*.mp3', manifests (.jsonl, .csv, .tsv, "
            "wav.scp) and tar shards.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Output folder; created if it does not exist.")
    ],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML file with settings. Default: built-in settings."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, help="Number of processes. Default: from the settings, or 1."
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="[ADDRESS]",
            help="Run on a Ray cluster at this address (auto, HOST:PORT, ray://...), or on this "
            "machine if no address is given. Needs the extra 'ray'.",
        ),
    ] = None,
    changes: Changes = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Retry what an earlier run set aside.")
    ] = False,
) -> None:
    """Turn recordings into training data for `train sft`. Running the same command again resumes.

    Whatever cannot be used is listed in OUT/aside.jsonl, and makes the exit code 1.
    """
    from moss_audio.annotate import run
    from moss_audio.annotate.progress import LiveView

    settings = _config(config, workers, ray, changes)
    _mention(settings)
    if settings.run.executor == "slurm":
        jobs = run.submit(inputs, out, settings, retry=retry)
        typer.echo(f"queued as jobs {', '.join(jobs)}; the results come to {out}")
        return
    summary = run.annotate(inputs, out, settings, view=LiveView(), retry=retry)
    from moss_audio.annotate.report import write_report  # loads what only drawing needs

    page = write_report(out)
    _tell(summary, out)
    typer.echo(str(page))
    if summary.set_aside:
        raise typer.Exit(1)


def _config(
    path: Path | None, workers: int | None, ray: str | None, changes: list[str] | None
) -> AnnotateConfig:
    from moss_audio.annotate.config import load_config

    overrides: dict[str, Any] = dict(parse_changes(changes)) if changes else {}
    if workers is not None:
        overrides["run.workers"] = workers
    found = load_config(path, overrides)
    if ray is None:
        return found
    address = None if ray == _LOCAL else ray
    return replace(found, run=replace(found.run, executor="ray", ray_address=address))


def _mention(settings: AnnotateConfig) -> None:
    """What these settings leave out on this machine, and how to have it."""
    from moss_audio.annotate.branches.speech import SpeechConfig, chosen_diarizer
    from moss_audio.annotate.tools.speech.voice_weights import INSTALL

    speech = settings.parts.get("speech")
    if not isinstance(speech, SpeechConfig) or speech.diarizer != "auto":
        return
    if chosen_diarizer(speech) == "none":
        complain(f"speakers are not told apart; to have it: {INSTALL}", kind="note")


def _tell(summary: Summary, out: Path) -> None:
    hours = f"{summary.segments_s / 3600:.2f} h"
    complain(
        f"{plural(summary.recordings, 'recording')} of {plural(summary.files, 'file')}: "
        f"{plural(summary.segments, 'segment')} ({hours}), "
        f"{plural(summary.conversations, 'conversation')}",
        kind=None,
    )
    if summary.set_aside:
        complain(f"{_counts(summary.asides)} set aside; see {out / 'aside.jsonl'}", kind="warning")


def _counts(asides: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in asides.items())

"""`transcribe`, `caption`, `events` and `ask`: recordings in, results out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from moss_audio.cli import options as opt
from moss_audio.cli.inputs import Found, Input, find_inputs, is_input
from moss_audio.cli.output import Folder, Output, Stdout, check_stdout, make_folder
from moss_audio.cli.render import PLAIN, Rendering, check_formats
from moss_audio.cli.runner import Draw, Listening, listen
from moss_audio.errors import MossAudioError
from moss_audio.files import MEDIA_SUFFIXES
from moss_audio.result import Result, Timeline, Transcript


class Timestamps(StrEnum):
    """Levels of `transcribe --timestamps`."""

    none = "none"
    sentence = "sentence"
    word = "word"


# What a format of timed text is for, when --timestamps does not say.
_LEVEL_OF_FORMAT = {"srt": "sentence", "vtt": "sentence", "tsv": "sentence", "textgrid": "word"}


def register(app: typer.Typer) -> None:
    """Add the four commands."""
    for command, example in (
        (transcribe, "transcribe talk.mp3 --format srt --output-dir out"),
        (caption, "caption recordings/ --format json"),
        (events, "events street.wav --plot street.png"),
        (ask, 'ask call.wav -q "Who calls?" -q "Is there music?"'),
    ):
        app.command(epilog=f"Example: moss-audio {example}")(opt.with_common(command))


def transcribe(
    common: opt.Common,
    timestamps: Annotated[
        Timestamps | None,
        typer.Option(
            "--timestamps",
            "-t",
            help="Add times for sentences or words. Default: as the format needs; words with "
            "--confidence.",
            show_default=False,
        ),
    ] = None,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence",
            help="Also tell how sure the model was of each word and segment (of the whole with "
            "--timestamps none); shown in json.",
        ),
    ] = False,
    formats: opt.Formats = None,
    plot: opt.Plot = None,
) -> None:
    """Write down what is said, with times for sentences or words if wanted.

    With --timestamps, lines of plain text begin with their times. Lines of a long recording are
    printed as they become known.
    """
    names = _formats(formats, timed=True)
    if confidence and "json" not in names:
        raise typer.BadParameter("only json shows it: add --format json", param_hint="--confidence")
    needed = "word" if confidence else _needed_level(names, plot is not None)
    chosen = timestamps or Timestamps(needed)
    level = None if chosen is Timestamps.none else chosen.value
    rendering = Rendering(
        names, "transcript", show_times=formats is None and timestamps is not None
    )
    sure = {"logprobs": 0} if confidence else {}
    _run(common, rendering, "transcribe", {"timestamps": level, **sure}, plot)


def caption(common: opt.Common, formats: opt.PlainFormats = None) -> None:
    """Describe what is heard, in a few sentences."""
    _run(common, Rendering(_formats(formats, timed=False), "caption"), "caption", {})


def events(common: opt.Common, formats: opt.Formats = None, plot: opt.Plot = None) -> None:
    """List the sound events in order, each with its start and end in seconds."""
    _run(common, Rendering(_formats(formats, timed=True), "timeline"), "events", {}, plot)


def ask(
    common: opt.Common,
    questions: Annotated[
        list[str] | None,
        typer.Option("--question", "-q", help="A question. Can be repeated.", metavar="TEXT"),
    ] = None,
    thinking: Annotated[
        bool | None,
        typer.Option(
            "--thinking/--no-thinking",
            help="Reason before answering. Default: as the checkpoint was trained.",
            show_default=False,
        ),
    ] = None,
    thinking_budget: Annotated[
        int | None,
        typer.Option("--thinking-budget", min=0, help="Maximum number of tokens of reasoning."),
    ] = None,
    formats: opt.PlainFormats = None,
) -> None:
    """Answer questions about recordings.

    Give questions with -q. Without -q the last argument is the question, if it contains a space
    and is not a file: moss-audio ask call.wav "Who is calling?"
    """
    files, asked = _split_question(common.files, questions)
    rendering = Rendering(
        _formats(formats, timed=False), "answer", questions=asked, thinking=thinking
    )
    arguments = {
        "question": list(asked), "thinking": thinking, "thinking_budget": thinking_budget,
    }  # fmt: skip
    _run(replace(common, files=files), rendering, "ask", arguments)


# -------------------------------------------------------------------------------- shared steps


def _formats(formats: Sequence[str] | None, *, timed: bool) -> tuple[str, ...]:
    try:
        return check_formats(formats or [PLAIN], timed=timed)
    except MossAudioError as error:
        raise typer.BadParameter(str(error), param_hint="--format") from None


def _needed_level(formats: Sequence[str], plot: bool) -> str:
    levels = {_LEVEL_OF_FORMAT.get(name, "none") for name in formats}
    if plot or "word" in levels:
        return "word"
    return "sentence" if "sentence" in levels else "none"


def _split_question(
    arguments: list[str], questions: list[str] | None
) -> tuple[list[str], tuple[str, ...]]:
    if questions:
        if not all(question.strip() for question in questions):
            raise typer.BadParameter("the question is empty", param_hint="-q")
        return arguments, tuple(questions)
    last = arguments[-1]
    if os.path.splitext(last)[1].lower() in MEDIA_SUFFIXES and not is_input(last):
        raise typer.BadParameter(f"{last}: no such file; check the name", param_hint="FILE")
    if " " not in last.strip() or is_input(last):
        raise typer.BadParameter(
            'no question: add one with -q "...", or as the last argument', param_hint="-q"
        )
    if len(arguments) == 1:
        raise typer.BadParameter("no recording before the question", param_hint="FILE")
    return arguments[:-1], (last.strip(),)


def _run(
    common: opt.Common,
    rendering: Rendering,
    task: str,
    arguments: dict[str, Any],
    plot: Path | None = None,
) -> None:
    """Everything that can be wrong is looked for before the model is loaded."""
    from moss_audio.engine.base import GenerationOptions

    GenerationOptions(**common.decoding)
    found = find_inputs(common.files)
    output = _output(common, rendering, found)
    draw = _drawing(plot, found, common)

    def query(model: Any, source: Any) -> Any:
        return model.query(
            task,
            source,
            **arguments,
            start=common.start,
            end=common.end,
            track=common.track,
            **common.decoding,
        )

    # Of a transcript without times, a part has none that a format of timed text could show.
    timed = arguments.get("timestamps") is not None or rendering.formats == (PLAIN,)
    parts = timed and common.output_dir is None
    work = Listening(common.load, query, draw, (common.start, common.end), parts)
    # A terminal that shows results needs no summary of them.
    raise typer.Exit(listen(found, output, work, tell=common.output_dir is not None))


def _output(common: opt.Common, rendering: Rendering, found: Found) -> Output:
    n_inputs = len(found.inputs) + len(found.problems)
    if common.output_dir is not None:
        existing = "ask" if common.overwrite is None else "skip"
        if common.overwrite:
            existing = "overwrite"
        return Folder(common.output_dir, rendering, existing)  # type: ignore[arg-type]
    if common.overwrite is not None:
        raise typer.BadParameter("only with --output-dir", param_hint="--overwrite/--skip-existing")
    try:
        check_stdout(rendering, n_inputs)
    except MossAudioError as error:
        raise typer.BadParameter(str(error), param_hint="--format") from None
    return Stdout(rendering, n_inputs)


def _drawing(plot: Path | None, found: Found, common: opt.Common) -> Draw | None:
    """Draws each result, where that was asked for."""
    if plot is None:
        return None
    from moss_audio.plot import IMAGE_SUFFIXES, check_plot

    folder = plot.is_dir() or plot.suffix.lower() not in IMAGE_SUFFIXES
    if not folder and len(found.inputs) + len(found.problems) > 1:
        raise typer.BadParameter("several recordings need a folder here", param_hint="--plot")
    if folder and plot.suffix and not plot.is_dir():
        check_plot(plot)  # a wrong extension, most likely, rather than a folder's name
    check_plot(plot / "x.png" if folder else plot)
    make_folder(plot if folder else plot.parent)

    def draw(item: Input, source: Any, results: Sequence[Result]) -> None:
        from moss_audio.plot import plot_result
        from moss_audio.recordings import load_audio

        path = plot
        if folder:
            path = (plot / item.stem).with_name(f"{item.stem.name}.png")
            make_folder(path.parent)
        (result,) = results
        if isinstance(result, Timeline | Transcript):
            audio = load_audio(source, start=common.start, end=common.end, track=common.track)
            plot_result(result, audio, path, title=item.name)

    return draw

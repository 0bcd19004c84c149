"""`transcribe`, `caption`, `events` and `ask`: recordings in, results out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from moss_audio.cli import options as opt
from moss_audio.cli.inputs import Found, Input, find_inputs, is_input
from moss_audio.cli.output import Folder, Output, Stdout, check_stdout, make_folder
from moss_audio.cli.render import PLAIN, Rendering, check_formats
from moss_audio.cli.runner import Listening, Row, listen
from moss_audio.errors import MossAudioError
from moss_audio.result import Result, Timeline, Transcript


class Timestamps(StrEnum):
    """Levels of `transcribe --timestamps`."""

    none = "none"
    sentence = "sentence"
    word = "word"


# What a format of timed text is for, when --timestamps does not say.
_LEVEL_OF_FORMAT = {"srt": "sentence", "vtt": "sentence", "tsv": "sentence", "textgrid": "word"}


@dataclass(frozen=True)
class _Common:
    """What all four commands are told."""

    files: list[str]
    model: str
    device: str | None
    dtype: str | None
    batch_size: int | None
    formats: list[str] | None
    output_dir: Path | None
    overwrite: bool | None
    start: float | None
    end: float | None
    decoding: dict[str, Any]
    plot: Path | None = None


def register(app: typer.Typer) -> None:
    """Add the four commands."""
    app.command(epilog="Example: moss-audio transcribe talk.mp3 --format srt --output-dir out")(
        transcribe
    )
    app.command(epilog="Example: moss-audio caption recordings/ --format json")(caption)
    app.command(epilog="Example: moss-audio events street.wav --plot street.png")(events)
    app.command(epilog='Example: moss-audio ask call.wav -q "Who calls?" -q "Is there music?"')(ask)


def transcribe(
    files: opt.Files,
    timestamps: Annotated[
        Timestamps | None,
        typer.Option(
            "--timestamps",
            "-t",
            help="Times of sentences or words. Without it: what the format needs.",
            show_default=False,
        ),
    ] = None,
    start: opt.Start = None,
    end: opt.End = None,
    formats: opt.Formats = None,
    output_dir: opt.OutputDir = None,
    overwrite: opt.Overwrite = None,
    plot: opt.Plot = None,
    model: opt.Model = "nano",
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    batch_size: opt.BatchSize = None,
    temperature: opt.Temperature = 0.0,
    seed: opt.Seed = 0,
    max_new_tokens: opt.MaxNewTokens = None,
) -> None:
    """Write down what is said, with the times of sentences or words if wanted.

    Plain text has the times at the beginning of its lines when --timestamps asks for them.
    """
    common = _Common(
        files, model, device, dtype, batch_size, formats, output_dir, overwrite, start, end,
        _decoding(temperature, seed, max_new_tokens), plot,
    )  # fmt: skip
    names = _formats(formats, timed=True)
    chosen = timestamps or Timestamps(_needed_level(names, plot is not None))
    level = None if chosen is Timestamps.none else chosen.value
    show_times = formats is None and timestamps is not None and level is not None
    _run(common, Rendering(names, show_times), "transcribe", {"timestamps": level})


def caption(
    files: opt.Files,
    start: opt.Start = None,
    end: opt.End = None,
    formats: opt.PlainFormats = None,
    output_dir: opt.OutputDir = None,
    overwrite: opt.Overwrite = None,
    model: opt.Model = "nano",
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    batch_size: opt.BatchSize = None,
    temperature: opt.Temperature = 0.0,
    seed: opt.Seed = 0,
    max_new_tokens: opt.MaxNewTokens = None,
) -> None:
    """Describe what is heard, in a few sentences."""
    common = _Common(
        files, model, device, dtype, batch_size, formats, output_dir, overwrite, start, end,
        _decoding(temperature, seed, max_new_tokens),
    )  # fmt: skip
    _run(common, Rendering(_formats(formats, timed=False)), "caption", {})


def events(
    files: opt.Files,
    start: opt.Start = None,
    end: opt.End = None,
    formats: opt.Formats = None,
    output_dir: opt.OutputDir = None,
    overwrite: opt.Overwrite = None,
    plot: opt.Plot = None,
    model: opt.Model = "nano",
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    batch_size: opt.BatchSize = None,
    temperature: opt.Temperature = 0.0,
    seed: opt.Seed = 0,
    max_new_tokens: opt.MaxNewTokens = None,
) -> None:
    """List the sound events in order, each with its start and end in seconds."""
    common = _Common(
        files, model, device, dtype, batch_size, formats, output_dir, overwrite, start, end,
        _decoding(temperature, seed, max_new_tokens), plot,
    )  # fmt: skip
    _run(common, Rendering(_formats(formats, timed=True)), "events", {})


def ask(
    files: opt.Files,
    questions: Annotated[
        list[str] | None,
        typer.Option("--question", "-q", help="A question; repeat it for several.", metavar="TEXT"),
    ] = None,
    thinking: Annotated[
        bool | None,
        typer.Option(
            "--thinking/--no-thinking",
            help="Reason before answering; the checkpoint's own habit.",
            show_default=False,
        ),
    ] = None,
    thinking_budget: Annotated[
        int | None,
        typer.Option("--thinking-budget", min=0, help="Most tokens of reasoning."),
    ] = None,
    start: opt.Start = None,
    end: opt.End = None,
    formats: opt.PlainFormats = None,
    output_dir: opt.OutputDir = None,
    overwrite: opt.Overwrite = None,
    model: opt.Model = "nano",
    device: opt.Device = None,
    dtype: opt.Dtype = None,
    batch_size: opt.BatchSize = None,
    temperature: opt.Temperature = 0.0,
    seed: opt.Seed = 0,
    max_new_tokens: opt.MaxNewTokens = None,
) -> None:
    """Answer questions about recordings.

    Questions are given with -q. Without any -q the last argument is the question, if it has a space
    in it and is no file: moss-audio ask call.wav "Who is calling?"
    """
    files, asked = _split_question(files, questions)
    decoding = _decoding(temperature, seed, max_new_tokens)
    decoding |= {"thinking": thinking, "thinking_budget": thinking_budget}
    common = _Common(
        files, model, device, dtype, batch_size, formats, output_dir, overwrite, start, end,
        decoding,
    )  # fmt: skip
    rendering = Rendering(_formats(formats, timed=False), questions=asked)
    _run(common, rendering, "ask", {"question": list(asked)})


# -------------------------------------------------------------------------------- shared steps


def _decoding(temperature: float, seed: int, max_new_tokens: int | None) -> dict[str, Any]:
    chosen: dict[str, Any] = {"temperature": temperature, "seed": seed}
    if max_new_tokens is not None:  # left out, the bound follows the recording
        chosen["max_new_tokens"] = max_new_tokens
    return chosen


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
    if " " not in last.strip() or is_input(last):
        raise typer.BadParameter(
            'no question: add one with -q "...", or as the last argument', param_hint="-q"
        )
    if len(arguments) == 1:
        raise typer.BadParameter("no recording before the question", param_hint="FILE")
    return arguments[:-1], (last.strip(),)


def _run(common: _Common, rendering: Rendering, method: str, arguments: dict[str, Any]) -> None:
    """Everything that can be wrong is looked for before the model is loaded."""
    from moss_audio.engine.base import GenerationOptions

    GenerationOptions(**common.decoding)
    found = find_inputs(common.files)
    output = _output(common, rendering, found)
    draw = _drawing(common.plot, found, common.start, common.end)

    def load() -> Any:
        from moss_audio import api

        return api.load(
            common.model, device=common.device, dtype=common.dtype, batch_size=common.batch_size
        )

    def hear(model: Any, sources: list[Any], progress: Any) -> list[Row]:
        rows = getattr(model, method)(
            sources,
            **arguments,
            start=common.start,
            end=common.end,
            on_error="return",
            progress=progress,
            **common.decoding,
        )
        return [row if isinstance(row, list | MossAudioError) else [row] for row in rows]

    # A terminal that shows results needs no summary of them.
    tell = common.output_dir is not None
    raise typer.Exit(listen(found, output, Listening(load, hear, draw), tell=tell))


def _output(common: _Common, rendering: Rendering, found: Found) -> Output:
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


def _drawing(
    plot: Path | None, found: Found, start: float | None, end: float | None
) -> Callable[[Input, Any, Sequence[Result]], None]:
    """Draws each result, where that was asked for."""
    if plot is None:
        return lambda item, source, results: None
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
            plot_result(result, load_audio(source, start=start, end=end), path, title=item.name)

    return draw

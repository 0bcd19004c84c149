"""Options that several commands share, each with its help."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

_DECODING = "Decoding"
_OUTPUT = "Output"
_MODEL = "Model"
MODEL_HELP = (
    "nano (built in), a folder, a hub id, or a server that has the checkpoint: "
    "http://host:8000/v1, followed by #name if it serves several."
)

Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE",
        help="Recordings or videos: files, folders (with their subfolders), patterns such as "
        "'*.mp3', URLs, or - for stdin.",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help=MODEL_HELP,
        rich_help_panel=_MODEL,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="onnx (on a CPU, without torch) or torch. Default: onnx where it can run the model, "
        "unless there is a GPU.",
        rich_help_panel=_MODEL,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        help="Processor threads. Default: MOSS_AUDIO_THREADS, or as many as this process may use.",
        rich_help_panel=_MODEL,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="cuda, mps or cpu, for the torch engine. Default: the best available.",
        rich_help_panel=_MODEL,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        help="bfloat16, float16 or float32, for the torch engine. Default: the fastest that the "
        "device supports.",
        rich_help_panel=_MODEL,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Number of prompts to decode together. Default: depends on the device; a server is "
        "asked 16 at once.",
        rich_help_panel=_MODEL,
    ),
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        help="txt, json, srt, vtt, tsv or textgrid. Can be repeated.",
        rich_help_panel=_OUTPUT,
    ),
]
PlainFormats = Annotated[
    list[str] | None,
    typer.Option("--format", "-f", help="txt or json. Can be repeated.", rich_help_panel=_OUTPUT),
]
NewFolder = Annotated[
    Path,
    typer.Argument(metavar="OUT", help="Folder to write to; created if it does not exist."),
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output-dir",
        "-o",
        help="Write one file per recording to this folder instead of printing.",
        rich_help_panel=_OUTPUT,
    ),
]
Overwrite = Annotated[
    bool | None,
    typer.Option(
        "--overwrite/--skip-existing",
        help="Replace existing results, or skip recordings that have one. Without either option, "
        "existing results are an error. A JSON result says which recording it is of.",
        rich_help_panel=_OUTPUT,
        show_default=False,
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        help="Draw the waveform, spectrogram and result to a png, svg or pdf file, or to a folder "
        "for several recordings. Needs the extra 'plot'.",
        rich_help_panel=_OUTPUT,
    ),
]
Start = Annotated[
    float | None,
    typer.Option(
        "--start", min=0.0, help="Start at this second; times in results count from there."
    ),
]
End = Annotated[
    float | None,
    typer.Option("--end", min=0.0, help="Stop at this second."),
]
Track = Annotated[
    int | None,
    typer.Option("--track", min=1, help="Audio track to use if the file has several."),
]
Temperature = Annotated[
    float,
    typer.Option(
        "--temperature",
        min=0.0,
        help="Sampling temperature; 0 decodes greedily.",
        rich_help_panel=_DECODING,
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, help="Random seed for sampling.", rich_help_panel=_DECODING)
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        "--max-new-tokens",
        min=1,
        help="Maximum number of tokens in an answer. Default: depends on the recording's length.",
        rich_help_panel=_DECODING,
    ),
]
NumBeams = Annotated[
    int,
    typer.Option(
        "--num-beams",
        min=1,
        help="Search for the likeliest answer by so many beginnings at once; 1 decodes greedily.",
        rich_help_panel=_DECODING,
    ),
]


def load_model(told: Any, **more: Any) -> Any:
    """The `MossAudio` that the options of a command name: `model` and those of its engine; `more`
    of `moss_audio.load`."""
    from moss_audio import api

    names = ("engine", "threads", "device", "dtype", "batch_size")
    return api.load(told.model, **{name: getattr(told, name) for name in names}, **more)


@dataclass(frozen=True)
class Common:
    """What all commands that listen are told."""

    files: Files
    start: Start = None
    end: End = None
    track: Track = None
    output_dir: OutputDir = None
    overwrite: Overwrite = None
    model: Model = "nano"
    engine: Engine = None
    threads: Threads = None
    device: Device = None
    dtype: Dtype = None
    batch_size: BatchSize = None
    temperature: Temperature = 0.0
    seed: Seed = 0
    max_new_tokens: MaxNewTokens = None
    num_beams: NumBeams = 1

    def load(self) -> Any:
        """The model, a `MossAudio`."""
        return load_model(self)

    @property
    def decoding(self) -> dict[str, Any]:
        """Fields of `GenerationOptions`."""
        chosen: dict[str, Any] = {"temperature": self.temperature, "seed": self.seed}
        if self.num_beams > 1:
            chosen["num_beams"] = self.num_beams
        if self.max_new_tokens is not None:  # left out, the bound follows the recording
            chosen["max_new_tokens"] = self.max_new_tokens
        return chosen


def with_common(command: Callable[..., None], kind: type[Any] = Common) -> Callable[..., None]:
    """A command with the options of a dataclass beside its own; it gets them as its first argument.
    Typer reads a command's options from its signature, which is made here."""
    hints = get_type_hints(kind, include_extras=True)
    shared = [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if one.default is MISSING else one.default,
            annotation=hints[one.name],
        )
        for one in fields(kind)
    ]
    own = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for one in list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    ]

    def call(**given: Any) -> None:
        common = kind(**{one.name: given.pop(one.name) for one in shared})
        command(common, **given)

    parameters = [shared[0], *own, *shared[1:]]
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call

"""A picture of a result: waveform, spectrogram, and what was heard when, on one time axis.

Needs matplotlib (the extra `plot`). Draws without a display and without matplotlib's global state.
"""

from __future__ import annotations

import io
import os
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.errors import MossAudioError, require
from moss_audio.files import write_atomic
from moss_audio.recordings import Audio
from moss_audio.result import Timeline, Transcript, Word
from moss_audio.units import SAMPLE_RATE

IMAGE_SUFFIXES = (".png", ".svg", ".pdf")

_COLUMNS = 2000  # of waveform and spectrogram; more than a screen shows
_MELS = 80
_SPECTROGRAM_S = 60.0  # computed at a time, a bound on memory
_LABEL_CHARS = 28  # a longer label is wrapped,
_LABEL_LINES = 2  # and then cut
_MAX_ROWS = 40  # different labels drawn; further ones share the last row
_WORD_LANES = 4
_DPI = 120
_MARGIN_IN, _WAVE_IN, _SPECTROGRAM_IN, _ROW_IN = 1.0, 1.1, 1.9, 0.34
# Fonts with Chinese, Japanese and Korean characters, where one is installed.
_FONTS = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC",
    "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "PingFang SC",
    "Microsoft YaHei", "Arial Unicode MS",
)  # fmt: skip


def check_plot(path: str | os.PathLike[str]) -> None:
    """Whether a picture can be drawn into `path`, before the work of a result is done.

    Raises:
        MissingDependencyError: if matplotlib is not installed.
        MossAudioError: if the extension is not one of png, svg, pdf.
    """
    require("matplotlib", extra="plot", purpose="drawing a picture")
    if Path(path).suffix.lower() not in IMAGE_SUFFIXES:
        raise MossAudioError(
            f"{os.fspath(path)}: give a file name that ends in {', '.join(IMAGE_SUFFIXES)}"
        )


def plot_result(
    result: Timeline | Transcript,
    audio: Audio,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
) -> None:
    """Draw `result` over `audio` into a png, svg or pdf file, whole or not at all.

    Args:
        result: a timeline (a row for each label), or a transcript with word or segment times.
        audio: the clip that the result's times count from.
        path: the file; its extension names the format.
        title: shown on top; the clip's source by default.

    Raises:
        MissingDependencyError: without matplotlib.
        MossAudioError: for another extension, or when the file cannot be written.
    """
    check_plot(path)
    from matplotlib import rc_context

    settings: dict[Any, Any] = {"font.family": _installed_fonts(), "svg.fonttype": "path"}
    with rc_context(settings), warnings.catch_warnings():
        # A script that no installed font has is drawn as boxes; nobody can do more about it here.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = _draw(result, audio, title or audio.source)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=Path(path).suffix.lower()[1:], dpi=_DPI)
    write_atomic(Path(path), buffer.getvalue())


def _draw(result: Timeline | Transcript, audio: Audio, title: str) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    last = max(audio.duration_s, 0.01)
    rows = _rows(result) if isinstance(result, Timeline) else []
    words = _words(result) if isinstance(result, Transcript) else []
    n_rows = max(1, len(rows)) if isinstance(result, Timeline) else _WORD_LANES
    heights = [_WAVE_IN, _SPECTROGRAM_IN, n_rows * _ROW_IN + 0.15]
    # Words need room beside each other, events do not.
    width_in = float(np.clip(0.55 * last, 11, 36)) if words else 12.0
    total_in = sum(heights) + _MARGIN_IN
    figure = Figure(figsize=(width_in, total_in))
    FigureCanvasAgg(figure)
    labels_in = _label_width_in(rows)
    axes = figure.subplots(
        3,
        1,
        sharex=True,
        gridspec_kw={
            "height_ratios": heights,
            "left": labels_in / width_in,
            "right": 1 - 0.25 / width_in,
            "top": 1 - 0.4 / total_in,
            "bottom": 0.55 / total_in,
            "hspace": 0.09,
        },
    )
    _waveform(axes[0], audio, last)
    _spectrogram(axes[1], audio, last)
    if isinstance(result, Timeline):
        _events(axes[2], rows)
    else:
        _word_lanes(figure, axes[2], words)
    # A dollar sign would start mathematics.
    axes[0].set_title(_shorten(title, 110).replace("$", r"\$"), fontsize=10, loc="left")
    axes[2].set_xlabel("seconds", fontsize=9)
    axes[2].set_xlim(0.0, last)
    for axis in axes:
        axis.tick_params(labelsize=8)
    for axis in axes[:2]:
        axis.tick_params(labelbottom=False)
    return figure


def _waveform(axis: Any, audio: Audio, last: float) -> None:
    """The lowest and highest sample of each column, so that no click is lost."""
    samples = audio.samples if len(audio.samples) else np.zeros(1, np.float32)
    columns = min(_COLUMNS, len(samples))
    edges = np.linspace(0, len(samples), columns, endpoint=False).astype(int)
    low, high = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
    axis.fill_between(
        np.linspace(0.0, last, columns), low, high, color="#33658a", linewidth=0.4,
        edgecolor="#33658a",
    )  # fmt: skip
    top = max(float(np.abs(samples).max()) * 1.08, 1e-3)
    axis.set_ylim(-top, top)
    axis.set_yticks([])
    axis.set_ylabel("wave", fontsize=9)
    _mark_seconds(axis)


def _mark_seconds(axis: Any) -> None:
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)


def _spectrogram(axis: Any, audio: Audio, last: float) -> None:
    picture = mel_picture(audio.samples, _MELS, _COLUMNS)
    axis.imshow(
        picture - picture.max(),
        origin="lower", aspect="auto", cmap="magma", interpolation="nearest",
        extent=(0.0, last, 0, 1), vmin=-6.0, vmax=0.0,
    )  # fmt: skip
    ticks = [250, 500, 1000, 2000, 4000]
    axis.set_yticks([mel_height(hz) for hz in ticks])
    axis.set_yticklabels(["250 Hz", "500 Hz", "1 kHz", "2 kHz", "4 kHz"])
    axis.set_ylabel("mel", fontsize=9)


def mel_picture(samples: np.ndarray, bands: int, columns: int) -> np.ndarray:
    """log10 of mel power, `[bands, at most columns]`, the lowest band first; -10 for less sound
    than a frame. Each column is the loudest of some frames."""
    from moss_audio.dsp.mel import LogMelStream
    from moss_audio.units import num_frames

    stream = LogMelStream(bands)
    group = max(1, -(-num_frames(len(samples)) // columns))  # frames of one column
    block = round(_SPECTROGRAM_S * SAMPLE_RATE)
    kept = np.empty((bands, 0), np.float32)  # frames that do not fill a column yet
    made = []
    for at in range(0, len(samples), block):
        frames = stream.push(samples[at : at + block])
        kept = np.concatenate([kept, frames], axis=1)
        full = kept.shape[1] // group * group
        made.append(kept[:, :full].reshape(bands, -1, group).max(2))
        kept = kept[:, full:]
    kept = np.concatenate([kept, stream.finish()], axis=1)
    if kept.shape[1]:
        made.append(kept.max(1, keepdims=True))
    picture = np.concatenate(made, axis=1) if made else np.empty((bands, 0), np.float32)
    return picture if picture.size else np.full((bands, 1), -10.0, np.float32)


def mel_height(hertz: float) -> float:
    """Where a frequency lies in a mel picture: 0 bottom, 1 top (8 kHz)."""
    from moss_audio.dsp.mel import hz_to_mel

    low, high = hz_to_mel(np.array([hertz, SAMPLE_RATE / 2]))
    return float(low / high)


def _rows(timeline: Timeline) -> list[tuple[str, list[Word]]]:
    """Events by label, labels by first appearance."""
    rows: dict[str, list[Word]] = {}
    for event in timeline.events:
        label = " ".join(event.label.split()) or "(no label)"
        if label not in rows and len(rows) >= _MAX_ROWS:
            label = "(further labels)"
        rows.setdefault(label, []).append(Word(label, event.start, event.end))
    return list(rows.items())


def _events(axis: Any, rows: Sequence[tuple[str, list[Word]]]) -> None:
    """A row for each label, named at the left, where names cannot run into each other."""
    from matplotlib import colormaps

    colors = [colormaps["tab10"](i) for i in range(10)]
    for at, (_, spans) in enumerate(rows):
        bars = [(span.start, max(span.end - span.start, 0.0)) for span in spans]
        color = colors[at % len(colors)]
        # The edge keeps a very short event visible, and two that touch apart.
        axis.broken_barh(
            bars, (at - 0.36, 0.72), facecolor=color, edgecolor=color, linewidth=1.0, alpha=0.75
        )
    axis.set_ylim(max(1, len(rows)) - 0.4, -0.6)
    axis.set_yticks(range(len(rows)))
    axis.set_yticklabels([_wrap(label).replace("$", r"\$") for label, _ in rows])
    _mark_seconds(axis)
    if not rows:
        axis.set_yticks([])
        axis.text(0.5, 0.5, "no events", transform=axis.transAxes, ha="center", va="center")


def _words(transcript: Transcript) -> list[Word]:
    spans = transcript.words or [w for s in transcript.segments for w in s.words]
    return [Word(" ".join(x.text.split()), x.start, x.end) for x in spans or transcript.segments]


def _word_lanes(figure: Any, axis: Any, words: Sequence[Word]) -> None:
    """Each word below its bar, in the first lane where it touches no earlier one; where no lane
    has room the bar stands alone."""
    axis.set_ylim(_WORD_LANES + 0.6, -0.6)
    axis.set_yticks([])
    _mark_seconds(axis)
    if not words:
        axis.text(0.5, 0.5, "no words with times", transform=axis.transAxes, ha="center")
        return
    figure.draw_without_rendering()  # text has a width only once there is a layout
    renderer = figure.canvas.get_renderer()
    left, right = axis.get_xlim()
    per_pixel = (right - left) / axis.get_window_extent(renderer).width
    free_from = [float("-inf")] * _WORD_LANES
    for index, word in enumerate(words):
        color = "#33658a" if index % 2 else "#86bbd8"  # neighbours can be told apart
        axis.broken_barh([(word.start, max(word.end - word.start, 0.0))], (-0.4, 0.55),
                         facecolor=color, edgecolor=color, linewidth=0.8)  # fmt: skip
        drawn = _shorten(word.text, 40).replace("$", r"\$")
        text = axis.text(word.start, 0, drawn, fontsize=8, va="center", ha="left", clip_on=False)
        width = text.get_window_extent(renderer).width * per_pixel
        # The last words would leave the picture on the right: they end at its edge instead.
        at = min(word.start, right - width)
        lane = next((i for i, free in enumerate(free_from) if at >= free), None)
        if lane is None:
            text.remove()
            continue
        text.set_position((at, lane + 0.85))
        axis.plot([word.start, word.start], [0.15, lane + 0.5], color="#bbbbbb", linewidth=0.5,
                  zorder=0)  # fmt: skip
        free_from[lane] = at + width + 6 * per_pixel


def _label_width_in(rows: Sequence[tuple[str, list[Word]]]) -> float:
    longest = max(
        (_columns(line) for label, _ in rows for line in _wrap(label).splitlines()), default=0
    )
    return float(max(0.8, 0.25 + 0.068 * longest))


def _columns(text: str) -> int:
    """Widths of a Latin letter that `text` takes; East Asian characters take two."""
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _wrap(label: str) -> str:
    lines = textwrap.wrap(label, _LABEL_CHARS, max_lines=_LABEL_LINES, placeholder=" ...")
    return "\n".join(lines)


def _shorten(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _installed_fonts() -> list[str]:
    from matplotlib.font_manager import fontManager

    names = {font.name for font in fontManager.ttflist}
    return [name for name in _FONTS if name in names] or ["sans-serif"]

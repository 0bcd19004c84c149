"""Long recordings: windows that end in silence, cut while reading, and their results joined again.

A window is at most so long as the checkpoint handles well. Windows are cut at the quietest moment
of their last third, which is a pause in speech almost always, and never shorter than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.result import Answer, Caption, Event, Result, Timeline, Transcript
from moss_audio.text import join_words
from moss_audio.units import SAMPLE_RATE, samples_to_seconds, seconds_to_samples

# A recording whose loudest 20 ms stay below this has no audible speech: normal speech lies above
# -40 dBFS, whispering in a badly set recording above -60; 16-bit dither lies near -93.
SILENCE_DBFS = -65.0
_FRAME_SAMPLES = SAMPLE_RATE // 50  # 20 ms
_SMOOTH_FRAMES = 15  # a pause of 0.3 s is what a cut looks for
_CUT_FROM = 2 / 3  # the cut lies in the last third of a window
_REST_S = 1.0  # and leaves at least this much for the next one
# Two events with one label on both sides of a cut are one event, if they come this close to it.
_JOIN_S = 0.25
WARN_SILENT = "the recording is silent, so the model was not asked"


@dataclass(frozen=True)
class Span:
    """Where a window lies in its recording, in seconds."""

    start_s: float
    duration_s: float

    @property
    def end_s(self) -> float:
        return self.start_s + self.duration_s


@dataclass(frozen=True, eq=False)
class Window:
    """A stretch of a recording: samples `[n]` at 16 kHz, and the second in which they begin."""

    samples: np.ndarray
    start_s: float

    @property
    def span(self) -> Span:
        return Span(self.start_s, samples_to_seconds(len(self.samples)))


def frame_energy(samples: np.ndarray) -> np.ndarray:
    """Mean power of every 20 ms (the last frame may be shorter), float64 `[ceil(n / 320)]`."""
    n_frames = -(-len(samples) // _FRAME_SAMPLES)
    if n_frames == 0:
        return np.zeros(0)
    power = np.square(samples, dtype=np.float64)
    sums = np.add.reduceat(power, np.arange(0, len(power), _FRAME_SAMPLES))
    counts = np.full(n_frames, float(_FRAME_SAMPLES))
    counts[-1] = len(power) - _FRAME_SAMPLES * (n_frames - 1)
    return sums / counts


def is_silent(samples: np.ndarray, threshold_dbfs: float = SILENCE_DBFS) -> bool:
    """Whether no 20 ms of samples `[n]` reach `threshold_dbfs` (0 dBFS: mean power 1)."""
    energy = frame_energy(samples)
    return not len(energy) or bool(energy.max() < 10 ** (threshold_dbfs / 10))


def cut_point(samples: np.ndarray, first: int, last: int) -> int:
    """The sample in [first, last) where a cut hurts least: the middle of the quietest 0.3 s."""
    part = samples[first:last]
    energy = frame_energy(part)
    if len(energy) <= _SMOOTH_FRAMES:
        return (first + last) // 2
    smooth = np.convolve(energy, np.full(_SMOOTH_FRAMES, 1 / _SMOOTH_FRAMES), mode="valid")
    # of equally quiet places (digital silence) the last one, so that windows stay long
    quietest = np.flatnonzero(smooth <= smooth.min() * 1.01 + 1e-12)[-1]
    return first + int(quietest + _SMOOTH_FRAMES // 2) * _FRAME_SAMPLES


def windows(blocks: Iterable[np.ndarray], window_s: float) -> Iterator[Window]:
    """Cut blocks `[n]` of samples into windows of at most `window_s` seconds.

    Holds little more than one window and one block. The windows join to exactly the samples.

    Raises:
        MossAudioError: if `window_s` is not at least 3 seconds.
    """
    if not (math.isfinite(window_s) and window_s >= 3 * _REST_S):
        raise MossAudioError(f"a window of {window_s!r} s: give at least {3 * _REST_S:g} s")
    longest, rest = seconds_to_samples(window_s), seconds_to_samples(_REST_S)
    pending = np.zeros(0, np.float32)
    start = 0
    for block in blocks:
        pending = np.concatenate([pending, block]) if len(pending) else block
        while len(pending) > longest + rest:
            cut = cut_point(pending, round(longest * _CUT_FROM), longest)
            yield Window(pending[:cut].copy(), samples_to_seconds(start))
            pending, start = pending[cut:], start + cut
    while len(pending) > longest:  # a tail between one window and one window and a second
        last = min(longest, len(pending) - rest)
        cut = cut_point(pending, min(round(longest * _CUT_FROM), last - 1), last)
        yield Window(pending[:cut].copy(), samples_to_seconds(start))
        pending, start = pending[cut:], start + cut
    if len(pending):
        yield Window(pending, samples_to_seconds(start))


def join(parts: Sequence[tuple[Span, Result]]) -> Result:
    """The result of a recording from those of its windows (at least one, in order), times shifted.

    Captions and answers become a line a window, with its times.
    """
    spans, results = [span for span, _ in parts], [result for _, result in parts]
    if len(parts) == 1:
        return results[0]
    raw = "\n".join(result.raw for result in results)
    warnings = tuple(
        f"from {span.start_s:.2f} s: {warning}"
        for span, result in zip(spans, results, strict=True)
        for warning in result.warnings
    )
    duration = spans[-1].end_s
    first = results[0]
    if isinstance(first, Transcript):
        pieces = [
            result.shifted(span.start_s)
            for span, result in zip(spans, results, strict=True)
            if isinstance(result, Transcript)
        ]
        return Transcript(
            text=join_words([piece.text for piece in pieces if piece.text]),
            segments=tuple(segment for piece in pieces for segment in piece.segments),
            words=tuple(word for piece in pieces for word in piece.words),
            duration=duration,
            language=first.language,
            raw=raw,
            warnings=warnings,
        )
    if isinstance(first, Timeline):
        return Timeline(_join_events(spans, results), duration, raw, warnings)
    lines = "\n".join(
        f"{_clock(span.start_s)}-{_clock(span.end_s)} {result.text}"
        for span, result in zip(spans, results, strict=True)
        if isinstance(result, Caption | Answer) and result.text
    )
    if isinstance(first, Caption):
        return Caption(lines, duration, raw, warnings)
    return Answer(lines, None, raw, warnings)


def _join_events(spans: Sequence[Span], results: Sequence[Result]) -> tuple[Event, ...]:
    """Events of all windows; one that a cut divided is one again."""
    joined: list[Event] = []
    for span, result in zip(spans, results, strict=True):
        if not isinstance(result, Timeline):
            continue
        cut = span.start_s
        for event in result.shifted(cut).events:
            before = next(
                (
                    i
                    for i, other in enumerate(joined)
                    if cut > 0
                    and other.label.casefold() == event.label.casefold()
                    and other.start < cut
                    and cut - _JOIN_S <= other.end <= cut
                    and event.start - cut <= _JOIN_S
                ),
                None,
            )
            if before is None:
                joined.append(event)
            else:
                joined[before] = replace(joined[before], end=event.end)
    return tuple(sorted(joined, key=lambda event: (event.start, event.end)))


def _clock(seconds: float) -> str:
    """`1:02:03`, or `2:03` within the first hour."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{whole % 60:02d}"

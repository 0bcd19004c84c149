"""Results as files: txt, json, srt, vtt, tsv and Praat's TextGrid, one class a format.

Times are rounded here, once, to milliseconds. Formats of timed text take a transcript or a
timeline; a caption or an answer has no times and goes to txt or json.
"""

from __future__ import annotations

import json
import math
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from moss_audio.errors import MossAudioError
from moss_audio.files import write_atomic
from moss_audio.result import Answer, Caption, Result, Segment, Timeline, Transcript, Word
from moss_audio.text import is_cjk, join_words, single_line

# A subtitle of at most two lines of this many characters can be read while it shows; Chinese,
# Japanese and Korean characters are about twice as wide.
LINE_CHARS = 42
LINE_CHARS_CJK = 20
CUE_LINES = 2
# Shorter cues only flash; players skip those of no length.
MIN_CUE_S = 0.1
_MIN_CUE_MS = round(1000 * MIN_CUE_S)
_CLOSING = ".,!?;:%\u2026\u3001\u3002\uff01\uff0c\uff0e\uff1a\uff1b\uff1f"
_HANGING = (
    3 * LINE_CHARS / LINE_CHARS_CJK
)  # columns of these beyond a line, as in `?!` and a bracket
_JOINER = "\u200d"  # makes one of the characters on both sides
_TIMES = ("start", "end", "duration")  # of a result, in seconds
_GAP = "\n"  # an empty line between cues


class Writer(Protocol):
    """A file format. `extension` has no dot; `render` gives the whole file as text, ending in a
    newline, and raises MossAudioError for a result that the format cannot hold."""

    name: ClassVar[str]
    extension: ClassVar[str]

    def render(self, result: Result) -> str: ...


def get_writer(name: str) -> Writer:
    """The writer of a format by name, whatever its case. Raises MossAudioError if unknown."""
    writers: dict[str, type[Writer]] = {
        "txt": TxtWriter,
        "json": JsonWriter,
        "srt": SrtWriter,
        "vtt": VttWriter,
        "tsv": TsvWriter,
        "textgrid": TextGridWriter,
    }
    writer = writers.get(str(name).lower().lstrip("."))
    if writer is None:
        raise MossAudioError(f"unknown format {name!r}: choose one of {', '.join(writers)}")
    return writer()


def write_result(path: str | os.PathLike[str], result: Result, format_name: str) -> None:
    """Renders `result` in the named format and writes it atomically."""
    write_atomic(path, get_writer(format_name).render(result))


# ------------------------------------------------------------------------------------- formats


class LineWriter:
    """A format that can be written while the results of a long recording come: `lines` gives the
    text piece by piece, each as soon as no later part can change it. Parts have their times on the
    recording's clock, and `duration` is how far they reach."""

    def lines(self, parts: Iterable[Result]) -> Iterator[str]:
        raise NotImplementedError

    def render(self, result: Result) -> str:
        return "".join(self.lines([result]))


class TxtWriter(LineWriter):
    """Text alone: a transcript's segments one a line, a timeline as `0.00 - 2.50: label`."""

    name: ClassVar[str] = "txt"
    extension: ClassVar[str] = "txt"

    def lines(self, parts: Iterable[Result]) -> Iterator[str]:
        for result in parts:
            if isinstance(result, Transcript):
                lines = [single_line(segment.text) for segment in result.segments]
                lines = [line for line in lines if line] or [single_line(result.text)]
            elif isinstance(result, Timeline):
                lines = [
                    f"{event.start:.2f} - {event.end:.2f}: {single_line(event.label)}"
                    for event in result.events
                ]
            else:
                lines = result.text.strip().splitlines()
            yield from (f"{line}\n" for line in lines if line or len(lines) > 1)


class JsonWriter:
    """`to_dict()` with times in seconds rounded to milliseconds and confidence to 4 digits;
    lossless but for that."""

    name: ClassVar[str] = "json"
    extension: ClassVar[str] = "json"

    def render(self, result: Result) -> str:
        """Raises MossAudioError for a time that is not finite."""
        try:
            return json.dumps(rounded(result), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        except ValueError as error:
            raise MossAudioError(
                "the result has a time that is not finite, which JSON cannot hold: correct it"
            ) from error


class SrtWriter(LineWriter):
    """SubRip. The format has no escapes: `-->` becomes `->`, and angle brackets become single
    quotation marks of that shape, since readers drop what is between them as a style tag."""

    name: ClassVar[str] = "srt"
    extension: ClassVar[str] = "srt"

    def lines(self, parts: Iterable[Result]) -> Iterator[str]:
        for number, cue in enumerate(_cues(parts, self.name), start=1):
            text = "\n".join(_srt_text(line) for line in cue.lines)
            times = f"{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}"
            yield f"{'' if number == 1 else _GAP}{number}\n{times}\n{text}\n"


class VttWriter(LineWriter):
    """WebVTT; `&`, `<` and `>` are escaped, which takes care of `-->` too."""

    name: ClassVar[str] = "vtt"
    extension: ClassVar[str] = "vtt"

    def lines(self, parts: Iterable[Result]) -> Iterator[str]:
        yield "WEBVTT\n"
        for cue in _cues(parts, self.name):
            text = "\n".join(
                line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
                for line in cue.lines
            )
            times = f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}"
            yield f"{_GAP}{times}\n{text}\n"


class TsvWriter(LineWriter):
    """Tab-separated start_s, end_s, text: the finest times there are (words, else the segment)."""

    name: ClassVar[str] = "tsv"
    extension: ClassVar[str] = "tsv"

    def lines(self, parts: Iterable[Result]) -> Iterator[str]:
        yield "start_s\tend_s\ttext\n"
        for result in parts:
            for item in _timed(result, self.name, finest=True):
                yield f"{item.start:.3f}\t{item.end:.3f}\t{item.text}\n"


class TextGridWriter:
    """Praat's long text format: interval tiers that cover the whole clip, gaps as empty intervals.

    A transcript has the tiers `words` (when there are word times; a segment without them stands
    there whole) and `segments`. An interval tier
    cannot overlap: overlapping words or segments meet where the later one starts, overlapping
    events go to further tiers, `events 2`, `events 3`...
    """

    name: ClassVar[str] = "textgrid"
    extension: ClassVar[str] = "TextGrid"

    def render(self, result: Result) -> str:
        segments = _intervals(_timed(result, self.name))
        tiers: list[tuple[str, list[_Interval]]] = []
        if isinstance(result, Timeline):
            for i, layer in enumerate(_layers(segments), start=1):
                tiers.append((f"events {i}" if i > 1 else "events", layer))
        else:
            if isinstance(result, Transcript) and _has_words(result):
                words = _intervals(_timed(result, self.name, finest=True))
                tiers.append(("words", _without_overlap(words)))
            tiers.append(("segments", _without_overlap(segments)))
        duration = 0.0 if isinstance(result, Answer) else result.duration
        ends = [interval.end_ms for _, tier in tiers for interval in tier]
        end_ms = max([_ms(duration), 1, *ends])
        lines = [
            'File type = "ooTextFile"',
            'Object class = "TextGrid"',
            "",
            "xmin = 0",
            f"xmax = {_praat(end_ms)}",
            "tiers? <exists>",
            f"size = {len(tiers)}",
            "item []:",
        ]
        for number, (name, tier) in enumerate(tiers, start=1):
            complete = _with_gaps(tier, end_ms)
            lines += [
                f"    item [{number}]:",
                '        class = "IntervalTier"',
                f'        name = "{name}"',
                "        xmin = 0",
                f"        xmax = {_praat(end_ms)}",
                f"        intervals: size = {len(complete)}",
            ]
            for k, interval in enumerate(complete, start=1):
                text = interval.text.replace('"', '""')
                lines += [
                    f"        intervals [{k}]:",
                    f"            xmin = {_praat(interval.start_ms)}",
                    f"            xmax = {_praat(interval.end_ms)}",
                    f'            text = "{text}"',
                ]
        return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------- times and timed text


def _timed(result: Result, format_name: str, *, finest: bool = False) -> list[Segment]:
    """The timed texts of a result by start, empty ones left out. A transcript without times is
    one text over the whole clip. Raises MossAudioError for a result without times."""
    if isinstance(result, Caption | Answer):
        kind = type(result).__name__.lower()
        raise MossAudioError(
            f"a result of kind {kind!r} has no times and cannot be written as {format_name}: "
            "use txt or json"
        )
    if isinstance(result, Timeline):
        items = [Segment(single_line(e.label), e.start, e.end) for e in result.events]
    elif finest or not result.segments:
        items = [Segment(single_line(x.text), x.start, x.end) for x in finest_times(result)]
    else:
        items = [replace(segment, text=single_line(segment.text)) for segment in result.segments]
    if not items and isinstance(result, Transcript):
        items = [Segment(single_line(result.text), 0.0, result.duration)]
    for item in items:
        if not (math.isfinite(item.start) and math.isfinite(item.end)):
            raise MossAudioError(f"{item.text[:40]!r} has a time that is not finite: correct it")
    kept = [
        replace(item, start=max(0.0, item.start), end=max(0.0, item.start, item.end))
        for item in items
        if item.text
    ]
    return sorted(kept, key=lambda item: item.start)


def finest_times(transcript: Transcript) -> list[Word | Segment]:
    """The words of each segment, and the segments of which no word times are known, so that no
    text is lost; empty for a transcript without times."""
    segments = transcript.segments
    if transcript.words and not any(segment.words for segment in segments):
        return list(transcript.words)
    return [one for segment in segments for one in segment.words or (segment,)]


def _has_words(transcript: Transcript) -> bool:
    return any(isinstance(one, Word) for one in finest_times(transcript))


def _ms(seconds: float) -> int:
    """The one rounding of written times."""
    return round(seconds * 1000)


def _clock(ms: int, point: str) -> str:
    """3723004 -> "01:02:03,004"; hours grow beyond two digits when they have to."""
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{ms:03d}"


def _praat(ms: int) -> str:
    return f"{ms / 1000:.3f}".rstrip("0").rstrip(".")


def rounded(result: Result) -> dict[str, Any]:
    """`to_dict()` with times rounded to milliseconds, confidence to 4 significant digits, and texts
    that UTF-8 can hold."""
    data: dict[str, Any] = _round(result.to_dict())
    return data


def _round(value: Any, name: str = "") -> Any:
    if isinstance(value, float):
        return round(value, 3) if name in _TIMES else float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _round(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_round(item) for item in value]
    if isinstance(value, str):  # a lone surrogate is no text that UTF-8 could hold
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


# ------------------------------------------------------------------------------------ subtitles


@dataclass(frozen=True)
class _Cue:
    lines: tuple[str, ...]
    start_ms: int
    end_ms: int


def _srt_text(line: str) -> str:
    while "-->" in line:
        line = line.replace("-->", "->")
    if "<" in line:  # readers drop everything from there to the next ">"
        line = line.replace("<", "\u2039").replace(">", "\u203a")
    return line.replace("{\\", "(\\")


def _cues(parts: Iterable[Result], format_name: str) -> Iterator[_Cue]:
    """Readable cues by start, inside the clip where it is long enough: long speech in several, and
    brief ones lengthened to `MIN_CUE_S` where there is room."""
    together: list[_Cue] = []  # cues of speech that start together, until the next one is known
    floor_ms = end_ms = 0
    for result in parts:
        timed = _timed(result, format_name)
        end_ms = 0 if isinstance(result, Answer) else _ms(result.duration)
        if not isinstance(result, Transcript):
            yield from _event_cues(timed, end_ms)
            continue
        cues = [
            _Cue(tuple(lines), _ms(start), _ms(end))
            for item in timed
            for lines, start, end in _pieces(item)
        ]
        for cue in sorted(cues, key=lambda cue: cue.start_ms):
            if together and cue.start_ms > together[0].start_ms:
                shown = _apart(together, floor_ms, cue.start_ms)
                yield from shown
                floor_ms, together = max(floor_ms, *(one.end_ms for one in shown)), []
            together.append(cue)
    yield from _apart(together, floor_ms, end_ms if end_ms >= _MIN_CUE_MS else None, last=True)


def _event_cues(events: Iterable[Segment], clip_ms: int) -> list[_Cue]:
    """One cue an event: its label has no parts that follow each other in time. Cues may overlap,
    as events do."""
    cues = []
    for event in events:
        start, end = _ms(event.start), _ms(event.end)
        if end - start < _MIN_CUE_MS:
            end = start + _MIN_CUE_MS
            if _MIN_CUE_MS <= clip_ms < end:
                start, end = clip_ms - _MIN_CUE_MS, clip_ms
        cues.append(_Cue(tuple(_wrap(event.text)), start, end))
    return sorted(cues, key=lambda cue: cue.start_ms)


def _apart(
    cues: list[_Cue], floor_ms: int, limit_ms: int | None, *, last: bool = False
) -> list[_Cue]:
    """Cues of speech that start together. Brief ones are lengthened up to `limit_ms`, where the
    next cue begins or the clip ends, and several are shown one after another. At the clip's end
    (`last`) they may begin earlier instead, after `floor_ms`, where what was shown ends."""
    brief = [cue for cue in cues if cue.end_ms - cue.start_ms < _MIN_CUE_MS]
    if not brief:
        return cues
    start = brief[0].start_ms
    stop = start + _MIN_CUE_MS * len(brief)
    if limit_ms is not None and stop > limit_ms:
        if last:
            start = min(start, max(floor_ms, limit_ms - _MIN_CUE_MS * len(brief)))
        stop = max(limit_ms, start)
    if len(brief) == 1:
        stop = max(stop, brief[0].end_ms)
    edges = [start + (stop - start) * i // len(brief) for i in range(len(brief) + 1)]
    shown = [
        replace(cue, start_ms=begin, end_ms=max(end, begin + 1))
        for cue, begin, end in zip(brief, edges, edges[1:], strict=False)
    ]
    kept = [cue for cue in cues if cue.end_ms - cue.start_ms >= _MIN_CUE_MS]
    return sorted(shown + kept, key=lambda cue: cue.start_ms)


def _wrap(text: str) -> list[str]:
    """Lines of at most `LINE_CHARS` columns, broken between words, inside runs of Chinese or
    Japanese, and inside words longer than a line. There closing punctuation and combining marks
    stay with what they follow, even if that makes a line a little longer."""
    lines = [""]
    for word in text.split():
        breakable = _columns(word) > LINE_CHARS
        for k, token in enumerate(word if breakable else [word]):
            glue = " " if lines[-1] and k == 0 else ""
            columns = _columns(lines[-1] + glue + token)
            if lines[-1] and columns > LINE_CHARS and not (k and _stays(lines[-1], token, columns)):
                lines.append(token)
            else:
                lines[-1] += glue + token
    return lines


def _stays(line: str, char: str, columns: float) -> bool:
    """Whether a character may not be parted from the line before it, of `columns` with it."""
    category = unicodedata.category(char)
    if category[0] == "M" or char == _JOINER or line.endswith(_JOINER):
        return True
    closes = category in ("Pe", "Pf") or char in _CLOSING
    return closes and columns <= LINE_CHARS + _HANGING


def _columns(text: str) -> float:
    if text.isascii():
        return len(text)
    return sum(LINE_CHARS / LINE_CHARS_CJK if is_cjk(char) else 1 for char in text)


def _pieces(item: Segment) -> list[tuple[list[str], float, float]]:
    """A text of more than `CUE_LINES` lines as several of that many: (lines, start, end).

    Their times come from the words' when these spell the text, else from the share of characters.
    """
    lines = _wrap(item.text)
    lengths = [len("".join(line.split())) for line in lines]
    total = sum(lengths)
    owners = [word for word in item.words for _ in "".join(single_line(word.text).split())]
    pieces: list[tuple[list[str], float, float]] = []
    done = 0
    for first in range(0, len(lines), CUE_LINES):
        begin, done = done, done + sum(lengths[first : first + CUE_LINES])
        if len(owners) == total:
            start, end = owners[begin].start, owners[done - 1].end
        else:
            length_s = item.end - item.start
            start = item.start + length_s * begin / total
            end = item.start + length_s * done / total
        pieces.append((lines[first : first + CUE_LINES], start, end))
    if len(pieces) == 1:
        return [(lines, item.start, item.end)]
    return pieces


# ------------------------------------------------------------------------------------- TextGrid


@dataclass(frozen=True)
class _Interval:
    text: str
    start_ms: int
    end_ms: int


def _intervals(items: Sequence[Segment]) -> list[_Interval]:
    """Every text as an interval of at least 1 ms, which Praat needs."""
    return [
        _Interval(item.text, start := _ms(item.start), max(start + 1, _ms(item.end)))
        for item in items
    ]


def _layers(intervals: Sequence[_Interval]) -> list[list[_Interval]]:
    """Intervals, by start, on as few tiers as hold them without overlap; at least one tier."""
    layers: list[list[_Interval]] = [[]]
    for interval in intervals:
        for layer in layers:
            if not layer or layer[-1].end_ms <= interval.start_ms:
                layer.append(interval)
                break
        else:
            layers.append([interval])
    return layers


def _without_overlap(intervals: Sequence[_Interval]) -> list[_Interval]:
    """Overlapping neighbours meet where the later one starts; those that start together are
    joined into one interval, so that no text is lost."""
    out: list[_Interval] = []
    for interval in intervals:
        last = out[-1] if out else None
        if last is not None and last.start_ms == interval.start_ms:
            text = join_words([last.text, interval.text])
            out[-1] = _Interval(text, last.start_ms, max(last.end_ms, interval.end_ms))
            continue
        if last is not None and last.end_ms > interval.start_ms:
            out[-1] = replace(last, end_ms=interval.start_ms)
        out.append(interval)
    return out


def _with_gaps(intervals: Sequence[_Interval], end_ms: int) -> list[_Interval]:
    """The intervals with empty ones between them, so that they cover 0 to `end_ms`."""
    out: list[_Interval] = []
    position = 0
    for interval in intervals:
        if interval.start_ms > position:
            out.append(_Interval("", position, interval.start_ms))
        out.append(interval)
        position = interval.end_ms
    if position < end_ms:
        out.append(_Interval("", position, end_ms))
    return out

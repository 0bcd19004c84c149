"""The anchor, one sentence about the whole segment, and the description of what is heard when.

No word of the anchor goes beyond the evidence; the description tells sounds as they begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from moss_audio.annotate.english import capital, listed, times_word
from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.events import UNIDENTIFIED, covered, events_heard
from moss_audio.dsp.loudness import import_meter, measure_loudness
from moss_audio.units import SAMPLE_RATE

# Share of the segment from which on a sound is said to be heard so.
_EXTENTS = ((0.9, "throughout"), (0.6, "most of the time"), (0.25, "part of the time"))
_BRIEF = "briefly"
# Coarse classes that may be known although none of their events is.
_CLASSES = ("human sounds", "animal", "natural sounds", "sounds of things")
_LASTING = ("speech", "singing", "music")  # these have an extent, others a number of times


@dataclass(frozen=True)
class AnchorConfig:
    """`min_score`: of the events that are named. Loudness (ITU-R BS.1770) in LUFS."""

    min_score: float = 0.5
    quiet_lufs: float = -38.0
    loud_lufs: float = -14.0
    silent_lufs: float = -60.0
    sounds_at_most: int = 6  # sounds named; the rest are not counted either


class AnchorTool(Tool):
    """Kind `anchor`: how much of the segment is speech, singing and music, which other sounds
    there are and how often, and whether it is quiet or loud. The values hold what it rests on."""

    branch = "general"
    kind = "anchor"
    name = "general/anchor"
    packages = ("pyloudnorm",)
    config: AnchorConfig

    def setup(self) -> None:
        """Says at the start what is missing."""
        import_meter()

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Always one result."""
        loudness_lufs = measure_loudness(samples)
        events = events_heard(segment, self.config.min_score)
        duration_s = samples.size / SAMPLE_RATE
        text = anchor_sentence(events, segment.profile, loudness_lufs, duration_s, self.config)
        return self.found(text=text, values={"loudness_lufs": loudness_lufs})


def anchor_sentence(
    events: Sequence[Span],
    profile: Mapping[str, float],
    loudness_lufs: float | None,
    duration_s: float,
    config: AnchorConfig,
) -> str:
    """For example: "Speech is heard most of the time, music throughout, dog bark twice; the
    recording is quiet." A class of the profile replaces events that nobody heard singly."""
    whole = Span("", 0.0, duration_s)
    by_label: dict[str, list[Span]] = {}
    for event in events:
        by_label.setdefault(event.label, []).append(event)
    heard: list[tuple[str, str]] = []  # what, and how long or how often
    for label in _LASTING:
        if label in by_label:
            heard.append((label, _extent(covered(whole, by_label[label]))))
        elif profile.get(label, 0.0) >= config.min_score:
            heard.append((label, ""))
    others = [label for label in by_label if label not in _LASTING]
    others.sort(key=lambda label: (label == UNIDENTIFIED, -covered(whole, by_label[label]), label))
    heard += [
        (label, times_word(len(by_label[label]))) for label in others[: config.sounds_at_most]
    ]
    if not others:
        known = [name for name in _CLASSES if profile.get(name, 0.0) >= config.min_score]
        heard += [("animal sounds" if name == "animal" else name, "") for name in known]
    level = _level(loudness_lufs, config)
    said = _told(heard)
    return f"{said}; the recording is {level}." if level else f"{said}."


def _told(heard: list[tuple[str, str]]) -> str:
    if not heard:
        return "No distinct sound is heard"
    (noun, how), *rest = heard
    verb = "are" if noun.endswith(" sounds") else "is"
    parts = [f"{capital(noun)} {verb} heard {how}".rstrip()]
    parts += [f"{noun} {how}".rstrip() for noun, how in rest]
    return listed(parts)


def _extent(share: float) -> str:
    return next((words for least, words in _EXTENTS if share >= least), _BRIEF)


def _level(loudness_lufs: float | None, config: AnchorConfig) -> str:
    """A word only for what stands out: the level of a recording says little of its subject."""
    if loudness_lufs is None:
        return ""
    if loudness_lufs < config.silent_lufs:
        return "nearly silent"
    if loudness_lufs < config.quiet_lufs:
        return "quiet"
    return "loud" if loudness_lufs >= config.loud_lufs else ""


@dataclass(frozen=True)
class DescriptionConfig:
    """Which events are described, and what counts as sounding throughout."""

    min_score: float = 0.5
    throughout: float = 0.9  # share of the segment


class DescriptionTool(Tool):
    """Kind `description`: a sentence a sound, with all its times to a tenth of a second."""

    branch = "general"
    kind = "description"
    name = "general/description"
    config: DescriptionConfig

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Nothing if no event is sure enough."""
        events = events_heard(segment, self.config.min_score)
        if not events:
            return []
        text = describe(events, samples.size / SAMPLE_RATE, self.config)
        return self.found(text=text)


def describe(events: Sequence[Span], duration_s: float, config: DescriptionConfig) -> str:
    """Sentences in order of the sounds' first start; times in seconds from the segment's start."""
    by_label: dict[str, list[Span]] = {}
    for event in sorted(events, key=lambda one: (one.start_s, one.end_s, one.label)):
        by_label.setdefault(event.label, []).append(event)
    sentences = []
    for label, spans in by_label.items():
        name, times = capital(label), [_time(span) for span in spans]
        length_s = spans[0].end_s - spans[0].start_s
        if len(spans) > 1:
            sentences.append(f"{name} {len(spans)} times: {listed(times)}.")
        elif length_s >= config.throughout * duration_s:
            sentences.append(f"{name} throughout, {times[0]}.")
        else:
            sentences.append(f"{name} {times[0]}.")
    return " ".join(sentences)


def _time(span: Span) -> str:
    start, end = f"{span.start_s:.1f}", f"{span.end_s:.1f}"
    return f"at {start} s" if start == end else f"from {start} to {end} s"

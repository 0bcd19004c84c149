"""The thirteen fields of a speech caption (specification 3.3): measured, asked for, or left out.

Pitch, volume, speed, fluency and clarity are measured and put into words by the bands below; the
numbers stay under `measured`. Everything else comes from a `Describer` (an audio language model)
if there is one. Nothing is guessed: a field that nobody knows is not there, and gender or age are
not read off the pitch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio import settings
from moss_audio.annotate.records import AudioSegment, ToolResult
from moss_audio.annotate.tool import Listener, SpeechTool, package_version
from moss_audio.annotate.tools.speech.speech_measures import REGIONS, measure, speech_regions
from moss_audio.annotate.tools.speech.timing import aligned_words
from moss_audio.metrics.judge import FIELDS

MEASURED_FIELDS = ("pitch", "volume", "speed", "fluency", "clarity")
ASKED_FIELDS = tuple(name for name in FIELDS if name not in MEASURED_FIELDS)
SEVERAL = "several voices: the figures are of all of them together"

Bands = tuple[tuple[float, str], ...]
_ABOVE = float("inf")


@dataclass(frozen=True)
class FieldsConfig:
    """Upper limits of the bands and their words, lowest first; the last limit is infinite.

    Conventions, not findings: 110 to 160 words a minute is what guides for speakers call
    conversational, -23 LUFS the level of broadcasts (EBU R 128), and adults' voices lie between
    about 85 and 255 Hz.
    """

    pitch_hz: Bands = ((110, "low"), (165, "medium low"), (220, "medium high"), (_ABOVE, "high"))
    pitch_range_semitones: Bands = (
        (4, "nearly monotone"), (9, "with moderate variation"), (_ABOVE, "with lively variation"),
    )  # fmt: skip
    loudness_lufs: Bands = (
        (-40, "very quiet"), (-30, "quiet"), (-18, "moderate"), (-12, "loud"),
        (_ABOVE, "very loud"),
    )  # fmt: skip
    words_per_minute: Bands = (
        (110, "slow"), (140, "rather slow"), (180, "moderate"), (220, "fast"),
        (_ABOVE, "very fast"),
    )  # fmt: skip
    pause_share: Bands = (
        (0.1, "fluent, hardly a pause"), (0.25, "fluent with some pauses"),
        (0.4, "with many pauses"), (_ABOVE, "halting, pauses take much of the time"),
    )  # fmt: skip
    snr_db: Bands = (
        (5, "hard to hear in loud background noise"), (15, "understandable over background noise"),
        (25, "clear with slight background noise"), (_ABOVE, "clear, hardly any background noise"),
    )  # fmt: skip
    # Fillers and repeated words on a hundred from which on they are named.
    disfluencies: float = 3.0


class Describer(Listener):
    """Says in words what cannot be measured."""

    def describe(self, samples: np.ndarray) -> dict[str, str]:
        """Texts of some of `ASKED_FIELDS`; those it does not know are left out."""
        raise NotImplementedError


class SpeechFieldsTool(SpeechTool):
    """The fields of a speech caption: kind `speech_fields`."""

    kind = "speech_fields"
    name = "speech-fields"
    defaults = FieldsConfig
    config: FieldsConfig

    def __init__(
        self, config: FieldsConfig | None = None, describer: Describer | None = None
    ) -> None:
        super().__init__(config)
        self._describer = describer

    @property
    def version(self) -> str:
        packages = [package_version(name) for name in ("librosa", "pyloudnorm")]
        asked = (self._describer.name, self._describer.version) if self._describer else ()
        return settings.digest([REGIONS, self.config, packages, asked], 12)

    def setup(self) -> None:
        """Prepare the describer, if there is one."""
        if self._describer is not None:
            self._describer.setup()

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """The fields that are known; nothing without speech."""
        regions = speech_regions(samples, segment)
        if not regions:
            return []
        measured = measure(samples, regions, aligned_words(segment))
        fields = in_words(measured, self.config)
        sources = dict.fromkeys(fields, "measured")
        if self._describer is not None:
            told = self._describer.describe(samples)
            told = {name: text for name, text in told.items() if name in ASKED_FIELDS and text}
            fields |= told
            sources |= dict.fromkeys(told, self._describer.name)
        if not fields:
            return []
        speakers = segment.last("speakers", "speech")
        several = speakers is not None and int(speakers.values.get("count", 1)) > 1
        ordered = {name: fields[name] for name in FIELDS if name in fields}
        values: dict[str, Any] = {**ordered, "measured": measured, "sources": sources}
        return self.found(values=values, warnings=(SEVERAL,) if several else ())


def in_words(measured: Mapping[str, float], config: FieldsConfig | None = None) -> dict[str, str]:
    """The measured fields as text, e.g. {"speed": "moderate (152 words a minute)"}."""
    config = config or FieldsConfig()
    out: dict[str, str] = {}
    if "pitch_hz" in measured:
        hz, spread = measured["pitch_hz"], measured["pitch_range_semitones"]
        height, liveliness = band(hz, config.pitch_hz), band(spread, config.pitch_range_semitones)
        out["pitch"] = f"{height}, {liveliness} (median {hz:.0f} Hz)"
    if "loudness_lufs" in measured:
        level = measured["loudness_lufs"]
        out["volume"] = f"{band(level, config.loudness_lufs)} ({level:.0f} LUFS)"
    if "words_per_minute" in measured:
        rate = measured["words_per_minute"]
        out["speed"] = f"{band(rate, config.words_per_minute)} ({rate:.0f} words a minute)"
        fluency = band(measured["pause_share"], config.pause_share)
        slips = [
            name
            for name, key in (("fillers", "fillers_per_100_words"),
                              ("repeated words", "repeats_per_100_words"))
            if measured[key] >= config.disfluencies
        ]  # fmt: skip
        out["fluency"] = fluency + (f", with {' and '.join(slips)}" if slips else "")
    if "snr_db" in measured:
        ratio = measured["snr_db"]
        out["clarity"] = f"{band(ratio, config.snr_db)} (signal-to-noise ratio {ratio:.0f} dB)"
    return out


def band(value: float, bands: Bands) -> str:
    """The word of the first band whose limit is above `value`."""
    for limit, word in bands:
        if value < limit:
            return word
    return bands[-1][1]

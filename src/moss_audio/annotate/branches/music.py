"""The music branch: tempo, key, chords, sections, dynamics; instruments and lyrics if configured.

Specification 3.3 (music). It names SongFormer for structure and a set of MIR tools; here every
tool but the two optional ones is librosa with the methods named in its file, so it runs offline.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from moss_audio.annotate.records import Segment
from moss_audio.annotate.stage import Item
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools_music.chords import ChordsConfig, ChordsTool
from moss_audio.annotate.tools_music.dynamics import DynamicsConfig, DynamicsTool
from moss_audio.annotate.tools_music.features import FeatureCache
from moss_audio.annotate.tools_music.instruments import InstrumentsConfig, InstrumentsTool
from moss_audio.annotate.tools_music.key import KeyTool
from moss_audio.annotate.tools_music.lyrics import LyricsTool
from moss_audio.annotate.tools_music.sections import SectionsConfig, SectionsTool
from moss_audio.annotate.tools_music.tempo import TempoConfig, TempoTool
from moss_audio.errors import MossAudioError


@dataclass(frozen=True)
class MusicConfig:
    """Which segments are listened to as music, and by what.

    `tagger` names a transformers audio classifier for instruments, `recogniser` describes a
    recogniser of the speech branch for lyrics; without them there is neither.
    """

    min_music: float = 0.3  # the profile's score for music, or for singing, from which on
    min_singing: float = 0.5  # from which on lyrics are asked for
    tempo: TempoConfig = field(default_factory=TempoConfig)
    chords: ChordsConfig = field(default_factory=ChordsConfig)
    sections: SectionsConfig = field(default_factory=SectionsConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    tagger: InstrumentsConfig | None = None
    recogniser: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("min_music", "min_singing"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise MossAudioError(f"{name} must be from 0 to 1, got {getattr(self, name)!r}")


class MusicStage:
    """Adds the music tools' results to segments whose profile says music or singing.

    Args:
        config: thresholds and settings.
        recogniser: for lyrics, instead of the one that `config.recogniser` describes.
    """

    name = "music"

    def __init__(self, config: MusicConfig | None = None, recogniser: Tool | None = None) -> None:
        self.config = config or MusicConfig()
        self._features = FeatureCache()
        self.tools: tuple[Tool, ...] = _tools(self.config, self._features, recogniser)

    @property
    def fingerprint(self) -> str:
        """Of the configuration and the tools' versions."""
        said = {
            "config": asdict(self.config),
            "tools": [(tool.name, tool.version) for tool in self.tools],
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    def setup(self) -> None:
        """Has librosa compiled and models loaded: about three seconds without models."""
        for tool in self.tools:
            tool.setup()

    def process_batch(self, items: Sequence[Item]) -> list[Segment]:
        """Segments that are not music pass unchanged, their sound unread."""
        return [
            self._annotate(item) if self._is_music(item.segment) else item.segment for item in items
        ]

    def _is_music(self, segment: Segment) -> bool:
        heard = max(segment.profile.get(name, 0.0) for name in ("music", "singing"))
        return heard >= self.config.min_music

    def _annotate(self, item: Item) -> Segment:
        segment, samples = item.segment, item.samples()
        try:
            for tool in self.tools:
                found = tool.annotate(samples, segment)
                segment = replace(segment, results=(*segment.results, *found))
        finally:
            self._features.clear()
        return segment


def _tools(
    config: MusicConfig, features: FeatureCache, recogniser: Tool | None
) -> tuple[Tool, ...]:
    """In the order in which they run: chords use the beats."""
    tools: list[Tool] = [
        TempoTool(config.tempo, features),
        KeyTool(features),
        ChordsTool(config.chords, features),
        SectionsTool(config.sections, features),
        DynamicsTool(config.dynamics),
    ]
    if config.tagger is not None:
        tools.append(InstrumentsTool(config.tagger))
    if recogniser is None and config.recogniser is not None:
        recogniser = _build_recogniser(config.recogniser)
    if recogniser is not None:
        tools.append(LyricsTool(recogniser, config.min_singing))
    return tuple(tools)


def _build_recogniser(description: Mapping[str, Any]) -> Tool:
    """The speech branch's recogniser of this description; nothing of it loads before."""
    from importlib import import_module

    tool: Tool = import_module("moss_audio.annotate.branches.speech").build_recogniser(description)
    return tool

"""The music branch: tempo, key, chords, sections, dynamics; instruments and lyrics if configured.

Specification 3.3 (music). It names SongFormer for structure and a set of MIR tools; here tempo,
key, chords and sections are librosa with the methods named in each file, so it runs offline.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from moss_audio.annotate.branches.speech import SpeechConfig, speech_tools
from moss_audio.annotate.detectors.make import DetectorConfig, make_detector
from moss_audio.annotate.records import Segment
from moss_audio.annotate.stage import Item
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.events import EventDetector
from moss_audio.annotate.tools.music.chords import ChordsConfig, ChordsTool
from moss_audio.annotate.tools.music.dynamics import DynamicsConfig, DynamicsTool
from moss_audio.annotate.tools.music.features import FeatureCache
from moss_audio.annotate.tools.music.instruments import InstrumentsConfig, InstrumentsTool
from moss_audio.annotate.tools.music.key import KeyTool
from moss_audio.annotate.tools.music.lyrics import LyricsTool
from moss_audio.annotate.tools.music.sections import SectionsConfig, SectionsTool
from moss_audio.annotate.tools.music.tempo import TempoConfig, TempoTool
from moss_audio.errors import MossAudioError


@dataclass(frozen=True)
class MusicConfig:
    """Which segments are listened to as music, and by what.

    Instruments come from what the segment's detectors have heard; `tagger` is one more, for this
    branch alone. `lyrics` has the fields of the speech branch, `recognisers: [whisper]` say; of
    them counts what the first recogniser needs, which listens to singing. Without it there are no
    lyrics.
    """

    threshold: float = 0.5  # of the profile's score for music or for singing
    lyrics_threshold: float = 0.5  # of its score for singing
    tempo: TempoConfig = field(default_factory=TempoConfig)
    chords: ChordsConfig = field(default_factory=ChordsConfig)
    sections: SectionsConfig = field(default_factory=SectionsConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    instruments: InstrumentsConfig = field(default_factory=InstrumentsConfig)
    tagger: DetectorConfig | None = None
    lyrics: SpeechConfig | None = None

    def __post_init__(self) -> None:
        for name in ("threshold", "lyrics_threshold"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise MossAudioError(f"{name} {getattr(self, name)!r}: give a score from 0 to 1")


class MusicStage:
    """Adds the music tools' results to segments whose profile says music or singing.

    Results of an earlier run of this branch are replaced.

    Args:
        config: thresholds and settings.
        recogniser: for lyrics, instead of the one that `config.lyrics` names.
        tagger: for instruments, instead of the one that `config.tagger` names.
    """

    name = "music"

    def __init__(
        self,
        config: MusicConfig | None = None,
        recogniser: Tool | None = None,
        tagger: EventDetector | None = None,
    ) -> None:
        self.config = config or MusicConfig()
        self._features = FeatureCache()
        if tagger is None and self.config.tagger is not None:
            tagger = make_detector(self.config.tagger)
        if recogniser is None and self.config.lyrics is not None:
            recogniser = speech_tools(self.config.lyrics)[0]
        self.tools: tuple[Tool, ...] = _tools(self.config, self._features, recogniser, tagger)

    @property
    def fingerprint(self) -> str:
        """Of the configuration and the tools' versions. Of the recogniser counts its version alone,
        for most settings of `lyrics` are none of its own."""
        said = {
            "config": {**asdict(self.config), "lyrics": None},
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
        return heard >= self.config.threshold

    def _annotate(self, item: Item) -> Segment:
        kept = tuple(one for one in item.segment.results if one.branch != "music")
        segment, samples = replace(item.segment, results=kept), item.samples()
        try:
            for tool in self.tools:
                found = tool.annotate(samples, segment)
                segment = replace(segment, results=(*segment.results, *found))
        finally:
            self._features.clear()
        return segment


def _tools(
    config: MusicConfig,
    features: FeatureCache,
    recogniser: Tool | None,
    tagger: EventDetector | None,
) -> tuple[Tool, ...]:
    """In the order in which they run."""
    tools: list[Tool] = [
        TempoTool(config.tempo, features),
        KeyTool(features),
        ChordsTool(config.chords, features),
        SectionsTool(config.sections, features),
        DynamicsTool(config.dynamics),
        InstrumentsTool(config.instruments, tagger),
    ]
    if recogniser is not None:
        tools.append(LyricsTool(recogniser, config.lyrics_threshold))
    return tuple(tools)

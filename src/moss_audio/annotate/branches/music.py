"""The music branch: tempo, key, chords, sections, dynamics; instruments and lyrics if configured.

Specification 3.3 (music). It names SongFormer for structure and a set of MIR tools; here tempo,
key, chords and sections are librosa with the methods named in each file, so it runs offline.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from moss_audio.annotate.branches.branch import Branch
from moss_audio.annotate.branches.speech import SpeechConfig, speech_tools
from moss_audio.annotate.detectors.base import Detector
from moss_audio.annotate.detectors.make import DetectorConfig, make_detector
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.music.dynamics import DynamicsConfig, DynamicsTool
from moss_audio.annotate.tools.music.features import MusicFeatureCache
from moss_audio.annotate.tools.music.harmony import ChordsConfig, ChordsTool, KeyTool
from moss_audio.annotate.tools.music.instruments import InstrumentsConfig, InstrumentsTool
from moss_audio.annotate.tools.music.lyrics import LyricsTool
from moss_audio.annotate.tools.music.sections import SectionsConfig, SectionsTool
from moss_audio.annotate.tools.music.tempo import TempoConfig, TempoTool
from moss_audio.settings import Share, check


@dataclass(frozen=True)
class MusicConfig:
    """Which segments are listened to as music, and by what.

    Instruments come from what the segment's detectors have heard; `tagger` is one more, for this
    branch alone. `lyrics` has the fields of the speech branch, `recognisers: [whisper]` say; of
    them counts what the first recogniser needs, which listens to singing. Without it there are no
    lyrics.
    """

    threshold: Share = 0.5  # of the profile's score for music or for singing
    lyrics_threshold: Share = 0.5  # of its score for singing
    tempo: TempoConfig = field(default_factory=TempoConfig)
    chords: ChordsConfig = field(default_factory=ChordsConfig)
    sections: SectionsConfig = field(default_factory=SectionsConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    instruments: InstrumentsConfig = field(default_factory=InstrumentsConfig)
    tagger: DetectorConfig | None = None
    lyrics: SpeechConfig | None = None

    def __post_init__(self) -> None:
        check(self)


def music_branch(
    config: MusicConfig | None = None,
    recogniser: Tool | None = None,
    tagger: Detector | None = None,
) -> Branch:
    """The branch for segments whose profile says music or singing.

    Of the settings of `lyrics` counts what its recogniser's version says of them: most are none
    of its own.

    Args:
        config: thresholds and settings.
        recogniser: for lyrics, instead of the one that `config.lyrics` names.
        tagger: for instruments, instead of the one that `config.tagger` names.
    """
    config = config or MusicConfig()
    if tagger is None and config.tagger is not None:
        tagger = make_detector(config.tagger)
    if recogniser is None and config.lyrics is not None:
        recogniser = speech_tools(config.lyrics)[0]
    features = MusicFeatureCache()
    tools: tuple[Tool, ...] = (
        TempoTool(config.tempo, features),
        KeyTool(None, features),
        ChordsTool(config.chords, features),
        SectionsTool(config.sections, features),
        DynamicsTool(config.dynamics),
        InstrumentsTool(config.instruments, [tagger] if tagger else ()),
    )
    if recogniser is not None:
        tools += (LyricsTool(recogniser, config.lyrics_threshold),)
    return Branch(
        "music",
        config,
        tools=tools,
        settings={**asdict(config), "lyrics": None},
        classes=("music", "singing"),
        threshold=config.threshold,
        forget=features.clear,
    )

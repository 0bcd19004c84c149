"""The speech branch: who says what, when and how (specification 3.3).

Recognisers -> agreement -> word times -> sentences -> speakers -> fields of a speech caption.
Each is a tool; what runs is a list in the configuration, and everything after the agreement works
on the transcript that was agreed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from moss_audio.annotate.branches.branch import Branch
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.speech.agreement import NO_WORDS, AgreementConfig, AgreementTool
from moss_audio.annotate.tools.speech.align_ctc import CtcAlignConfig, CtcAligner
from moss_audio.annotate.tools.speech.asr_http import HttpTranscriber, SpeechServer
from moss_audio.annotate.tools.speech.asr_whisper import WhisperConfig, WhisperTool
from moss_audio.annotate.tools.speech.describe import HttpDescriber, MossDescriber
from moss_audio.annotate.tools.speech.moss import MossAligner, MossConfig, MossTool, SharedMoss
from moss_audio.annotate.tools.speech.speakers import SpeakersConfig, SpeakersTool
from moss_audio.annotate.tools.speech.speakers_pyannote import PyannoteConfig, PyannoteTool
from moss_audio.annotate.tools.speech.speech_fields import Describer, FieldsConfig, SpeechFieldsTool
from moss_audio.annotate.tools.speech.sphinx import (
    SphinxAlignConfig,
    SphinxAligner,
    SphinxConfig,
    SphinxTool,
)
from moss_audio.annotate.tools.speech.timing import SentencesTool
from moss_audio.annotate.tools.speech.voice_weights import bundled_weights
from moss_audio.errors import MossAudioError
from moss_audio.settings import Share, check
from moss_audio.units import SAMPLE_RATE

Recogniser = Literal["whisper", "sphinx", "moss", "http"]
Aligner = Literal["sphinx", "ctc", "moss", "none"]
Diarizer = Literal["auto", "embeddings", "pyannote", "none"]
Asked = Literal["http", "moss", "none"]


@dataclass(frozen=True)
class SpeechConfig:
    """What runs on segments with speech; the defaults need no network.

    Raises:
        MossAudioError: for a name that is none of the possible ones, no recogniser, or a
            threshold outside 0 to 1.
    """

    threshold: Share = 0.5  # of the profile's score for speech
    least_s: float = 0.1  # shorter segments pass unchanged: no word fits
    recognisers: tuple[Recogniser, ...] = ("whisper", "sphinx", "moss")
    whisper: WhisperConfig = field(default_factory=WhisperConfig)
    sphinx: SphinxConfig = field(default_factory=SphinxConfig)
    moss: MossConfig = field(default_factory=MossConfig)  # shared by all tools named "moss"
    http: SpeechServer = field(default_factory=SpeechServer)
    agreement: AgreementConfig = field(default_factory=AgreementConfig)
    aligner: Aligner = "sphinx"
    align_sphinx: SphinxAlignConfig = field(default_factory=SphinxAlignConfig)
    align_ctc: CtcAlignConfig = field(default_factory=CtcAlignConfig)
    diarizer: Diarizer = "auto"  # embeddings where their weights are installed, else none
    speakers: SpeakersConfig = field(default_factory=SpeakersConfig)
    pyannote: PyannoteConfig = field(default_factory=PyannoteConfig)
    fields: FieldsConfig = field(default_factory=FieldsConfig)
    describer: Asked = "none"  # who is asked for the fields that cannot be measured
    describe_http: SpeechServer = field(default_factory=SpeechServer)

    def __post_init__(self) -> None:
        check(self)
        if not self.recognisers:
            raise MossAudioError("recognisers: name one at least, better two")
        if len(set(self.recognisers)) != len(self.recognisers):
            raise MossAudioError(f"recognisers: {', '.join(self.recognisers)} lists one twice")


def chosen_diarizer(config: SpeechConfig) -> Diarizer:
    """What "auto" means on this machine."""
    if config.diarizer != "auto":
        return config.diarizer
    found = config.speakers.weights or bundled_weights()
    return "embeddings" if found else "none"


def speech_tools(config: SpeechConfig) -> tuple[Tool, ...]:
    """The tools that `config` names, in the order in which they run."""
    moss = SharedMoss(config.moss)
    recognisers: dict[str, Tool] = {
        "whisper": WhisperTool(config.whisper),
        "sphinx": SphinxTool(config.sphinx),
        "moss": MossTool(moss),
        "http": HttpTranscriber(config.http),
    }
    aligners: dict[str, Tool] = {
        "sphinx": SphinxAligner(config.align_sphinx),
        "ctc": CtcAligner(config.align_ctc),
        "moss": MossAligner(moss),
    }
    diarizers: dict[str, Tool] = {
        "embeddings": SpeakersTool(config.speakers),
        "pyannote": PyannoteTool(config.pyannote),
    }
    describers: dict[str, Describer] = {
        "http": HttpDescriber(config.describe_http),
        "moss": MossDescriber(moss),
    }
    tools = [recognisers[name] for name in config.recognisers]
    tools.append(AgreementTool(config.agreement))
    if config.aligner != "none":
        tools += [aligners[config.aligner], SentencesTool()]
    if (diarizer := chosen_diarizer(config)) != "none":
        tools.append(diarizers[diarizer])
    tools.append(SpeechFieldsTool(config.fields, describers.get(config.describer)))
    return tuple(tools)


def speech_branch(
    config: SpeechConfig | None = None, tools: Sequence[Tool] | None = None
) -> Branch:
    """The branch for segments whose profile says speech; `tools` instead of the configured ones.

    A segment whose transcripts were dropped still gets speakers and measures, from its level;
    one in which the recognisers agree that nothing is said does not: it is no speech after all.
    """
    config = config or SpeechConfig()
    return Branch(
        "speech",
        config,
        tools=tuple(speech_tools(config) if tools is None else tools),
        settings=(config.threshold, config.least_s),
        classes=("speech",),
        threshold=config.threshold,
        least_samples=max(1.0, config.least_s * SAMPLE_RATE),
        stop_reason=NO_WORDS,
    )

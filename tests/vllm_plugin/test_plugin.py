"""The plug-in before something shaped as vLLM is; vLLM itself is asked in tests/interop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from moss_audio.model import vllm_plugin
from moss_audio.tasks import get_task
from moss_audio.vllm import endpoint


class SupportsTranscription:
    """vLLM's interface, as far as the plug-in looks at it."""

    @classmethod
    def get_generation_prompt(cls, stt_params: Any) -> Any: ...

    @classmethod
    def get_speech_to_text_config(cls, model_config: Any, task_type: str) -> Any: ...

    @classmethod
    def post_process_output(cls, text: str) -> str: ...


class Registry:
    def __init__(self) -> None:
        self.classes: dict[str, str] = {"MossAudioModel": "vLLM's own"}

    def get_supported_archs(self) -> list[str]:
        return list(self.classes)

    def register_model(self, name: str, cls: str) -> None:
        self.classes[name] = cls


def module(monkeypatch: pytest.MonkeyPatch, name: str, **values: Any) -> None:
    """Put a module into the place of vLLM's, and its packages above it."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        known = ".".join(parts[:end])
        if known not in sys.modules:
            monkeypatch.setitem(sys.modules, known, ModuleType(known))
    vars(sys.modules[name]).update(values)


def register(monkeypatch: pytest.MonkeyPatch, interface: Any) -> Registry:
    registry = Registry()
    module(monkeypatch, "vllm.model_executor.models", ModelRegistry=registry,
           SupportsTranscription=interface)  # fmt: skip
    vllm_plugin.register()
    vllm_plugin.register()
    return registry


def test_a_class_that_transcribes_is_registered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registry = register(monkeypatch, SupportsTranscription)
    place, _, name = registry.classes["MossAudioModel"].partition(":")
    assert (place, name) == ("moss_audio.vllm.transcription", "TranscribingMossAudio")
    assert caplog.text == ""


class OtherInterface(SupportsTranscription):
    @classmethod
    def get_generation_prompt(cls, audio: Any, stt_config: Any) -> Any:  # type: ignore[override]
        ...


@pytest.mark.parametrize("interface", [OtherInterface, None])
def test_another_interface_of_vllm_leaves_chats_as_they_are_and_is_told(
    interface: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registry = register(monkeypatch, interface)
    assert registry.classes == {"MossAudioModel": "vLLM's own"}
    assert "MOSS-Audio answers chats, and not /v1/audio/transcriptions" in caplog.text


def test_without_vllm_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    vllm_plugin.register()
    assert caplog.text == ""


# vLLM's endpoint: a class whose method asks the model's class about each window.


@dataclass
class Asked:
    """A request as vLLM has it."""

    response_format: str = "json"
    timestamp_granularities: list[str] = field(default_factory=list)
    max_completion_tokens: int | None = None
    stream: bool = False
    use_beam_search: bool = False
    temperature: float = 0.0
    language: str | None = None

    def model_copy(self, update: dict[str, Any]) -> Asked:
        return replace(self, **update)


@dataclass
class TranscriptionResponse:
    text: str
    usage: Any


@dataclass
class TranscriptionResponseVerbose:
    text: str
    language: str
    duration: float
    body: dict[str, Any]


class Model:
    """What `TranscribingMossAudio` does with a window, without vLLM's class below it."""

    @classmethod
    def get_generation_prompt(cls, stt_params: Any) -> dict[str, Any]:
        hearing = endpoint.HEARING.get()
        if hearing is not None:
            hearing.window(len(stt_params.audio) / 16_000)
        return {"prompt": endpoint.prompt_text(hearing)}

    @classmethod
    def post_process_output(cls, text: str) -> str:
        hearing = endpoint.HEARING.get()
        return endpoint.plain_text(text) if hearing is None else hearing.kept(text)


class Endpoint:
    """Answers with `answers`, one a window of `windows` seconds, the last window first."""

    model_cls: type = Model

    def __init__(self, *answers: str, model: str = "checkpoint") -> None:
        self.answers = answers
        self.model_config = SimpleNamespace(model=model)
        self.renderer = SimpleNamespace(get_tokenizer=lambda: self)
        self.prompts: list[str] = []
        self.bound: int | None = None
        self.refused = False

    def encode(self, text: str, **_: Any) -> list[int]:
        return [len(word) for word in text.split()]

    async def create_transcription(
        self, audio_data: bytes, request: Asked, raw_request: Any = None
    ) -> Any:
        if request.response_format != "json" or self.refused:
            return "an error"
        for seconds in audio_data:
            samples = np.zeros(16_000 * seconds)
            prompt = self.model_cls.get_generation_prompt(SimpleNamespace(audio=samples))  # type: ignore[attr-defined]
            self.prompts.append(prompt["prompt"])
        self.bound = request.max_completion_tokens
        texts = [self.model_cls.post_process_output(one) for one in self.answers]  # type: ignore[attr-defined]
        return TranscriptionResponse(" ".join(texts), {"seconds": sum(audio_data)})


@pytest.fixture
def extended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    where = "vllm.entrypoints.speech_to_text.transcription"
    module(monkeypatch, f"{where}.protocol", TranscriptionResponse=TranscriptionResponse,
           TranscriptionResponseVerbose=TranscriptionResponseVerbose)  # fmt: skip
    module(monkeypatch, f"{where}.serving", OpenAIServingTranscription=Endpoint)
    original = Endpoint.create_transcription
    endpoint.extend(Model)
    endpoint.extend(Model)  # which does it once
    yield
    Endpoint.create_transcription = original  # type: ignore[method-assign]


def ask(server: Endpoint, windows: bytes, **request: Any) -> Any:
    asked = Asked(**request)
    before = replace(asked)
    answer = asyncio.run(server.create_transcription(windows, asked))
    assert asked == before  # what vLLM was given is the caller's
    return answer


@pytest.mark.usefixtures("extended")
def test_words_have_the_times_of_their_windows() -> None:
    server = Endpoint("[0.10]Good[0.40][0.45]day[0.80]", "[1.00]to all.[1.50]")
    wants = {"response_format": "verbose_json", "timestamp_granularities": ["word"]}
    body = ask(server, bytes([4, 2]), **wants).model_dump()
    assert body["text"] == "Good day to all."
    assert [(word["word"], word["start"]) for word in body["words"]] == [
        ("Good", 0.1), ("day", 0.45), ("to", 5.0), ("all.", 5.167),
    ]  # fmt: skip
    assert (body["duration"], "segments" in body) == (6.0, False)
    task = get_task("transcribe", timestamps="word")
    assert all(task.prompt in prompt for prompt in server.prompts)
    assert server.bound == task.answer_tokens(4.0)


@pytest.mark.usefixtures("extended")
def test_segments_say_what_is_not_known_of_them() -> None:
    server = Endpoint("[0.10]Good day.[0.80]")
    body = ask(server, bytes([2]), response_format="verbose_json", language="en").model_dump()
    (segment,) = body["segments"]
    assert (segment["start"], segment["end"], segment["text"]) == (0.1, 0.8, "Good day.")
    assert (segment["tokens"], segment["avg_logprob"]) == ([4, 4], None)
    assert (body["language"], "words" in body) == ("en", False)


@pytest.mark.usefixtures("extended")
def test_plain_answers_are_tidied_and_bounded() -> None:
    server = Endpoint("<think>\nhm\n</think>\n\nGood  day", "to all.")
    answer = ask(server, bytes([4, 2]), response_format="text")
    assert answer == TranscriptionResponse("Good day to all.", {"seconds": 6})
    assert server.bound == get_task("transcribe").answer_tokens(4.0)
    ask(server, bytes([4, 2]), max_completion_tokens=7)
    assert server.bound == 7
    thinking = Endpoint("Good day", model="some/MOSS-Audio-4B-Thinking")
    ask(thinking, bytes([4]))
    assert thinking.bound is None


@pytest.mark.usefixtures("extended")
def test_what_is_not_ours_goes_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(Endpoint("Hm."), bytes([4]), stream=True).text == "Hm."
    assert ask(Endpoint("Hm."), bytes([4]), response_format="diarized_json") == "an error"
    refusing = Endpoint("Hm.")
    refusing.refused = True
    assert ask(refusing, bytes([4])) == "an error"
    other = Endpoint("Hm.")
    monkeypatch.setattr(other, "model_cls", object)
    assert ask(other, b"", response_format="verbose_json") == "an error"


def test_another_endpoint_of_vllm_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    where = "vllm.entrypoints.speech_to_text.transcription"
    module(monkeypatch, f"{where}.protocol", TranscriptionResponse=TranscriptionResponse,
           TranscriptionResponseVerbose=TranscriptionResponseVerbose)  # fmt: skip
    other = type("Other", (), {"create_transcription": lambda self, request: None})
    module(monkeypatch, f"{where}.serving", OpenAIServingTranscription=other)
    before = other.create_transcription  # type: ignore[attr-defined]
    endpoint.extend(Model)
    assert other.create_transcription is before  # type: ignore[attr-defined]
    assert "verbose_json is refused" in caplog.text

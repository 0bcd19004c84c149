"""Transcriptions as OpenAI's own client asks for them, and as others do."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import openai
import pysubs2
import pytest

from moss_audio.engine import Request
from tests.serve.conftest import FakeEngine, Running, serving, wav


def said(request: Request) -> str:
    """What the engine says of any clip, with the times that it is asked for."""
    question = request.messages[0]["content"][-1]["text"]
    if "word-level" in question:
        return "[0.10]hello[0.40][0.50]there.[0.90]"
    return "[0.10]hello there.[0.90]" if "sentence-level" in question else "hello there."


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(said)


def transcribe(running: Running, **options: Any) -> Any:
    data = options.pop("data", None) or wav()
    return running.client().audio.transcriptions.create(
        file=("talk.wav", data), **{"model": "whisper-1", **options}
    )


def test_json_has_the_text_and_the_tokens(running: Running) -> None:
    answer = transcribe(running)
    assert answer.text == "hello there."
    assert answer.usage.type == "tokens"
    assert answer.usage.input_tokens == 100
    assert answer.usage.input_token_details.audio_tokens == 13
    assert answer.usage.output_tokens == 2


def test_text_srt_and_vtt_are_those_of_the_writers(running: Running) -> None:
    assert transcribe(running, response_format="text") == "hello there.\n"
    srt = transcribe(running, response_format="srt")
    (cue,) = pysubs2.SSAFile.from_string(srt)
    assert (cue.start, cue.end, cue.plaintext) == (100, 900, "hello there.")
    assert transcribe(running, response_format="vtt").startswith("WEBVTT\n\n00:00:00.100 -->")


def test_verbose_json_fills_every_field(running: Running) -> None:
    answer = transcribe(running, response_format="verbose_json",
                        timestamp_granularities=["word", "segment"])  # fmt: skip
    assert [(word.word, word.start, word.end) for word in answer.words] == [
        ("hello", 0.1, 0.4), ("there.", 0.5, 0.9),
    ]  # fmt: skip
    (segment,) = answer.segments
    assert segment.text == "hello there."
    assert (segment.id, segment.seek, segment.start, segment.end) == (0, 10, 0.1, 0.9)
    assert None not in segment.model_dump().values()
    assert answer.duration == 1.0
    assert answer.usage.seconds == 1.0


def test_a_segment_has_the_confidence_of_its_window(engine: FakeEngine) -> None:
    with serving(engine) as running:
        answer = transcribe(running, response_format="verbose_json", data=wav(40))
    assert [segment.avg_logprob for segment in answer.segments] == [-0.5] * 3
    assert [segment.tokens for segment in answer.segments] == [[0, 1]] * 3


def test_log_probabilities_of_a_transcript(running: Running) -> None:
    answer = transcribe(running, include=["logprobs"])
    assert [(token.token, token.logprob) for token in answer.logprobs] == [
        ("t0", -0.5),
        ("t1", -0.5),
    ]
    *_, done = transcribe(running, include=["logprobs"], stream=True)
    assert [token.token for token in done.logprobs] == ["t0", "t1"]


@pytest.mark.parametrize("name", ["timestamp_granularities", "timestamp_granularities[]"])
def test_granularities_are_read_under_both_spellings(running: Running, name: str) -> None:
    form = {"model": "moss", "response_format": "verbose_json", name: "word"}
    answer = running.post(
        "/v1/audio/transcriptions", data=form, files={"file": ("a.wav", wav())}
    ).json()
    assert [word["word"] for word in answer["words"]] == ["hello", "there."]
    assert "segments" not in answer


def test_segments_are_what_verbose_json_has_by_itself(running: Running) -> None:
    answer = transcribe(running, response_format="verbose_json", language="en")
    assert answer.words is None
    assert [segment.text for segment in answer.segments] == ["hello there."]
    assert answer.language == "en"
    assert answer.model_extra["warnings"] == ["language is ignored by this model"]


def test_a_stream_gives_deltas_and_then_the_whole(running: Running) -> None:
    events = list(transcribe(running, stream=True))
    assert [event.type for event in events[:-1]] == ["transcript.text.delta"] * 2
    assert "".join(event.delta for event in events[:-1]) == "hello there."
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == "hello there."
    assert events[-1].usage.total_tokens == 102


def test_deltas_of_several_windows_join_as_their_transcripts_do(engine: FakeEngine) -> None:
    with serving(engine) as running:
        events = list(transcribe(running, stream=True, data=wav(40)))
    assert "".join(event.delta for event in events[:-1]) == events[-1].text
    assert events[-1].text == " ".join(["hello there."] * 3)


def test_what_is_thought_is_no_part_of_a_streamed_transcript() -> None:
    with serving(FakeEngine(lambda _: "<think>\nlet me see\n</think>\n\nhello there.")) as running:
        events = list(transcribe(running, stream=True))
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == "hello there."


def test_a_recording_of_one_window_has_its_segments_in_the_stream_too(running: Running) -> None:
    form = {"stream": "true", "response_format": "verbose_json"}
    answer = running.post(
        "/v1/audio/transcriptions", files={"file": ("a.wav", wav(2))}, data=form
    ).text
    events = [json.loads(line[6:]) for line in answer.splitlines() if line.startswith("data: ")]
    assert [one["type"].rpartition(".")[2] for one in events] == [
        "delta", "segment", "progress", "done"
    ]  # fmt: skip
    assert events[1]["text"] == events[0]["delta"] == events[3]["text"] == "hello there."
    assert events[2]["seconds"] == events[2]["of"] == 2.0


def test_an_error_inside_a_stream_is_raised_by_the_client(engine: FakeEngine) -> None:
    def breaks(request: Request) -> str:
        if len(engine.requests) == 2:  # the second window
            raise RuntimeError("secret words of a caller")
        return "hello there"

    engine.answer = breaks
    with serving(engine) as running:
        with pytest.raises(openai.APIError) as caught:
            list(transcribe(running, stream=True, data=wav(20)))
        assert "secret" not in str(caught.value)
        assert transcribe(running).text == "hello there"  # the server goes on


def test_silence_is_an_empty_transcript(running: Running, engine: FakeEngine) -> None:
    answer = transcribe(running, data=wav(level=0.0))
    assert answer.text == ""
    assert "silent" in answer.model_extra["warnings"][0]
    assert list(transcribe(running, data=wav(level=0.0), stream=True))[-1].text == ""
    assert not engine.requests


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "diarized_json"}, "response_format"),
        ({"response_format": "yaml"}, "response_format"),
        ({"response_format": "srt", "stream": True}, "stream"),
        ({"temperature": 9}, "temperature"),
        ({"timestamp_granularities": ["phoneme"]}, "timestamp_granularities"),
        ({"include": ["logprobs"], "response_format": "srt"}, "include"),
    ],
)
def test_what_is_not_possible_names_the_field(
    running: Running, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        transcribe(running, **fields)
    assert caught.value.param == param


def test_translations_are_refused_with_a_sentence(running: Running) -> None:
    with pytest.raises(openai.BadRequestError, match="does not translate"):
        running.client().audio.translations.create(file=("a.wav", wav()), model="whisper-1")


def test_what_is_no_audio_is_unprocessable(running: Running) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        transcribe(running, data=b"not a recording at all")
    assert caught.value.code == "invalid_audio"
    assert "talk.wav" in str(caught.value)


def test_a_file_larger_than_memory_holds_is_read_from_disk(running: Running) -> None:
    assert transcribe(running, data=wav(70)).text.startswith("hello there.")  # 2.2 MB


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "no room on its disk"), (errno.EMFILE, "as many files")]
)
def test_a_disk_that_is_full_is_told_and_worth_another_try(
    running: Running, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(number, "told by the system")

    with monkeypatch.context() as patched:
        patched.setattr("tempfile.TemporaryFile", full)
        with pytest.raises(openai.InternalServerError, match=said) as caught:
            transcribe(running, data=wav(70))
    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "10"
    assert transcribe(running, data=wav(70)).text.startswith("hello there.")


def test_events_captions_and_questions(tmp_path: Path) -> None:
    def answer(request: Request) -> str:
        question = request.messages[0]["content"][-1]["text"]
        if "event" in question:
            return "0.10 - 0.60: dog barking"
        return f"You asked: {question}" if "?" in question else "A dog barks."

    files = {"file": ("a.wav", wav())}
    with serving(FakeEngine(answer)) as running:
        events = running.post("/v1/audio/events", files=files).json()
        srt = running.post("/v1/audio/events", files=files, data={"response_format": "srt"})
        caption = running.post("/v1/audio/captions", files=files).json()
        questions = running.post(
            "/v1/audio/questions", files=files, data={"question": ["Who?", "Why?"]}
        ).json()
        nothing = running.post("/v1/audio/questions", files=files)
    assert events["events"] == [{"label": "dog barking", "start": 0.1, "end": 0.6}]
    assert events["usage"]["output_tokens"] == 5
    assert srt.text.endswith("dog barking\n")
    assert caption["text"] == "A dog barks."
    assert [(one["question"], one["text"]) for one in questions["answers"]] == [
        ("Who?", "You asked: Who?"), ("Why?", "You asked: Why?"),
    ]  # fmt: skip
    assert nothing.status_code == 400
    assert json.loads(nothing.text)["error"]["param"] == "question"

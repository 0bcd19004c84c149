"""Conversations about clips, as OpenAI's own client asks for them."""

from __future__ import annotations

import base64
import json
from typing import Any

import openai
import pytest

from moss_audio.engine import Request
from tests.serve.conftest import FakeEngine, Running, serving, wav


def clip(seconds: float = 1.0) -> dict[str, Any]:
    data = base64.b64encode(wav(seconds)).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def address(url: str) -> dict[str, Any]:
    return {"type": "audio_url", "audio_url": {"url": url}}


def user(*parts: dict[str, Any], text: str = "What is said?") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def ask(running: Running, messages: list[dict[str, Any]], **options: Any) -> Any:
    create: Any = running.client().chat.completions.create
    return create(messages=messages, **{"model": "moss", **options})


def test_a_question_about_a_clip(running: Running, engine: FakeEngine) -> None:
    answer = ask(running, user(clip()), seed=3, stop="x", max_completion_tokens=7, temperature=0.5)
    (choice,) = answer.choices
    assert choice.message.content == "hello there"
    assert choice.finish_reason == "stop"
    assert answer.usage.prompt_tokens == 100
    assert answer.usage.prompt_tokens_details.audio_tokens == 13
    (request,) = engine.requests
    options = request.options
    assert (options.seed, options.stop, options.max_new_tokens) == (3, ("x",), 7)
    assert options.temperature == 0.5
    assert [part["type"] for part in request.messages[0]["content"]] == ["audio", "text"]


def test_several_clips_in_both_forms_keep_their_order(running: Running, engine: FakeEngine) -> None:
    uri = "data:audio/wav;base64," + base64.b64encode(wav(2)).decode()
    messages = [
        {"role": "developer", "content": "Be brief."},
        *user(clip(1), address(uri), text="Which is longer?"),
        {"role": "assistant", "content": "The second."},
        {"role": "user", "content": "Sure?"},
    ]
    answer = ask(running, messages)
    (request,) = engine.requests
    assert [len(samples) for samples in request.clips] == [16_000, 32_000]
    assert [message["role"] for message in request.messages] == [
        "system", "user", "assistant", "user",
    ]  # fmt: skip
    assert answer.usage.prompt_tokens_details.audio_tokens == 38


def test_a_conversation_without_sound(running: Running) -> None:
    assert ask(running, user(text="Hi?")).choices[0].message.content == "hello there"


def test_a_stream_with_its_usage(running: Running) -> None:
    chunks = list(ask(running, user(clip()), stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == "hello there"
    assert [chunk.choices[0].finish_reason for chunk in chunks[-3:-1]] == [None, "stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 102
    assert len({chunk.id for chunk in chunks}) == 1


def test_several_answers_whole_and_in_pieces(running: Running, engine: FakeEngine) -> None:
    whole = ask(running, user(clip()), n=3, seed=5, temperature=1.0)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    *chunks, last = ask(running, user(clip()), n=2, seed=5, temperature=1.0, stream=True,
                        stream_options={"include_usage": True})  # fmt: skip
    assert {chunk.choices[0].index for chunk in chunks} == {0, 1}
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (100, 4)
    assert [request.options.seed for request in engine.requests[1:]] == [5, 6]


def test_thinking_is_reasoning_content(running: Running, engine: FakeEngine) -> None:
    engine.answer = lambda _: "<think>\nA dog, I think.\n</think>\n\nA dog."
    answer = ask(running, user(clip()), reasoning_effort="low")
    assert answer.choices[0].message.content == "A dog."
    assert answer.choices[0].message.reasoning_content == "A dog, I think."
    chunks = list(ask(running, user(clip()), stream=True, extra_body={"thinking_budget": 9}))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "A dog."
    thought = "".join(getattr(delta, "reasoning_content", "") for delta in deltas)
    assert thought == "A dog, I think."
    assert [request.options.thinking for request in engine.requests] == [True, True]
    assert [request.options.thinking_budget for request in engine.requests] == [512, 9]


def test_log_probabilities_are_those_of_the_answer(running: Running, engine: FakeEngine) -> None:
    engine.answer = lambda _: "<think> hm </think> A dog."
    whole = ask(running, user(clip()), logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert [token.token for token in whole] == ["t3", "t4"]
    assert [token.logprob for token in whole] == [-0.5, -0.5]
    assert [len(token.top_logprobs) for token in whole] == [2, 2]
    assert bytes(whole[0].bytes) == b"t3"
    *_, last = ask(running, user(clip()), logprobs=True, stream=True)
    assert [token.token for token in last.choices[0].logprobs.content] == ["t3", "t4"]
    assert ask(running, user(clip())).choices[0].logprobs is None


def test_effort_none_does_not_think(running: Running, engine: FakeEngine) -> None:
    ask(running, user(clip()), reasoning_effort="none")
    assert engine.requests[0].options.thinking is False


def test_an_answer_that_was_cut_says_so() -> None:
    for reason in ("length", "repetition"):
        with serving(FakeEngine(reason=reason)) as running:
            assert ask(running, user(clip())).choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    "playlist",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>file:///etc/'
        b"passwd</BaseURL></MPD>",
    ],
)
def test_a_playlist_is_no_recording(running: Running, playlist: bytes) -> None:
    answer = running.post(
        "/v1/audio/transcriptions", files={"file": ("a.wav", playlist)}, data={"model": "moss"}
    )
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": "hi"}, "messages"),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"messages": [{"role": "user", "content": [7]}]}, "messages"),
        ({"messages": user(), "temperature": "hot"}, "temperature"),
        ({"messages": user(), "n": 99}, "n"),
        ({"messages": user(), "n": 0}, "n"),
        ({"messages": user(), "logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"messages": user(), "tools": [{"type": "function"}]}, "tools"),
        ({"messages": user(), "modalities": ["audio"]}, "modalities"),
        ({"messages": user(), "response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": user(), "max_tokens": 0}, "max_tokens"),
        ({"messages": user(), "max_completion_tokens": -1}, "max_completion_tokens"),
        ({"messages": user(), "stop": [""]}, None),
        ({"messages": user(text="\ud800")}, "messages"),
        ({"messages": [*user(), {"role": "assistant", "content": "so"}]}, "messages"),
    ],
)
def test_a_wrong_field_is_a_bad_request(
    running: Running, body: dict[str, Any], param: str | None
) -> None:
    answer = running.post(
        "/v1/chat/completions",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"messages": 1e999999}', b"nul"]
)
def test_what_is_no_json_is_a_bad_request(running: Running, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    assert running.post("/v1/chat/completions", content=body, headers=headers).status_code == 400


def test_a_clip_that_cannot_be_read_is_one_of_the_messages(running: Running) -> None:
    for stream in (False, True):
        data = base64.b64encode(b"no sound").decode()
        part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
        with pytest.raises(openai.UnprocessableEntityError, match="not an audio file") as caught:
            ask(running, [{"role": "user", "content": [part]}], stream=stream)
        assert caught.value.param == "messages"
        assert "messages.0.content.0" in str(caught.value)


def test_a_seed_may_be_below_0_as_openais(running: Running, engine: FakeEngine) -> None:
    ask(running, user(clip()), seed=-1)
    ask(running, user(clip()), seed=-2)
    seeds = [request.options.seed for request in engine.requests]
    assert min(seeds) >= 0
    assert seeds[0] != seeds[1]


def test_more_clips_than_are_taken(running: Running) -> None:
    with pytest.raises(openai.BadRequestError, match="at most 16 clips"):
        ask(running, user(*[clip(0.1)] * 17))


def test_what_does_not_fit_into_a_prompt(engine: FakeEngine) -> None:
    engine.max_positions = 600
    with (
        serving(engine) as running,
        pytest.raises(openai.UnprocessableEntityError, match="fit into one prompt"),
    ):
        ask(running, user(clip(60)))


def test_a_request_of_the_engine_is_what_the_processor_would_write(
    running: Running, engine: FakeEngine
) -> None:
    ask(running, user(clip(), text="Who?"))
    assert list(engine.requests[0].messages) == list(Request.question("Who?", object()).messages)


def begun(text: str) -> list[dict[str, Any]]:
    return [*user(clip()), {"role": "assistant", "content": text}]


@pytest.mark.parametrize(
    ("before", "written", "thought", "said"),
    [
        ("A dog", " barks.", "", " barks."),
        ("A dog ", "barks.", "", "barks."),
        ("<think>\n", "A dog.\n</think>\n\nYes.", "A dog.", "Yes."),
        ("<think>\nA", " dog.\n</think>\n\nYes.", " dog.", "Yes."),
        ("<think>\nA dog.\n</think>\n\nYes", ", a dog.", "", ", a dog."),
        ("<think>\nA dog.\n</think>\n\n", "Yes.", "", "Yes."),
    ],
)
def test_an_answer_that_is_begun_goes_on(
    running: Running, engine: FakeEngine, before: str, written: str, thought: str, said: str
) -> None:
    engine.answer = lambda _: written
    body = {"continue_final_message": True, "add_generation_prompt": False}
    message = ask(running, begun(before), extra_body=body).choices[0].message
    assert (getattr(message, "reasoning_content", ""), message.content) == (thought, said)
    deltas = [
        chunk.choices[0].delta
        for chunk in ask(running, begun(before), stream=True, extra_body=body)
    ]
    assert "".join(delta.content or "" for delta in deltas) == said
    assert "".join(getattr(delta, "reasoning_content", "") for delta in deltas) == thought
    for request in engine.requests:
        assert request.continues
        assert request.messages[-1] == {"role": "assistant", "content": before}


@pytest.mark.parametrize(
    ("messages", "fields", "said"),
    [
        (begun("so"), (True, True), "cannot be true together"),
        (user(), (True, False), "is not the assistant's"),
        (user(), (False, False), "there is no answer"),
        (begun("so"), (False, True), "set continue_final_message"),
    ],
)
def test_what_cannot_go_on_is_a_bad_request(
    running: Running, messages: list[dict[str, Any]], fields: tuple[bool, bool], said: str
) -> None:
    continues, opens = fields
    body = {"continue_final_message": continues, "add_generation_prompt": opens}
    with pytest.raises(openai.BadRequestError, match=said):
        ask(running, messages, extra_body=body)

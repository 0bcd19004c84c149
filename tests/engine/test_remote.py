"""The engine on a server, against one of this process that streams a local engine's answers."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moss_audio
from moss_audio.annotate.detectors.checkpoint import CheckpointDetector
from moss_audio.annotate.tools.speech.moss import MossAligner, MossConfig, SharedMoss
from moss_audio.cli import main
from moss_audio.endpoint import BrokenAnswerError, EndpointError, EndpointRefusedError
from moss_audio.engine.base import GenerationOptions, Request
from moss_audio.engine.remote import RemoteEngine
from moss_audio.engine.served import ServedCheckpoint
from moss_audio.errors import AudioError, CheckpointError, MossAudioError, PromptError
from moss_audio.recordings import load_audio
from tests.engine.conftest import noise
from tests.evaluate import layouts
from tests.served_engine import EngineServer, engine_server

RATE = 16_000


@pytest.fixture
def server(engine: Any) -> Iterator[EngineServer]:
    with engine_server(engine, max_model_len=700, root="/models/micro") as one:
        yield one


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moss_audio.endpoint.http._FIRST_PAUSE_S", 0.0)


def remote(server: EngineServer, *, batch_size: int = 4, **options: Any) -> RemoteEngine:
    return RemoteEngine(ServedCheckpoint.open(server.url, **options), batch_size=batch_size)


def question(text: str, *clips: Any, **options: Any) -> Request:
    return Request.question(text, *clips, options=GenerationOptions(max_new_tokens=12, **options))


def event(**choice: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


BROKEN = event(delta={"content": "half an ans"})


def test_what_a_server_says_of_a_checkpoint(server: EngineServer) -> None:
    found = ServedCheckpoint.open(server.url)
    assert (found.name, found.max_positions) == (f"{server.url}#moss", 700)
    assert (found.times, found.thinks) == ("written", False)
    assert replace(found, root="/models/MOSS-Audio-8B-Thinking").thinks
    assert found.fingerprint == ServedCheckpoint.open(f"{server.url}#moss").fingerprint
    assert found.fingerprint != replace(found, root="/models/other").fingerprint
    server.models += [{"id": "judge"}]
    assert ServedCheckpoint.open(server.url, "judge").max_positions is None
    with pytest.raises(CheckpointError, match=r"which model is meant; served: 'moss', 'judge'"):
        ServedCheckpoint.open(server.url)
    with pytest.raises(
        CheckpointError, match=r"'mos' is not served there; served: 'moss', 'judge'"
    ):
        ServedCheckpoint.open(f"{server.url}#mos")
    with pytest.raises(CheckpointError, match="also named 'judge'; name it once"):
        ServedCheckpoint.open(f"{server.url}#moss", "judge")


@pytest.mark.parametrize(
    "options",
    [{}, {"thinking": False}, {"stop": ("e",)}, {"stop_repetition": True},
     {"temperature": 0.9, "top_p": 0.8, "top_k": 7, "seed": 5, "num_return_sequences": 3}],
)  # fmt: skip
def test_answers_are_those_of_the_engine_behind_the_server(
    server: EngineServer, options: dict[str, Any]
) -> None:
    loud = noise(1.3, 7) * 12  # beyond full scale, and between the steps of 16 bits
    requests = [
        question("What is heard?", noise(0.5), **options),
        question("Compare.", loud, noise(0.01, 2), **options),
        question("Say <|im_end|> twice.", **options),
        Request(
            (
                {"role": "system", "content": "Short."},
                {"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": "And?"}]},
                {"role": "assistant", "content": "This."},
                {"role": "user", "content": [{"type": "text", "text": t} for t in ("So", "?")]},
            ),
            (noise(0.7, 3),),
            GenerationOptions(max_new_tokens=12, **options),
        ),
    ]
    assert remote(server).generate(requests) == server.engine.generate(requests)


def test_clips_travel_without_loss(server: EngineServer) -> None:
    sound = np.array([1e-9, -1.7, 0.1, 1 / 3] * 80, np.float32)
    engine = remote(server)
    handle = engine.encode(sound)
    assert handle is engine.encode(handle)
    engine.generate([question("?", handle)])
    [sent] = [server.asked[-1]["messages"][0]["content"][0]["input_audio"]["data"]]
    assert sent == handle.data
    assert np.array_equal(load_audio(base64.b64decode(sent)).samples, sound)


def test_a_stream_comes_in_pieces_and_a_session_asks_again(server: EngineServer) -> None:
    engine = remote(server)
    asked = question("What is heard?", noise(0.5))
    whole = server.engine.generate([asked])[0]
    pieces = list(engine.stream(asked))
    assert len(pieces) > 1
    assert "".join(pieces) == whole.text
    session = engine.open(noise(0.5))
    assert session.ask("What is heard?", asked.options) == whole
    assert "".join(session.stream("What is heard?", asked.options)) == whole.text
    session.close()
    with pytest.raises(MossAudioError, match="a stream gives one answer"):
        engine.stream(question("?", num_return_sequences=2))


def test_log_probabilities_are_those_of_the_engine_behind_the_server(server: EngineServer) -> None:
    asked = question("What is heard?", noise(0.5), logprobs=2)
    here, there = (one.generate([asked])[0] for one in (server.engine, remote(server)))
    assert here.logprobs
    assert there.logprobs
    for ours, theirs in zip(here.logprobs, there.logprobs, strict=True):
        assert replace(theirs, end=ours.end) == ours
    assert there.logprobs[-1].end == len(there.text)
    server.token_ids = False
    with pytest.raises(EndpointError, match="gives no log-probabilities by id"):
        remote(server).generate([asked])


def test_tokens_of_one_chunk_share_its_text_by_their_bytes(
    server: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chunks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for text in (["A", "ü"], ["zo"], []):
            told = [
                {"token": f"token_id:{len(one)}", "logprob": -1.0, "bytes": list(one.encode())}
                for one in text
            ]
            choice = {"delta": {"content": "".join(text)}, "logprobs": {"content": told}}
            choice["token_ids"] = [len(one) for one in text]
            yield {"choices": [choice if text else {"finish_reason": "length"}]}

    monkeypatch.setattr(server, "chunks", chunks)
    answer = remote(server).generate([question("?", logprobs=0)])[0]
    assert [(one.token_id, one.end) for one in answer.logprobs or ()] == [(1, 1), (1, 2), (2, 4)]


def test_requests_under_way_are_bounded_over_all_threads(server: EngineServer) -> None:
    server.faults += [0.05] * 12
    engine = remote(server, batch_size=3)
    requests = [question(f"{i}?") for i in range(6)]
    seen: list[int] = []
    threads = [
        threading.Thread(target=lambda: engine.generate(requests, lambda i, _: seen.append(i)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted([*range(6)] * 2)
    assert 2 <= server.most_open <= 3


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("fault", [429, 500, 503, BROKEN, b""])
def test_what_goes_wrong_for_a_moment_is_asked_again(server: EngineServer, fault: Any) -> None:
    asked = question("What is heard?", noise(0.5))
    server.faults += [fault]
    assert remote(server).generate([asked]) == server.engine.generate([asked])
    assert len(server.asked) == 2


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("faults", "kind", "said"),
    [
        ([429] * 3, EndpointError, r"too many requests \(429: status 429\), even at attempt 3"),
        ([401], EndpointRefusedError, r"the key in OPENAI_API_KEY is missing or refused \(401"),
        ([403], EndpointRefusedError, r"the key in OPENAI_API_KEY is missing or refused \(403"),
        ([400], EndpointError, r"the request is refused \(400: status 400\)"),
        ([500] * 3, EndpointError, r"the server failed \(500: status 500\)"),
        ([BROKEN] * 3, BrokenAnswerError, "the answer broke off before its end"),
        ([b"data: {nonsense\n\n"], EndpointError, r"the answer is not JSON; .* ending in /v1\?"),
        ([b"data: [1]\n\n"], EndpointError, "not that of OpenAI's protocol: a chunk that is no"),
        ([b'data: {"choices": [3]}\n\n'], EndpointError, r"protocol: \{'choices': \[3\]\}"),
        ([b"data: [DONE]\n\n"], EndpointError, "ended without a finish_reason"),
        ([event(finish_reason="abort")], EndpointError, "the answer ended by 'abort'"),
        ([b'data: {"error": {"message": "out of\\nmemory"}}\n\n'] * 3, BrokenAnswerError,
         "out of memory"),
    ],
)  # fmt: skip
def test_every_failure_is_one_line(
    server: EngineServer, faults: list[Any], kind: type[Exception], said: str
) -> None:
    server.faults += faults
    with pytest.raises(kind, match=rf"http://127\.0\.0\.1:\d+/v1, model 'moss': .*{said}") as error:
        remote(server).generate([question("?")])
    assert "\n" not in str(error.value)
    assert not server.faults


def test_a_slow_server_is_given_up(server: EngineServer) -> None:
    server.faults += [1.0]
    with pytest.raises(EndpointError, match=r"no answer within 0\.2 s"):
        remote(server, timeout_s=0.2).generate([question("?")])


def test_one_bad_request_does_not_stop_the_others_and_a_refused_key_does(
    server: EngineServer,
) -> None:
    requests = [question(f"{i}?") for i in range(5)]
    server.faults += [None, 400]
    seen: list[int] = []
    with pytest.raises(EndpointError, match="400"):
        remote(server).generate(requests, lambda i, _: seen.append(i))
    assert len(seen) == 4
    server.faults += [401]
    begun = len(server.asked)
    with pytest.raises(EndpointRefusedError, match="401"):
        remote(server, batch_size=1).generate(requests)
    time.sleep(0.05)
    assert len(server.asked) - begun == 1


@pytest.mark.parametrize(
    ("request_", "kind", "said"),
    [(question("?", noise(60)), PromptError, "750 positions, but the server takes 700 in all"),
     (question("?", "a.wav"), AudioError, "clip 0 is a str"),
     (question("?", noise(0.001)), AudioError, "too short"),
     (Request(({"role": "user", "content": "?"},), (noise(1),)), PromptError, "0 audio parts"),
     (Request(({"role": "user", "content": "?"}, {"role": "assistant", "content": "!"})),
      PromptError, "end with a user message")],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_before_anything_is_asked(
    server: EngineServer, request_: Request, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        remote(server).generate([question("?"), request_])
    assert server.asked == []


def test_a_loop_is_ended_here(server: EngineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def chunks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number in range(100_000):
            written.append(number)
            delta = {"content": "la "}
            yield {"choices": [{"delta": delta}]}
            time.sleep(0.001)

    monkeypatch.setattr(server, "chunks", chunks)
    answer = remote(server).generate([question("?", stop_repetition=True)])[0]
    assert (answer.text, answer.finish_reason) == ("la " * 64, "repetition")
    assert answer.token_ids == ()
    time.sleep(0.1)
    count = len(written)
    time.sleep(0.1)
    assert len(written) == count < 1000  # the server heard that nobody listens


def thinking(said: list[list[str]]) -> Any:
    """A model that says these tokens, one list a request."""

    def chunks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number, token in enumerate(said.pop(0)):
            yield {"choices": [{"delta": {"content": token}, "token_ids": [number]}]}
        yield {"choices": [{"delta": {}, "finish_reason": "stop", "token_ids": [99]}]}

    return chunks


def test_thinking_is_opened_and_closed_with_our_words(
    server: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [["so", " it", " is", " so"], ["Yes."]]
    monkeypatch.setattr(server, "chunks", thinking(said))
    answer = remote(server).generate([question("?", thinking=True, thinking_budget=2)])[0]
    closed = "\n\nThat is enough thought; I answer with what I have.\n</think>\n\n"
    assert answer.text == f"<think>\nso it{closed}Yes."
    first, second = server.asked
    for body, text in ((first, "<think>\n"), (second, f"<think>\nso it{closed}")):
        assert body["messages"][-1] == {"role": "assistant", "content": text}
        assert (body["add_generation_prompt"], body["continue_final_message"]) == (False, True)
    assert (first["max_tokens"], second["max_tokens"]) == (12, 10)


def test_a_thinking_budget_ends_within_a_chunk_of_several_tokens(
    server: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [["so", " it", " is", " so"], ["Yes."]]

    def chunks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        tokens = said.pop(0)
        told = [
            {"token": f"token_id:{i}", "logprob": -1.0, "bytes": list(one.encode())}
            for i, one in enumerate(tokens)
        ]
        choice = {"delta": {"content": "".join(tokens)}, "token_ids": [*range(len(tokens))]}
        yield {"choices": [{**choice, "logprobs": {"content": told}, "finish_reason": "stop"}]}

    monkeypatch.setattr(server, "chunks", chunks)
    answer = remote(server).generate([question("?", thinking=True, thinking_budget=2)])[0]
    closed = "\n\nThat is enough thought; I answer with what I have.\n</think>\n\n"
    assert answer.text == f"<think>\nso it{closed}Yes."
    assert answer.token_ids[:2] == (0, 1)
    assert server.asked[1]["max_tokens"] == 10


def test_thoughts_that_the_server_sends_apart_are_put_before_the_answer(
    server: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chunks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for delta in ({"reasoning": "it"}, {"reasoning": " is"}, {"content": "\n\nYes"}, {}):
            yield {"choices": [{"delta": delta, "finish_reason": None if delta else "stop"}]}

    monkeypatch.setattr(server, "chunks", chunks)
    answer = remote(server).generate([question("?")])[0]
    assert answer.text == "<think>\nit is\n</think>\n\nYes"


def test_the_api_is_the_same_on_an_address(server: EngineServer, tmp_path: Path) -> None:
    model = moss_audio.load(server.url, window_s=3.0)
    assert model.window_s == 3.0
    assert server.url in repr(model)
    assert len(model.fingerprint) == 64
    short = {"max_new_tokens": 6}
    here = moss_audio.MossAudio(server.engine, model.checkpoint)
    clips = [(noise(2.0), RATE), (noise(1.0, 2), RATE)]
    for task in ("transcribe", "events", "caption"):
        assert getattr(model, task)(clips, **short) == getattr(here, task)(clips, **short)
    assert model.ask(clips[0], ["a?", "b?"], **short) == here.ask(clips[0], ["a?", "b?"], **short)
    assert "".join(model.stream(clips[0], "a?", **short)) == here.ask(clips[0], "a?", **short).raw
    long = (noise(8.0), RATE)
    assert len(list(model.listen([model.query("caption", long, **short)], parts=True))) > 2
    assert model.transcribe(clips[0], "word", **short).words == ()
    with pytest.raises(MossAudioError, match=r"a server keeps to itself: take times='written'"):
        model.transcribe(clips[0], "word", times="refined")


@pytest.mark.parametrize(
    ("options", "said"),
    [({"device": "cpu"}, "device='cpu': the server at http://127.* decides that"),
     ({"dtype": "float32"}, "dtype='float32': the server at http://127.* decides that"),
     ({"retries": "x"}, "retries must be 0 or more, got 'x'"),
     ({"timeout_s": None}, "timeout_s must be above 0 seconds, got None"),
     ({"models": "x"}, "unexpected keyword argument 'models'")],
)  # fmt: skip
def test_options_that_a_server_does_not_have(
    server: EngineServer, options: dict[str, Any], said: str
) -> None:
    with pytest.raises((MossAudioError, TypeError), match=said):
        moss_audio.load(server.url, **options)


def test_options_that_only_a_server_has() -> None:
    with pytest.raises(MossAudioError, match="key_env='K': only for a server"):
        moss_audio.load("nano", key_env="K")
    with pytest.raises(TypeError, match="unexpected keyword argument 'keyenv'"):
        moss_audio.load("nano", keyenv="K")


def test_the_command_takes_an_address_and_goes_on_past_a_bad_item(
    server: EngineServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((noise(0.5) * 32767).astype("<i2").tobytes())
    server.faults += [400, None, None, 400]  # in the batch, and again alone
    arguments = ["caption", str(tmp_path), "--model", f"{server.url}#moss", "--batch-size", "1"]
    arguments += ["--max-new-tokens", "4", "--format", "json", "-o", str(tmp_path / "out")]
    assert main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "request is refused (400: status 400)" in lines[0]
    assert lines[-1] == "2 of 3 files done, 1 failed"
    assert len(server.asked) == 4  # what was answered is not asked again


def test_the_command_needs_nothing_but_the_base_packages(server: EngineServer) -> None:
    without = ("torch", "transformers", "onnxruntime", "openai", "httpx", "httpx2", "requests")
    program = f"import sys; sys.modules |= dict.fromkeys({without})\n"
    program += "from moss_audio.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["caption", "examples/speech.wav", "--model", server.url, "--max-new-tokens", "5"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    here = moss_audio.MossAudio(server.engine, ServedCheckpoint.open(server.url))
    assert done.stdout.strip() == here.caption("examples/speech.wav", max_new_tokens=5).text


@pytest.mark.parametrize(
    ("address", "said"),
    [("http://127.0.0.1:9/v1", "cannot be reached"), ("{url}#nope", "'nope' is not served there")],
)
def test_the_command_says_in_one_line_what_is_wrong(
    server: EngineServer, capsys: pytest.CaptureFixture[str], address: str, said: str
) -> None:
    model = address.format(url=server.url)
    assert main(["ask", "examples/speech.wav", "-q", "?", "--model", model]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert said in line


def test_the_data_engine_asks_an_address(server: EngineServer) -> None:
    fingerprint = ServedCheckpoint.open(server.url).fingerprint
    detector = CheckpointDetector(f"{server.url}#moss")
    assert fingerprint[:16] in detector.version
    assert isinstance(detector.detect(noise(1.0)), list)
    shared = SharedMoss(MossConfig(server.url))
    assert isinstance(shared.model.transcribe((noise(1.0), RATE), max_new_tokens=4).text, str)
    assert shared.version == SharedMoss(MossConfig(server.url)).version
    assert shared.version != SharedMoss(MossConfig(f"{server.url}#moss")).version
    with pytest.raises(MossAudioError, match="a server keeps to itself"):
        MossAligner(shared).load()


def test_an_evaluation_asks_an_address(
    server: EngineServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.librispeech(tmp_path / "data/read")
    arguments = ["evaluate", server.url, "--suite", "asr", "--data", str(tmp_path / "data")]
    server.models[0]["max_model_len"] = 2000
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    asked = len(server.asked)
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["model_hash"] == moss_audio.load(server.url).fingerprint
    assert asked
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert len(server.asked) == asked  # resumed: nothing is asked again


def endless(seen: list[str]) -> Any:
    """A model that writes until nobody listens."""

    def chunks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        try:
            for number in range(100_000):
                yield {"choices": [{"delta": {"content": f"{number} "}}]}
                time.sleep(0.002)
        finally:
            seen.append("closed")

    return chunks


def until(condition: Any) -> None:
    end = time.monotonic() + 5.0
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def test_cancelling_hangs_up_and_the_server_sees_it(
    server: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(server, "chunks", endless(seen))
    engine = remote(server, batch_size=1)
    running = engine.submit(question("?"), pieces=True)
    waiting = engine.submit(question("And then?"))
    assert next(iter(running)) == "0 "
    waiting.cancel()  # which is not begun
    with pytest.raises(CancelledError):
        waiting.result(0)
    running.cancel()
    with pytest.raises(CancelledError):
        running.result(0)
    until(lambda: seen == ["closed"])
    assert len(server.asked) == 1


def test_cancelling_ends_the_wait_for_a_first_token_and_for_another_attempt(
    server: EngineServer,
) -> None:
    server.faults += [5.0]
    engine = remote(server, batch_size=1)
    silent = engine.submit(question("?"))
    until(lambda: server.asked)
    silent.cancel()
    server.faults += [503]  # which is tried again half a second later
    failing = engine.submit(question("And then?"))
    until(lambda: len(server.asked) == 2)
    failing.cancel()
    assert engine.submit(question("At last?")).result(4.0).text  # there is a place for it
    assert len(server.asked) == 3


def test_half_of_the_places_stay_free_of_what_may_wait(server: EngineServer) -> None:
    server.faults += [0.2] * 6
    engine = remote(server, batch_size=4)
    behind = [engine.submit(replace(question(f"{i}?"), priority=-1)) for i in range(6)]
    until(lambda: len(server.asked) == 2)
    server.faults[:0] = [None]
    assert engine.submit(question("Now?")).result(4.0).text
    assert len(server.asked) <= 5
    assert all(handle.result(5.0).text for handle in behind)

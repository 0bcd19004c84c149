"""The client of OpenAI-compatible servers, against a small server of this process."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from moss_audio import settings
from moss_audio.endpoint import (
    Endpoint,
    EndpointError,
    EndpointRefusedError,
    json_object,
)
from moss_audio.errors import MossAudioError

ASK = [{"role": "user", "content": "How many?"}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
def server():
    """Answers with `replies` in turn: a text, a status (with what it says in Retry-After), a whole
    body as a mapping or bytes, or a number of seconds before the next."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(200, json.dumps({"data": [{"id": "m"}, {"id": "n"}]}).encode())

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            http.asked.append((self.path, self.headers["Authorization"], body))
            reply, wait = http.replies.pop(0), None
            if isinstance(reply, float):
                time.sleep(reply)
                reply = http.replies.pop(0)
            if isinstance(reply, tuple):
                reply, wait = reply
            if isinstance(reply, int):
                whole = {"error": {"message": "first line\nsecond line"}}
                return self.answer(reply, json.dumps(whole).encode(), wait)
            message = {"role": "assistant", "content": reply}
            if isinstance(reply, str):
                reply = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
            self.answer(200, reply if isinstance(reply, bytes) else json.dumps(reply).encode())

        def answer(self, status, said, wait=None):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            if wait is not None:
                self.send_header("Retry-After", wait)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):
                self.wfile.write(said)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.asked, http.replies = [], []
    http.url = f"http://127.0.0.1:{http.server_port}/v1"
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    yield http
    http.shutdown()
    http.server_close()


def client(server, **changes):
    return Endpoint(server.url, "m", **{"retries": 0, **changes}).connect("A test")


def bodies(server):
    return [json.loads(body) for _, _, body in server.asked]


def test_an_answer_with_the_key_of_the_environment(server, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    server.replies += ["Three."]
    assert client(server, key_env="MY_KEY").chat(ASK, max_tokens=9) == "Three."
    assert server.asked[0][:2] == ("/v1/chat/completions", "Bearer secret")
    assert bodies(server)[0] == {
        "model": "m", "messages": ASK, "temperature": 0.0, "max_tokens": 9
    }  # fmt: skip
    assert "secret" not in repr(Endpoint(key_env="MY_KEY"))


def test_a_schema_is_sent_and_a_server_that_knows_none_is_asked_without(server):
    one = client(server)
    server.replies += ['{"n": 3}']
    assert json_object(one.chat(ASK, schema=SCHEMA)) == {"n": 3}
    assert bodies(server)[0]["response_format"]["json_schema"]["schema"] == SCHEMA
    server.replies += [400, '```json\n{"n": 4}\n```', '{"n": 5}']
    assert json_object(one.chat(ASK, schema=SCHEMA)) == {"n": 4}
    assert json_object(one.chat(ASK, schema=SCHEMA)) == {"n": 5}
    assert ["response_format" in body for body in bodies(server)] == [True, True, False, False]


def test_a_reply_that_cannot_be_read_is_asked_for_again_with_what_was_wrong(server):
    server.replies += ["three", '{"n": 3}', "no", "[]"]
    found = client(server).ask(ASK, json_object)
    assert (found.value, found.replies, found.problem) == ({"n": 3}, ("three", '{"n": 3}'), "")
    last = bodies(server)[1]["messages"]
    assert [m["role"] for m in last] == ["user", "assistant", "user"]
    assert "(not JSON)" in last[-1]["content"]
    found = client(server).ask(ASK, json_object)
    assert (found.value, found.problem) == (None, "not a JSON object")


def test_what_the_network_loses_is_asked_for_again(server):
    server.replies += [503, "Three."]
    assert client(server, retries=1).chat(ASK) == "Three."
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [(401, EndpointRefusedError, r"the key in OPENAI_API_KEY is missing or refused \(401: first"),
     (403, EndpointRefusedError, r"the key in OPENAI_API_KEY is missing or refused \(403"),
     (404, EndpointRefusedError, r"not found \(404: .*\); served there: 'm', 'n'"),
     (400, EndpointError, r"the request is refused \(400: first line second line\)"),
     (413, EndpointError, r"the request is refused \(413"),
     (429, EndpointError, r"too many requests \(429: .*even at attempt 1"),
     (500, EndpointError, r"the server failed \(500: first line second line\)"),
     (302, EndpointError, r"the request is refused \(302")],
)  # fmt: skip
def test_errors_are_one_line_and_say_what_to_do(server, status, kind, said):
    server.replies += [status]
    with pytest.raises(kind, match=rf"127\.0\.0\.1:\d+/v1, model 'm': {said}") as error:
        client(server).chat(ASK)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("reply", [b"<html>hello</html>", b"[1, 2]", b'{"choices": [7]}'])
def test_an_answer_that_is_not_the_protocol(server, reply):
    server.replies += [reply]
    with pytest.raises(EndpointError, match=r"model 'm': .*(not JSON.*v1\?|OpenAI's protocol)"):
        client(server).chat(ASK)


def test_a_server_that_is_not_there():
    with pytest.raises(
        EndpointError, match=r"127\.0\.0\.1:9/v1.*Connection refused.*the server run"
    ):
        Endpoint("http://127.0.0.1:9/v1", "m", retries=0).connect("A test").chat(ASK)


def test_a_slow_server_is_given_up_after_the_time_limit_once(server):
    server.replies += [0.6, "late"]
    with pytest.raises(EndpointError, match=r"no answer within 0\.1 s"):
        client(server, timeout_s=0.1, retries=3).chat(ASK)
    assert len(server.asked) == 1


def test_a_pause_that_the_server_asks_for_is_kept(server, monkeypatch):
    pauses = []
    monkeypatch.setattr("moss_audio.endpoint.line.CallLine.pause", lambda _, s: pauses.append(s))
    server.replies += [(429, "7"), (503, "Wed, 21 Oct 2015 07:28:00 GMT"), (429, "3600"), "Three."]
    assert client(server, retries=3).chat(ASK) == "Three."
    assert pauses == [7.0, 0.0, 2.0]  # an hour is too long: the growing pause instead


def test_a_key_never_shows(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " secret\n")
    server.replies += ["Three."]
    assert client(server).chat(ASK) == "Three."
    assert server.asked[0][1] == "Bearer secret"
    monkeypatch.setenv("OPENAI_API_KEY", "sec\nret")
    with pytest.raises(MossAudioError, match="OPENAI_API_KEY holds characters that no key has"):
        client(server)


def test_a_transcript(server):
    server.replies += [{"text": " Hello. "}, {"words": []}]
    one = client(server)
    assert one.transcribe(b"RIFF", "a.wav", language="en") == " Hello. "
    assert server.asked[0][0] == "/v1/audio/transcriptions"
    assert b'filename="a.wav"' in server.asked[0][2]
    with pytest.raises(EndpointError, match="no 'text'"):
        one.transcribe(b"RIFF", "a.wav")


def test_address_and_model_of_the_environment(server, monkeypatch):
    for name in ("OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MossAudioError, match="A test needs url and model"):
        Endpoint().connect("A test")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_MODEL", "m")
    server.replies += ["Three."]
    assert Endpoint().connect("A test").chat(ASK) == "Three."


@pytest.mark.parametrize(
    ("values", "problem"),
    [({"base_url": "u"}, "x.base_url is now called url"),
     ({"api_key_env": "K"}, "x.api_key_env is now called key_env"),
     ({"api_key_variable": "K"}, "x.api_key_variable is now called key_env"),
     ({"timeout_s": 0}, "x: timeout_s must be above 0"),
     ({"retries": -1}, "x: retries must be 0 or more")],
)  # fmt: skip
def test_settings_of_an_earlier_version_are_named(values, problem):
    problems = []
    settings.build(Endpoint, values, "x", problems)
    assert problems[0].startswith(problem)

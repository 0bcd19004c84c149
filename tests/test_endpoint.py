"""The client of OpenAI-compatible servers, against a small server of this process."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from moss_audio import settings
from moss_audio.endpoint import (
    Endpoint,
    EndpointError,
    EndpointRefusedError,
    json_object,
)
from moss_audio.errors import MissingDependencyError, MossAudioError

pytest.importorskip("openai")
ASK = [{"role": "user", "content": "How many?"}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
def server():
    """Answers with `replies` in turn: a text, a status, or a whole body as a mapping."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            http.asked.append((self.path, self.headers["Authorization"], body))
            reply = http.replies.pop(0)
            status = reply if isinstance(reply, int) else 200
            message = {"role": "assistant", "content": reply}
            whole = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
            if status != 200:
                whole = {"error": {"message": "first line\nsecond line"}}
            said = json.dumps(reply if isinstance(reply, dict) else whole).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
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
    ("status", "kind"),
    [(401, EndpointRefusedError), (403, EndpointRefusedError), (404, EndpointRefusedError),
     (400, EndpointError), (500, EndpointError)],
)  # fmt: skip
def test_errors_are_one_line_and_say_whether_another_request_may_fare_better(server, status, kind):
    server.replies += [status]
    with pytest.raises(kind, match=r"127\.0\.0\.1.*'m'.*OPENAI_API_KEY") as error:
        client(server).chat(ASK)
    assert "\n" not in str(error.value)


def test_a_server_that_is_not_there():
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:9"):
        Endpoint("http://127.0.0.1:9/v1", "m", retries=0).connect("A test").chat(ASK)


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


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingDependencyError, match=r"pip install .\.\[eval\]"):
        Endpoint("http://h/v1", "m").connect("A test", extra="eval")


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

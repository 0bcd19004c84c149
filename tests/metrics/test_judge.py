import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from moss_audio.endpoint import Endpoint
from moss_audio.errors import MossAudioError
from moss_audio.metrics.judge import (
    FIELDS,
    HIGHEST,
    LOWEST,
    SpeechCaptionJudge,
    _prompt,
    parse_ratings,
)

GOOD = json.dumps(dict.fromkeys(FIELDS, 4) | {"summary": 2})


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "secret")


@pytest.fixture
def server():
    """A local endpoint: answers with `replies` in turn (the last one for ever), keeps requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                requests.append((self.path, self.headers["Authorization"], body))
                reply = replies.pop(0) if len(replies) > 1 else replies[0]
            reply = reply(body) if callable(reply) else reply
            status = reply if isinstance(reply, int) else 200
            message = {"role": "assistant", "content": reply}
            answer = json.dumps(
                {
                    "id": "1", "object": "chat.completion", "created": 0, "model": "stub",
                    "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                }
                if status == 200
                else {"error": {"message": "wrong key"}}
            ).encode()  # fmt: skip
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    lock, requests, replies = threading.Lock(), [], [GOOD]
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    http.url, http.requests, http.replies = (
        f"http://127.0.0.1:{http.server_port}/v1", requests, replies,
    )  # fmt: skip
    yield http
    http.shutdown()
    http.server_close()


def rate(server, *pairs, cache=None):
    judge = SpeechCaptionJudge(Endpoint(server.url, "stub", key_env="JUDGE_KEY"), cache_dir=cache)
    return judge.rate([({"tone": reference}, candidate) for reference, candidate in pairs])


def test_a_verdict(server):
    judge = SpeechCaptionJudge(Endpoint(server.url, "stub", key_env="JUDGE_KEY"))
    (result,) = judge.rate([({"gender": "female", "age": "old"}, "An old woman.")])
    assert result == json.loads(GOOD)
    (path, key, body) = server.requests[0]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"]) == ("stub", 0.0)
    assert "gender: female\nage: old" in body["messages"][1]["content"]
    assert body["messages"][1]["content"].endswith("An old woman.")


def test_a_verdict_kept_by_an_earlier_version_is_found(server, tmp_path):
    rate(server, ("a", "b"), cache=tmp_path)
    request = server.requests[0][2]
    whole = {"base_url": server.url, **{k: request[k] for k in
             ("model", "temperature", "max_tokens", "messages")}}  # fmt: skip
    name = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
    assert (tmp_path / name[:2] / f"{name}.json").is_file()


def test_one_retry_then_a_failure_that_is_no_score(server):
    server.replies[:] = ["great!", GOOD]
    assert rate(server, ("a", "b")) == [json.loads(GOOD)]
    assert [len(body["messages"]) for _, _, body in server.requests] == [2, 4]
    server.replies[:] = ["great!"]
    assert rate(server, ("a", "b")) == [None]
    assert len(server.requests) == 4


def test_verdicts_and_failures_are_kept_by_content(server, tmp_path):
    pairs = [("a", "b"), ("a", "c")]
    server.replies[:] = [lambda body: GOOD if body["messages"][1]["content"][-1] == "b" else "no"]
    first = rate(server, *pairs, cache=tmp_path)
    assert first == [json.loads(GOOD), None]
    assert rate(server, *pairs, cache=tmp_path) == first
    assert len(server.requests) == 3
    rate(server, *pairs, ("other", "b"), cache=tmp_path)
    assert len(server.requests) == 4
    files = sorted(tmp_path.rglob("*.json"))
    assert len(files) == 3
    assert "secret" not in "".join(f.read_text() for f in files)
    server.replies[:] = [GOOD]
    files[0].write_text("{half")  # damaged: asked again
    rate(server, *pairs, ("other", "b"), cache=tmp_path)
    assert len(server.requests) == 5
    assert not list(tmp_path.rglob("*.part"))


def test_results_keep_the_order_of_the_pairs(server):
    def reply(body):
        return json.dumps(dict.fromkeys(FIELDS, int(body["messages"][1]["content"][-1])))

    server.replies[:] = [reply]
    results = rate(server, *(("a", str(i)) for i in (3, 1, 5, 2, 4)))
    assert [r["tone"] for r in results] == [3, 1, 5, 2, 4]


def test_a_refusing_endpoint_is_an_error_in_one_line(server):
    server.replies[:] = [401]
    with pytest.raises(MossAudioError, match=r"127\.0\.0\.1.*'stub'.*key in JUDGE_KEY") as error:
        rate(server, ("a", "b"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gender": 6}, "gender must be"),
        ({"gender": 3.0}, "gender must be"),
        ({"gender": True}, "gender must be"),
        ({"gender": "4"}, "gender must be"),
        ({"hair": 3}, "unknown keys"),
    ],
)
def test_ratings_are_read_strictly(change, message):
    with pytest.raises(MossAudioError, match=message):
        parse_ratings(json.dumps({**json.loads(GOOD), **change}))


def test_what_may_stand_around_the_json():
    assert parse_ratings(f"<think>hm</think>\n```json\n{GOOD}\n```")["summary"] == 2
    for wrong in (f"Here: {GOOD}", GOOD[:-1], "[]", "", "[" * 100_000):
        with pytest.raises(MossAudioError, match="JSON"):
            parse_ratings(wrong)


def test_the_judge_is_told_every_field_and_the_scale() -> None:
    told = _prompt()
    assert f"each of these {len(FIELDS)} aspects:\n{', '.join(FIELDS)} (" in told
    assert all(f"\n{rating}  " in told for rating in range(LOWEST, HIGHEST + 1))

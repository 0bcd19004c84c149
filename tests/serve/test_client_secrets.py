"""Keys that end soon: what they open, what they bring with them, and for how long."""

from __future__ import annotations

import time
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from moss_audio.serve.config import Limits
from moss_audio.serve.ephemeral import EphemeralKeys
from moss_audio.serve.errors import ApiError
from tests.serve.conftest import FakeEngine, serving, wait_for
from tests.serve.test_realtime import receive, socket

SECRETS = "/v1/realtime/client_secrets"
AGENT: dict[str, Any] = {
    "type": "realtime",
    "instructions": "Be brief.",
    "output_modalities": ["text"],
    "audio": {"input": {"turn_detection": None}},
}


def test_a_page_talks_with_a_key_that_openais_client_made() -> None:
    with serving(FakeEngine(), keys=("sesame", "other"), limits=Limits(sessions=2)) as running:
        secret = running.client("sesame").realtime.client_secrets.create(
            expires_after={"anchor": "created_at", "seconds": 60}, session=AGENT  # type: ignore[arg-type]
        )  # fmt: skip
        assert secret.value.startswith("ek_")
        assert secret.expires_at == pytest.approx(time.time() + 60, abs=5)
        assert secret.session.type == "realtime"
        assert secret.session.instructions == "Be brief."
        protocols: Any = ["realtime", f"openai-insecure-api-key.{secret.value}"]
        with socket(running, "", subprotocols=protocols) as client:
            shown = receive(client, "session.created")["session"]
            assert shown["instructions"] == "Be brief."
            assert shown["audio"]["input"]["turn_detection"] is None
            with pytest.raises(InvalidStatus) as caught:  # the share is that of the key behind it
                socket(running, "", additional_headers={"authorization": "Bearer sesame"})
            assert caught.value.response.status_code == 429
        wait_for(lambda: running.metric("moss:websocket_connections_active") == 0)
        with running.client(secret.value).realtime.connect(model="moss") as live:
            told: Any = live.recv().session  # type: ignore[union-attr]
            assert told.instructions == "Be brief."


def test_servers_with_the_same_keys_know_each_others_secrets() -> None:
    value, _ = EphemeralKeys(("a", "b")).issue("key 1", 60, AGENT)
    assert EphemeralKeys(("a", "b")).read(value) == ("key 1", AGENT)
    for others in (("a",), ("b", "a"), ("a", "c"), ()):
        with pytest.raises(ApiError, match="not known here"):
            EphemeralKeys(others).read(value)


def test_a_transcription_key_needs_no_intent() -> None:
    with serving(FakeEngine()) as running:
        answer = running.post(SECRETS, json={"session": {"type": "transcription"}}).json()
        assert answer["session"]["object"] == "realtime.transcription_session"
        bearer = {"authorization": f"Bearer {answer['value']}"}
        with socket(running, "", additional_headers=bearer) as client:
            assert receive(client)["session"]["type"] == "transcription"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"expires_after": {"seconds": 9}}, "expires_after"),
        ({"expires_after": {"seconds": 7201}}, "expires_after"),
        ({"expires_after": {"anchor": "now"}}, "expires_after"),
        ({"session": {"type": "realtime", "output_modalities": ["audio"]}}, "session.output"),
        ({"session": {"instructions": "x" * 9000}}, "session"),
        ({"session": {"model": 5}}, "model"),
        ({"session": []}, "session"),
    ],
)
def test_what_makes_no_key(body: Any, param: str) -> None:
    with serving(FakeEngine()) as running:
        answer = running.post(SECRETS, json=body)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"].startswith(param)


def test_the_longest_key_opens_a_session() -> None:
    with serving(FakeEngine()) as running:

        def made(length: int) -> Any:
            body = {"session": {"type": "realtime", "instructions": "x" * length}}
            return running.post(SECRETS, json=body).json()

        assert made(6100)["error"]["param"] == "session"
        value = made(5850)["value"]
        assert len(value) > 7900
        protocols: Any = ["realtime", f"openai-insecure-api-key.{value}", "openai-beta.realtime-v1"]
        bearer = {"authorization": f"Bearer {value}"}
        for how in ({"subprotocols": protocols}, {"additional_headers": bearer}):
            with socket(running, "", **how) as client:
                shown = receive(client, "session.created")["session"]
                assert len(shown["instructions"]) == 5850


def test_a_key_opens_nothing_else_and_no_other_is_taken_for_one() -> None:
    with serving(FakeEngine(), keys=("sesame",)) as running:
        bearer = {"authorization": "Bearer sesame"}
        assert running.post(SECRETS, json={}).status_code == 401
        value = running.post(SECRETS, json={}, headers=bearer).json()["value"]
        shown = {"authorization": f"Bearer {value}"}
        assert running.get("/v1/models", headers=shown).status_code == 401
        assert running.post(SECRETS, json={}, headers=shown).status_code == 401
        for wrong in (value[:-1], value + "A", value[:9] + "AAAA" + value[13:], "ek_", "ek_%"):
            with pytest.raises(InvalidStatus) as caught:
                socket(running, "", additional_headers={"authorization": f"Bearer {wrong}"})
            assert caught.value.response.status_code == 401


def test_a_key_ends_and_is_good_in_its_own_process_alone() -> None:
    keys = EphemeralKeys()
    value, _ = keys.issue("key 0", 60, {"type": "realtime"})
    assert keys.read(value) == ("key 0", {"type": "realtime"})
    ended, _ = keys.issue("key 0", 0, {})
    with pytest.raises(ApiError, match="expired"):
        keys.read(ended)
    with pytest.raises(ApiError, match="not known"):
        EphemeralKeys().read(value)

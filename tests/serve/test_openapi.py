"""The description says what the server does."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from starlette.routing import Route

from moss_audio.serve.app import build
from moss_audio.serve.openapi import OPERATIONS
from tests.serve.conftest import FakeEngine, Running, serving, wav


def test_every_path_is_described_and_every_described_path_is_there() -> None:
    with serving(FakeEngine(), page=False) as running:
        routes = [one for one in build(running.service).routes if isinstance(one, Route)]
        page = running.get("/openapi.json").json()
    there = {(next(iter((r.methods or set()) - {"HEAD"})).lower(), r.path_format) for r in routes}
    assert there == set(OPERATIONS)
    described = {(method, path) for path, methods in page["paths"].items() for method in methods}
    assert described == there


def test_answers_have_what_is_described() -> None:
    with serving(FakeEngine()) as running:
        page = running.get("/openapi.json").json()
        for (method, path), operation in OPERATIONS.items():
            described = page["paths"][path][method]
            asked: dict[str, Any] = {}
            if operation.form:
                asked = {"files": {"file": ("a.wav", wav())}, "data": {"question": "Who?"}}
            elif operation.body:
                said = {"type": "transcript", "text": "hi", "duration": 1.0}
                messages = [{"role": "user", "content": "hi"}]
                asked = {"json": {"messages": messages, "result": said}}
            call = running.post if method == "post" else running.get
            answer = call(path.replace("{model}", "moss"), **asked)
            if path == "/v1/audio/translations":
                assert "200" not in described["responses"]
                assert answer.status_code == 400
                continue
            assert answer.status_code == 200, path
            content = described["responses"]["200"]["content"]
            if operation.keys:
                required = content["application/json"]["schema"]["required"]
                assert set(required) <= set(answer.json()), path
            else:
                assert answer.headers["content-type"].partition(";")[0] in content


def test_the_fields_are_those_that_are_read(running: Running) -> None:
    page = running.get("/openapi.json").json()
    for (method, path), operation in OPERATIONS.items():
        kind = operation.form or operation.body
        if kind is None:
            continue
        (body,) = page["paths"][path][method]["requestBody"]["content"].values()
        names = set(body["schema"]["properties"]) - {"file"}
        assert names == {field.name for field in fields(kind)}
        for name, schema in body["schema"]["properties"].items():
            for limit in (schema.get("minimum", 0) - 1, schema.get("maximum", 1e18) + 1):
                if ("minimum" in schema and limit < 0) or ("maximum" in schema and limit > 0):
                    refused = _with(running, path, name, limit, operation.form is not None)
                    assert refused == 400, name


def _with(running: Running, path: str, name: str, value: Any, form: bool) -> int:
    if form:
        files = {"file": ("a.wav", wav())}
        data = {"question": "Who?", name: json.dumps(value)}
        return running.post(path, files=files, data=data).status_code
    body = {"messages": [{"role": "user", "content": "hi"}], name: value}
    return running.post(path, json=body).status_code

"""The page's files: how they are served, and that they reach nothing but the server. What the page
does in a browser is in tests/page."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

import moss_audio.serve
from moss_audio.result import Event, Segment, Timeline, Transcript, Word
from moss_audio.writers import get_writer
from tests.serve.conftest import FakeEngine, Running, serving, wav

WEB = Path(moss_audio.serve.__file__).with_name("web")
OURS = [path for path in WEB.rglob("*") if path.is_file() and path.parent.name != "vendor"]


def test_the_page_and_all_its_files_are_served_to_anybody() -> None:
    with serving(FakeEngine(), keys=("secret",)) as running:
        assert running.get("/").headers["content-type"] == "text/html; charset=utf-8"
        for path in WEB.rglob("*.*"):
            if path.suffix == ".LICENSE" or path.name == "index.html":
                continue
            answer = running.get(f"/page/{path.relative_to(WEB).as_posix()}")
            assert answer.status_code == 200, path
            assert answer.content == path.read_bytes()
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"]
        for none in ("/page/../app.py", "/page/..%2fapp.py", "/page/", "/page/nothing.js"):
            assert running.get(none).status_code in (401, 404)
        assert running.get("/v1/models").status_code == 401  # the rest still asks


def test_the_policy_allows_nothing_inline_and_no_other_host(running: Running) -> None:
    headers = running.get("/").headers
    policy = dict(
        part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    whole = " ".join(policy.values())
    for loose in ("unsafe", "http", "*"):
        assert loose not in whole
    assert headers["referrer-policy"] == "no-referrer"


def test_the_waveforms_style_sheet_is_the_one_that_the_policy_names(running: Running) -> None:
    script = (WEB / "vendor" / "wavesurfer.esm.js").read_text(encoding="utf-8")
    (height,) = re.findall(r"HEIGHT = (\d+);", (WEB / "player.js").read_text(encoding="utf-8"))
    (style,) = re.findall(r'<style\$\{\w\?` nonce="\$\{\w\}"`:""\}>(.*?)</style>', script)
    style = re.sub(r"\$\{this\.getHeight\([^}]*\)\}", height, style).replace("\\n", "\n")
    assert "${" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in running.get("/").headers["content-security-policy"]


def test_a_file_that_has_not_changed_is_not_sent_again(running: Running) -> None:
    first = running.get("/page/app.js")
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = running.get("/page/app.js", headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert running.get("/page/app.js", headers={"if-none-match": '"old"'}).status_code == 200
    assert running.get("/page/style.css").headers["etag"] != tag


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_files_name_no_other_host_and_no_path_from_the_root(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    spoken = text.replace("https in front", "").replace("at http://localhost,", "")
    assert not re.search(r"""["'(]\s*(?:https?:)?//\w""", spoken)
    assert not re.search(r"""(?:src|href)=["']/""", text), "it would not work under a prefix"
    assert not re.search(r"""(?:fetch|call|socket|URL|from|import)\(?\s*["'`]/""", text)
    if path.suffix == ".html":
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
        for script in re.findall(r"<script(.*?)</script>", text, re.S):
            assert re.search(r'src="[^"]+">$', script.strip()), "an inline script"
    if path.suffix == ".js":
        assert not re.search(r"(?:inner|outer|Adjacent)HTML|document\.write|\beval\(", text)


def test_every_file_that_is_named_is_there() -> None:
    page = (WEB / "index.html").read_text(encoding="utf-8")
    for name in re.findall(r'(?:src|href)="page/([^"]+)"', page):
        assert (WEB / name).is_file(), name
    ids = set(re.findall(r'\sid="([^"]+)"', page))
    for path in WEB.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r'(?:from|import) "\./([^"]+)"', text):
            assert (WEB / name).is_file(), f"{path.name} imports {name}"
        for name in re.findall(r'\$\("([\w-]+)"\)', text):
            assert name in ids, f"{path.name} looks for #{name}"
    assert (WEB / "vendor" / "wavesurfer.LICENSE").read_text().startswith("BSD 3-Clause License")


def test_it_can_be_left_out() -> None:
    with serving(FakeEngine(), page=False) as running:
        assert running.get("/").status_code == running.get("/page/app.js").status_code == 404


TRANSCRIPT = Transcript(
    "Hi there.", (Segment("Hi there.", 0.5, 1.25, (Word("Hi", 0.5, 0.75),)),), duration=2.0
)


@pytest.mark.parametrize(
    ("form", "writer", "kind"),
    [
        ("text", "txt", "text/plain"),
        ("srt", "srt", "application/x-subrip"),
        ("vtt", "vtt", "text/vtt"),
        ("tsv", "tsv", "text/tab-separated-values"),
        ("json", "json", "application/json"),
        ("textgrid", "textgrid", "text/plain"),
    ],
)
def test_a_result_is_written_as_the_writers_do(
    running: Running, engine: FakeEngine, form: str, writer: str, kind: str
) -> None:
    for result in (TRANSCRIPT, Timeline((Event("dog", 0.0, 1.0),), 2.0)):
        body = {"result": result.to_dict(), "response_format": form}
        answer = running.post("/v1/audio/formats", json=body)
        assert answer.text == get_writer(writer).render(result)
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert not engine.requests


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "result"),
        ({"result": {"type": "song"}}, "song"),
        ({"result": TRANSCRIPT.to_dict() | {"extra": 1}}, "extra"),
        ({"result": TRANSCRIPT.to_dict(), "response_format": "docx"}, "response_format"),
        ({"result": {"type": "caption", "text": "A dog.", "duration": 1}}, "no times"),
    ],
)
def test_what_is_no_result_is_told(running: Running, body: dict[str, object], message: str) -> None:
    answer = running.post("/v1/audio/formats", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_a_long_recording_comes_window_by_window_with_its_times() -> None:
    engine = FakeEngine(lambda request: "[0.50]One.[1.00][1.00]Two.[2.00]")
    with serving(engine) as running:
        fields = {"response_format": "verbose_json", "stream": "true"}
        stream = running.client().audio.transcriptions.create(
            model="moss", file=("a.wav", wav(40)), response_format="verbose_json", stream=True,
        )  # fmt: skip
        events = list(stream)
        whole = running.post(
            "/v1/audio/transcriptions", data={"response_format": "verbose_json"},
            files={"file": ("a.wav", wav(40))},
        ).json()  # fmt: skip
        short = list(running.client().audio.transcriptions.create(
            model="moss", file=("a.wav", wav(2)), **fields,  # type: ignore[call-overload]
        ))  # fmt: skip
    done = events[-1]
    assert done.type == "transcript.text.done"
    assert "".join(one.delta for one in events if one.type == "transcript.text.delta") == done.text
    segments = [one for one in events if one.type == "transcript.text.segment"]
    assert len(segments) == 6
    assert [(one.start, one.end, one.text) for one in segments] == [
        (one["start"], one["end"], one["text"]) for one in whole["segments"]
    ]
    progress = [one for one in events if one.type == "transcript.progress"]
    assert len(progress) == len(engine.requests[:3]) == 3
    assert progress[-1].seconds == progress[-1].of == 40
    assert Transcript.from_dict(done.result).text == whole["text"]
    kinds = [one.type.removeprefix("transcript.") for one in short]
    assert kinds == ["text.delta", "text.segment", "text.segment", "progress", "text.done"]

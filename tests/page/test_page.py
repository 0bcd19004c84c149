"""The page in a headless Chromium: `make test-page`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from moss_audio.result import result_from_dict
from moss_audio.serve.app import build
from moss_audio.serve.service import Service
from moss_audio.writers import get_writer
from tests.embedded import NEEDS_NANO
from tests.page.conftest import BEFORE_S, EVENTS, SPEECH, Watched, browsing
from tests.serve.conftest import FakeEngine, Running, serving, serving_model

pytestmark = [pytest.mark.interop, *NEEDS_NANO]

SAID = ("The morning train leaves at half past seven.", "Please keep your ticket until you reach")
TRANSCRIPTION = "conversation.item.input_audio_transcription."
# When speech is first sent and when words are first shown, by the page's clock; and what the server
# had sent by then.
CLOCKS = """
() => {
  const send = WebSocket.prototype.send;
  window.events = [];
  WebSocket.prototype.send = function (text) {
    const { type, audio } = JSON.parse(text);
    if (type === "session.update") {
      this.addEventListener("message", ({ data }) => window.events.push(JSON.parse(data).type));
    }
    if (audio && !window.spoken) {
      const bytes = Uint8Array.from(atob(audio), (c) => c.charCodeAt(0));
      const samples = new Int16Array(bytes.buffer);
      if (samples.some((one) => Math.abs(one) > 1000)) window.spoken = performance.now();
    }
    return send.call(this, text);
  };
  const watch = { childList: true, subtree: true, characterData: true };
  new MutationObserver(() => {
    if (window.shown || !document.querySelector(".turn")?.textContent) return;
    window.shown = performance.now();
    window.before = [...window.events];
  }).observe(document.getElementById("captions"), watch);
}
"""


def same_host(running: Running, asked: list[str]) -> bool:
    own = running.url.removeprefix("http:")
    kinds = ("data:", f"http:{own}/", f"ws:{own}/", f"blob:http:{own}/")
    return all(one.startswith(kinds) for one in asked)


def test_somebody_speaks(watched: Watched, running: Running, record_property: Any) -> None:
    page = watched.page
    page.evaluate(CLOCKS)
    page.click("#record")
    watched.until("window.shown")
    after_s = page.evaluate("(window.shown - window.spoken) / 1000")
    record_property("first_words_s", after_s)
    print(f"\nfirst words {after_s:.2f} s after speech begins")
    # they are the first that the server sent, and at the time at which it did
    before = page.evaluate("window.before")
    assert not [one for one in before if one.startswith(TRANSCRIPTION)]
    assert page.is_visible("#stop")
    watched.until(
        "document.querySelectorAll('.turn').length >= 2 && "
        "[...document.querySelectorAll('.turn .unstable')].every((one) => !one.textContent)",
        60,
    )
    captions = page.locator(".turn").all_text_contents()
    assert [one.startswith(said) for one, said in zip(captions, SAID, strict=True)] == [True, True]
    page.click("#stop")
    page.wait_for_selector("#result:not([hidden])", timeout=30_000)
    page.wait_for_selector("#word-lane button")
    page.wait_for_selector("#progress", state="hidden", timeout=60_000)
    # live words stand where they are in the recording, which is played from the page
    words = page.locator("#transcript .word")
    assert words.nth(0).text_content() == "The"
    start = float(words.nth(0).get_attribute("data-start"))
    # the browser begins to play the file a little before or after it is recorded
    assert abs(start - (BEFORE_S + 0.67)) < 0.5
    assert same_host(running, watched.asked)
    assert any(one.startswith("ws:") for one in watched.asked)


def test_a_file_is_heard_and_a_word_is_sought(watched: Watched, running: Running) -> None:
    watched.open(SPEECH)
    page = watched.page
    assert watched.text("#transcript").count("ticket") == 1
    assert watched.text("#caption")
    for place in ("#transcript .word", "#word-lane button"):
        for index in (11, 3):
            word = page.locator(place).nth(index)
            start = float(word.get_attribute("data-start"))
            word.click()
            assert abs(page.evaluate("document.getElementById('media').currentTime") - start) < 0.05
            lit = page.locator(f"{place}.lit")
            assert lit.text_content() == word.text_content()
    assert same_host(running, watched.asked)


def test_the_playing_word_is_lit(watched: Watched) -> None:
    watched.open(SPEECH)
    page = watched.page
    page.locator("#transcript .word").nth(2).click()
    page.evaluate("""() => {
      window.lit = [];
      new MutationObserver(() => {
        const text = document.querySelector("#transcript .word.lit")?.textContent;
        if (text && window.lit.at(-1) !== text) window.lit.push(text);
      }).observe(document.getElementById("transcript"), { attributes: true, subtree: true });
    }""")
    page.keyboard.press("Escape")
    page.click("#play")
    watched.until("window.lit.includes('seven.')")
    page.click("#play")
    said = SAID[0].split()
    lit = page.evaluate("window.lit")
    assert lit[: len(said[3:])] == said[3:]


def test_files_are_those_of_the_writers(watched: Watched, tmp_path: Path) -> None:
    watched.open(SPEECH)

    def saved(group: str, form: str) -> bytes:
        with watched.page.expect_download() as download:
            watched.page.click(f"#{group} [data-format={form}]")
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert path.stem.startswith("speech")
        return path.read_bytes()

    for group, forms in (
        ("export-transcript", ("text", "srt", "vtt", "textgrid")),
        ("export-events", ("srt", "textgrid")),
    ):
        result = result_from_dict(json.loads(saved(group, "json")))
        for form in forms:
            writer = get_writer("txt" if form == "text" else form)
            assert saved(group, form).decode() == writer.render(result)


def test_questions_about_a_clip(watched: Watched) -> None:
    watched.open(EVENTS)
    page = watched.page
    assert page.locator("#event-lane button").count() >= 2
    bodies: list[Any] = []
    page.on("request", lambda one: bodies.append(one.post_data_json) if "chat" in one.url else None)
    for index, question in enumerate(("What rings?", "And what comes then?"), start=1):
        page.keyboard.press("/")
        page.keyboard.type(question)
        page.keyboard.press("Enter")
        watched.until(
            f"document.querySelectorAll('.answer:not(.waiting)').length === {index} && "
            "document.getElementById('send').textContent === 'Ask'",
            60,
        )
        assert page.locator(".answer").last.text_content()
    roles = [one["role"] for one in bodies[-1]["messages"]]
    assert roles == ["user", "assistant", "user"]


def test_the_keyboard(watched: Watched) -> None:
    watched.open(SPEECH)
    page = watched.page
    media = "document.getElementById('media')"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{media}.currentTime") == pytest.approx(2.0, abs=0.05)
    page.keyboard.press("Shift+ArrowLeft")
    starts = [float(one.get_attribute("data-start")) for one in page.locator(".word").all()]
    before = max(one for one in starts if one < 1.99)
    assert page.evaluate(f"{media}.currentTime") == pytest.approx(before, abs=0.05)
    page.keyboard.press(" ")
    watched.until(f"!{media}.paused")
    assert page.get_attribute("#play", "aria-label") == "Pause"
    page.keyboard.press(" ")
    watched.until(f"{media}.paused")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "question"
    page.keyboard.type("a b")  # a space types, and does not play
    assert page.input_value("#question") == "a b"
    assert page.evaluate(f"{media}.paused")


def test_under_a_prefix_with_a_key(
    nano_model: Any, microphone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mounted(service: Service) -> Any:
        return Starlette(routes=[Mount("/some/where", build(service))])

    monkeypatch.setattr("moss_audio.serve.run.build", mounted)
    with (
        serving_model(nano_model, keys=("let-me-in",)) as running,
        browsing(microphone) as browser,
    ):
        context = browser.new_context(permissions=["microphone"])
        one = Watched(context, f"{running.url}/some/where/")
        for key in ("wrong", "let-me-in"):
            one.page.wait_for_selector("#key-dialog[open]")
            one.page.fill("#key", key)
            one.page.keyboard.press("Enter")
            one.until(
                "!document.getElementById('key-dialog').open || "
                "!document.getElementById('key-error').hidden"
            )
        one.page.wait_for_selector("#limits:not(:empty)")
        one.open(SPEECH)
        one.page.click("#again")
        one.page.click("#record")
        one.page.wait_for_selector(".turn", timeout=30_000)
        one.page.click("#discard")
        assert one.asked
        assert all("/some/where/" in each for each in one.asked if not each.startswith("blob:"))
        assert one.page.evaluate("Object.keys(localStorage).length") == 0


@pytest.mark.parametrize(
    ("config", "says"),
    [({"limits": {"audio_s": 3.0}}, "takes up to 3 s"), ({"limits": {"body_bytes": 1000}}, "MB")],
)
def test_what_is_too_much_is_told_before_it_is_sent(
    microphone: Path, config: dict[str, Any], says: str
) -> None:
    from moss_audio.serve.config import Limits

    engine = FakeEngine()
    with (
        serving(engine, limits=Limits(**config["limits"])) as running,
        browsing(microphone) as browser,
    ):
        one = Watched(browser.new_context(), f"{running.url}/")
        one.page.wait_for_selector("#limits:not(:empty)")
        one.page.set_input_files("#file", str(SPEECH))
        one.until(f"document.body.innerText.includes({says!r})")
        assert not engine.requests


def test_errors_in_plain_english(microphone: Path) -> None:
    with browsing(microphone) as browser:
        with serving(FakeEngine()) as running:
            context = browser.new_context()
            one = Watched(context, f"{running.url}/")
            one.page.wait_for_selector("#status[data-state=ok]")
            note = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no sound" * 40}
            one.page.set_input_files("#file", note)
            one.page.wait_for_selector("#transcript .error")
            assert one.text("#transcript .error").startswith("notes.txt is not an audio file")
            one.page.click("#again")
            one.page.evaluate("""() => {
              const refused = new DOMException("no", "NotAllowedError");
              navigator.mediaDevices.getUserMedia = () => Promise.reject(refused);
            }""")
            one.page.click("#record")
            one.page.wait_for_selector("#notice:not([hidden])")
            assert "not allowed" in one.text("#notice-text")
            one.page.evaluate("""() => {
              Object.defineProperty(navigator, "mediaDevices", { value: undefined });
              Object.defineProperty(window, "isSecureContext", { value: false });
            }""")
            one.page.click("#record")
            one.until("document.getElementById('notice-text').textContent.includes('https')")
        one.page.set_input_files("#file", str(SPEECH))
        one.page.wait_for_selector("#transcript .error")
        assert "does not answer" in one.text("#transcript .error")


def test_a_running_request_is_cancelled(microphone: Path) -> None:
    engine = FakeEngine()
    engine.hold.clear()
    with serving(engine) as running, browsing(microphone) as browser:
        one = Watched(browser.new_context(), f"{running.url}/")
        one.page.set_input_files("#file", str(SPEECH))
        one.page.wait_for_selector("#progress:not([hidden])")
        one.page.wait_for_timeout(500)
        one.page.keyboard.press("Escape")
        one.page.wait_for_selector("#progress", state="hidden")
        assert "Stopped." in one.text("#transcript")
        one.page.wait_for_timeout(500)
        assert len(engine.cancelled) == len(engine.requests) == 1


def test_on_paper_all_of_a_transcript_is_there(microphone: Path) -> None:
    """What scrolls on the screen is printed in full, dark on white whatever the theme."""
    with serving(FakeEngine()) as running, browsing(microphone) as browser:
        narrow = browser.new_context(viewport={"width": 380, "height": 800})
        one = Watched(narrow, f"{running.url}/")
        box = """
          (() => {
            const text = document.getElementById("transcript");
            const shown = [text.clientHeight, text.scrollHeight];
            const { backgroundColor } = getComputedStyle(document.body);
            return [...shown, getComputedStyle(text).color, backgroundColor];
          })()
        """
        one.page.evaluate("""async () => {
          const { TranscriptView } = await import(new URL("page/transcript.js", document.baseURI));
          document.getElementById("start").hidden = true;
          document.getElementById("result").hidden = false;
          document.documentElement.dataset.theme = "dark";
          const segments = Array.from({ length: 200 }, (_, i) => (
            { text: `sentence ${i}`, start: 4 * i, end: 4 * i + 4, words: [] }));
          await new TranscriptView(() => {}).show({ text: "x", segments });
        }""")  # fmt: skip
        seen, all_of_it, *_ = one.page.evaluate(box)
        assert seen < all_of_it / 4
        one.page.emulate_media(media="print")
        printed, all_of_it, colour, behind = one.page.evaluate(box)
        assert printed == all_of_it
        assert (colour, behind) == ("rgb(0, 0, 0)", "rgb(255, 255, 255)")
        assert not one.page.is_visible("#ask-form")
        assert not one.wrong


def test_an_hour_of_words_stays_fluent(microphone: Path) -> None:
    """What is drawn stays small, however long the clip is, and so is the time it takes."""
    with serving(FakeEngine()) as running, browsing(microphone) as browser:
        one = Watched(browser.new_context(), f"{running.url}/")
        told = one.page.evaluate("""async () => {
          const { Lanes } = await import(new URL("page/lanes.js", document.baseURI));
          const { TranscriptView } = await import(new URL("page/transcript.js", document.baseURI));
          document.getElementById("start").hidden = true;
          document.getElementById("result").hidden = false;
          const words = Array.from({ length: 9000 }, (_, i) => (
            { text: `word${i}`, start: 0.4 * i, end: 0.4 * i + 0.35 }));
          const segments = Array.from({ length: 900 }, (_, i) => {
            const inside = words.slice(10 * i, 10 * i + 10);
            const text = inside.map((one) => one.text).join(" ");
            return { text, start: 4 * i, end: 4 * i + 4, words: inside };
          });
          const lanes = new Lanes(() => {});
          lanes.layout(150, 3600);
          lanes.setWords(words);
          const view = new TranscriptView(() => {});
          const began = performance.now();
          await view.show({ text: "x", segments });
          const shown = performance.now() - began;
          const scroller = document.getElementById("scroller");
          scroller.scrollLeft = 150 * 1800;
          lanes.draw();
          const lit = performance.now();
          for (let i = 0; i < 1000; i++) { lanes.light(3.6 * i); view.light(3.6 * i, false); }
          return {
            shown, lit: (performance.now() - lit) / 1000,
            lane: document.getElementById("word-lane").childElementCount,
            first: document.querySelector("#word-lane button").title,
            spans: document.querySelectorAll("#transcript .word").length,
          };
        }""")  # fmt: skip
        print(f"\n9000 words: shown in {told['shown']:.0f} ms, {told['lit']:.2f} ms to light one")
        assert told["spans"] == 9000
        assert told["lane"] < 120
        assert told["first"].startswith("word4")
        assert not one.wrong

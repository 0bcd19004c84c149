"""A server with the embedded checkpoint, and Chromium with a microphone that plays a file."""

from __future__ import annotations

import os
import shutil
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moss_audio
from tests.serve.conftest import RATE, Running, serving_model

SPEECH = Path(__file__).parents[2] / "examples" / "speech.wav"
EVENTS = SPEECH.with_name("events.wav")
BEFORE_S = 2.0  # of silence, before somebody speaks into the microphone
# What a browser would ask the net for by itself is switched off.
_ARGUMENTS = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--no-default-browser-check", "--mute-audio",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
)  # fmt: skip


def chromium() -> str:
    """The browser's path; the test is skipped where there is none."""
    named = os.environ.get("MOSS_AUDIO_CHROMIUM", "")
    found = named or shutil.which("chromium") or shutil.which("google-chrome") or ""
    if not found:
        pytest.skip("no Chromium: install it (apt-get install chromium) or name it in "
                    "MOSS_AUDIO_CHROMIUM")  # fmt: skip
    return found


def samples_of(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert file.getframerate() == RATE
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def write(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.fixture(scope="session")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is heard: silence, the two sentences, and silence for as long as a test may take."""
    before, after = np.zeros(round(BEFORE_S * RATE)), np.zeros(60 * RATE)
    return write(
        tmp_path_factory.mktemp("microphone") / "speech.wav",
        np.concatenate([before, samples_of(SPEECH), after]),
    )


@pytest.fixture(scope="session")
def nano_model() -> Any:
    return moss_audio.load("nano", device="cpu")


@pytest.fixture(scope="session")
def running(nano_model: Any) -> Iterator[Running]:
    with serving_model(nano_model) as server:
        yield server


@contextmanager
def browsing(microphone: Path) -> Iterator[Any]:
    """A browser of its own: the microphone's file plays once, from when it starts."""
    from playwright.sync_api import sync_playwright

    playing = f"--use-file-for-fake-audio-capture={microphone}%noloop"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=[*_ARGUMENTS, playing]
        )
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page, with everything that it asked for and what went wrong in it."""

    def __init__(self, context: Any, url: str) -> None:
        self.page = context.new_page()
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._console)
        self.page.goto(url)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def until(self, condition: str, timeout_s: float = 30.0) -> Any:
        """Wait for what an expression gives. (Playwright's own way evaluates text inside the page,
        which the content policy forbids.)"""
        until = time.monotonic() + timeout_s
        while not (found := self.page.evaluate(f"() => {condition}")):
            assert time.monotonic() < until, f"it did not happen in time: {condition}"
            self.page.wait_for_timeout(20)
        return found

    def open(self, path: Path) -> None:
        """Choose a file, and wait until all is heard."""
        self.page.set_input_files("#file", str(path))
        self.page.wait_for_selector("#word-lane button", timeout=60_000)
        self.page.wait_for_selector("#progress", state="hidden", timeout=60_000)

    def text(self, selector: str) -> str:
        found: str = self.page.text_content(selector)
        return found.strip()


@pytest.fixture
def watched(running: Running, microphone: Path) -> Iterator[Watched]:
    with browsing(microphone) as browser:
        context = browser.new_context(permissions=["microphone"], accept_downloads=True)
        one = Watched(context, f"{running.url}/")
        yield one
        assert not one.wrong

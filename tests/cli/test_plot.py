"""Pictures: drawn, readable, whole or not at all, and refused in time."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio import plot
from moss_audio.errors import MossAudioError
from moss_audio.recordings import Audio
from moss_audio.result import Event, Timeline, Transcript, Word

Run = Callable[..., Any]
needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib"
)


def _noise(seconds: float) -> Audio:
    samples = np.random.default_rng(0).standard_normal(int(seconds * 16000)) * 0.1
    return Audio(samples.astype(np.float32), "noise $5_{x}.wav")


@needs_matplotlib
@pytest.mark.parametrize("extension", ["png", "svg", "pdf"])
def test_events_are_drawn(
    run: Run, model: Any, clips: Path, tmp_path: Path, extension: str
) -> None:
    path = tmp_path / "new" / f"out.{extension}"
    done = run("events", clips / "ünï-语音.wav", "--plot", path)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("0.00 - 0.20: beep")
    head = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[extension]
    assert path.read_bytes().startswith(head)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@needs_matplotlib
def test_several_recordings_are_drawn_into_a_folder(
    run: Run, model: Any, clips: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "plots"
    assert run("transcribe", clips / "sub", clips / "b c.wav", "--plot", folder).code == 0
    assert model.calls[0][2]["timestamps"] == "word"
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png")) == [
        "a.png", "b c.png", "deep/d.png",
    ]  # fmt: skip


def test_a_missing_matplotlib_or_a_wrong_name_shows_before_the_model_is_loaded(
    run: Run, model: Any, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = run("events", clips / "a.wav", "--plot", tmp_path / "x.png")
    assert done.code == 1
    assert "pip install '.[plot]'" in done.err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    done = run("events", clips / "a.wav", "--plot", tmp_path / "x.bmp")
    assert done.code == 1
    assert ".png" in done.err
    assert model.loads == []


@needs_matplotlib
@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.02, 0.5, 65.0])
def test_any_length_can_be_drawn(tmp_path: Path, seconds: float) -> None:
    timeline = Timeline((Event("x", 0.0, seconds),), seconds)
    plot.plot_result(timeline, _noise(seconds), tmp_path / "x.png")
    plot.plot_result(Transcript("", duration=seconds), _noise(seconds), tmp_path / "y.png")
    silent = Audio(np.zeros(int(seconds * 16000), np.float32), "silence")
    plot.plot_result(Timeline(), silent, tmp_path / "z.png")


@needs_matplotlib
@pytest.mark.filterwarnings("ignore:Glyph")
def test_labels_and_words_do_not_overlap() -> None:
    audio = _noise(20.0)
    labels = [f"a long description of sound {i} with $ and _ in it, 语音" for i in range(12)]
    events = tuple(Event(label, i, i + 2.0) for i, label in enumerate(labels))
    figure = plot._draw(Timeline(events, 20.0), audio, "t" * 300)
    _no_overlap(figure, figure.axes[2].get_yticklabels())
    words = tuple(Word("word" * (1 + i % 4), i * 0.22, i * 0.22 + 0.2) for i in range(90))
    figure = plot._draw(Transcript("", words=words, duration=20.0), audio, "words")
    assert len(figure.axes[2].texts) > 40
    _no_overlap(figure, figure.axes[2].texts)


def _no_overlap(figure: Any, texts: Any) -> None:
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in texts]
    width, height = figure.canvas.get_width_height()
    for i, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= width
        assert 0 <= box.y0 <= box.y1 <= height
        for other in boxes[:i]:
            assert not box.overlaps(other)


@needs_matplotlib
def test_hundreds_of_labels_stay_within_one_picture() -> None:
    events = tuple(Event(f"sound {i}", i / 10, i / 10 + 0.1) for i in range(200))
    figure = plot._draw(Timeline(events, 20.0), _noise(20.0), "many")
    assert len(figure.axes[2].get_yticklabels()) == plot._MAX_ROWS + 1
    assert figure.get_size_inches()[1] < 20


@needs_matplotlib
def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    with pytest.raises(MossAudioError, match=r"x\.png"):
        plot.plot_result(Timeline(), _noise(0.5), tmp_path / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]

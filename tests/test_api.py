"""`moss_audio.load` and the methods of what it gives, on a tiny checkpoint folder."""

from __future__ import annotations

import io
import json
import re
import shutil
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import moss_audio
from moss_audio.api import MossAudio
from moss_audio.engine import Generation, Request
from moss_audio.engine.thinking import ThinkIds, check_thinking
from moss_audio.errors import AudioError, CheckpointError, MossAudioError
from moss_audio.model import checkpoint
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.result import Answer, Caption, Timeline, Transcript
from tests.embedded import NEEDS_THINKER
from tests.engine.conftest import build_engine, noise

RATE = 16_000
THINK_IDS = ThinkIds(1, 2, (1,), (2,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("micro")
    engine = build_engine()
    engine.model.save_pretrained(path)
    engine.processor.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> MossAudio:
    return moss_audio.load(folder, device="cpu", dtype="float32", batch_size=4)


def test_public_names_live_here() -> None:
    assert moss_audio.load.__module__ == "moss_audio.api"
    assert moss_audio.MossAudio is MossAudio


def test_load_reads_the_released_layout(model: MossAudio, folder: Path) -> None:
    assert model.engine.dtype == torch.float32
    assert model.engine.batch_size == 4
    assert model.window_s == 300.0
    assert str(folder) in repr(model)


def test_loading_prints_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    moss_audio.load(folder, device="cpu")
    assert capfd.readouterr() == ("", "")


def test_confidence_comes_where_it_is_asked_for(model: MossAudio) -> None:
    """With times from either road; what is heard stays the same."""
    clip = (noise(2.0), RATE)
    for how in ({}, {"timestamps": "word", "times": "written"},
                {"timestamps": "word", "times": "alignment"}):  # fmt: skip
        plain = model.transcribe(clip, max_new_tokens=12, **how)
        sure = model.transcribe(clip, max_new_tokens=12, logprobs=0, **how)
        assert (sure.text, sure.raw) == (plain.text, plain.raw)
        assert plain.avg_logprob is None
        assert sure.avg_logprob < 0
        assert all(0 < word.probability <= 1 for word in sure.words)
        assert all(segment.avg_logprob < 0 for segment in sure.segments)
    assert sure.words
    assert "logprobs" not in model.ask(clip, "x", logprobs=3, max_new_tokens=2).to_dict()


def test_every_task_gives_its_result(model: MossAudio) -> None:
    clip = (noise(1.0), RATE)
    short = {"max_new_tokens": 4}
    assert isinstance(model.transcribe(clip, **short), Transcript)
    assert isinstance(model.transcribe(clip, "word", **short), Transcript)
    assert isinstance(model.caption(clip, **short), Caption)
    assert isinstance(model.events(clip, **short), Timeline)
    assert isinstance(model.ask(clip, "what?", **short), Answer)
    assert isinstance(model.ask(None, "who are you?", **short), Answer)
    assert isinstance(model.ask(clip, "what?", thinking=True, thinking_budget=2, **short), Answer)


def test_a_list_gives_a_list_and_single_calls_agree(model: MossAudio) -> None:
    clips = [(noise(s, i), RATE) for i, s in enumerate((0.5, 2.0, 1.2))]
    together = model.transcribe(clips, max_new_tokens=8)
    assert [r.raw for r in together] == [
        model.transcribe(clip, max_new_tokens=8).raw for clip in clips
    ]
    assert model.transcribe([]) == []


def test_several_questions_give_several_answers(model: MossAudio) -> None:
    clip, short = (noise(1.0), RATE), {"max_new_tokens": 5}
    both = model.ask(clip, ["one?", "two?"], **short)
    assert [a.raw for a in both] == [model.ask(clip, q, **short).raw for q in ("one?", "two?")]
    assert len(model.ask([clip], ["one?", "two?"], **short)[0]) == 2
    with pytest.raises(MossAudioError, match="no question"):
        model.ask(clip, [])


def test_stream_joins_to_the_answer(model: MossAudio) -> None:
    clip = (noise(1.0), RATE)
    pieces = "".join(model.stream(clip, "what?", max_new_tokens=10))
    assert pieces == model.ask(clip, "what?", max_new_tokens=10).raw


def test_inputs_of_any_kind_and_their_part(model: MossAudio) -> None:
    samples = noise(3.0)
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    result = model.transcribe(data.getvalue(), start=1.0, end=2.5, max_new_tokens=4)
    assert result.duration == pytest.approx(1.5)
    bare = model.transcribe(samples, sample_rate=RATE, max_new_tokens=4)
    assert bare.duration == pytest.approx(3.0)


def test_mistakes_are_one_clear_line(model: MossAudio, tmp_path: Path) -> None:
    clip = (noise(0.5), RATE)
    with pytest.raises(MossAudioError, match="timestamps"):
        model.transcribe(clip, timestamps="letter")
    with pytest.raises(MossAudioError, match="'temprature'"):
        model.transcribe(clip, temprature=1.0)
    with pytest.raises(MossAudioError, match="empty"):
        model.ask(clip, " ")
    with pytest.raises(AudioError, match="no such file"):
        model.transcribe(tmp_path / "missing.wav")
    found = model.transcribe([clip, tmp_path / "missing.wav"], on_error="return", max_new_tokens=2)
    assert isinstance(found[0], Transcript)
    assert isinstance(found[1], AudioError)


@pytest.mark.parametrize("question", [None, 5, b"hi", ["what?", None], []])
def test_a_question_is_a_text(model: MossAudio, question: object) -> None:
    with pytest.raises(MossAudioError, match=r"give a text|no question") as found:
        model.ask((noise(0.5), RATE), question)  # type: ignore[call-overload]
    assert "\n" not in str(found.value)
    if not isinstance(question, list):
        with pytest.raises(MossAudioError, match="give one text"):
            model.stream(None, question)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [2**70, 99999999999999999999, -1, 1.5, True])
def test_a_seed_is_a_whole_number_of_a_size_that_fits(model: MossAudio, seed: object) -> None:
    with pytest.raises(MossAudioError, match=f"seed={seed!r}: give a whole number from 0 to"):
        model.ask(None, "what?", seed=seed, temperature=1.0)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"name": None}, "name=None"),
        ({"name": ""}, "name=''"),
        ({"name": " "}, "name=' '"),
        ({"name": "a" * 5000}, "not the name of a folder"),
        ({"batch_size": 0}, "batch_size=0: give a whole number"),
        ({"batch_size": 2.0}, "batch_size=2.0"),
        ({"window_s": float("nan")}, "window_s=nan: give seconds, 3 or more"),
        ({"window_s": 1.0}, "window_s=1.0"),
        ({"window_s": "20"}, "window_s='20'"),
    ],
)
def test_what_cannot_be_loaded_is_named(given: dict[str, object], named: str) -> None:
    with pytest.raises(MossAudioError, match=re.escape(named)):
        moss_audio.load(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("option", "value"), [("start", 2**2000), ("progress", 5)])
def test_an_option_of_another_kind_is_one_line(
    model: MossAudio, option: str, value: object
) -> None:
    with pytest.raises(MossAudioError, match=option):
        model.transcribe((noise(1.0, 3), RATE), **{option: value})


def test_text_alone_and_a_stream_say_that_they_were_cut(model: MossAudio) -> None:
    short = {"max_new_tokens": 3}
    assert "cut after 3 tokens" in model.ask(None, "who are you?", **short).warnings[0]
    stream = model.stream((noise(2.0, 3), RATE), "what?", **short)
    assert "".join(stream) == stream.result.raw
    assert "cut after 3 tokens" in stream.result.warnings[0]
    found = model.stream("gone.wav", "what?", on_error="return")
    assert list(found) == []
    assert isinstance(found.error, AudioError)
    with pytest.raises(MossAudioError, match="unknown option 'temprature'"):
        model.ask(None, "x", temprature=1)


def test_asks_of_several_kinds_share_one_way(model: MossAudio) -> None:
    clip, short = (noise(1.0), RATE), {"max_new_tokens": 4}
    queries = [
        model.query("transcribe", clip, timestamps="word", **short),
        model.query("ask", clip, clip, question="the same?", **short),
        model.query("caption", "gone.wav", **short),
        model.query("ask", question="who are you?", **short),
    ]
    heard = list(model.listen(queries))
    assert [one.index for one in heard] == [0, 1, 2, 3]
    assert heard[0].result.raw == model.transcribe(clip, "word", **short).raw
    assert isinstance(heard[1].result, Answer)
    with pytest.raises(AudioError, match="no such file"):
        _ = heard[2].result
    assert heard[3].result.raw == model.ask(None, "who are you?", **short).raw


def test_a_text_that_cannot_be_aligned_has_the_time_of_its_window(
    model: MossAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moss_audio.engine.aligner.WordAligner.__call__", lambda *_: ())
    found = model.transcribe((noise(1.0), RATE), "word", times="alignment", max_new_tokens=8)
    assert found.text
    assert [(s.text, s.start, s.end) for s in found.segments] == [(found.text, 0.0, 1.0)]


def test_a_checkpoint_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        moss_audio.load("./nowhere")
    with pytest.raises(CheckpointError, match="hub download failed"):
        moss_audio.load("nobody/nothing-of-this-name")
    monkeypatch.setattr(checkpoint, "embedded_folder", lambda *_: tmp_path / "assets")
    with pytest.raises(CheckpointError, match="reinstall"):
        moss_audio.load("nano")


def test_a_folder_may_name_its_window(folder: Path, tmp_path: Path) -> None:
    assert Checkpoint.open(folder).window_s is None
    settings = json.loads((folder / "processor_config.json").read_text())

    def told(name: str, **more: Any) -> Checkpoint:
        path = tmp_path / name
        path.mkdir()
        shutil.copy(folder / "config.json", path)
        (path / "processor_config.json").write_text(json.dumps({**settings, **more}))
        return Checkpoint.open(path)

    one = told("good", window_s=20, task_windows_s={"ask": 120})
    assert (one.window_s, one.task_windows_s) == (20.0, {"ask": 120.0})
    for number, (wrong, words) in enumerate((
        ({"window_s": "long"}, "window_s 'long'"),
        ({"task_windows_s": {"ask": 0}}, "task_windows_s of ask 0 must be a positive number"),
        ({"task_windows_s": 30}, "task_windows_s 30 must have seconds by tasks' names"),
    )):  # fmt: skip
        with pytest.raises(CheckpointError, match=words):
            told(f"wrong-{number}", **wrong)


def test_a_processor_config_with_a_window_is_read(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = copy / "processor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "window_s": 12.5}))
    model = moss_audio.load(copy, device="cpu")
    assert (model.window_s, model.engine.task_windows_s) == (12.5, {})
    before = model.fingerprint
    path.write_text(json.dumps({**json.loads(path.read_text()), "task_windows_s": {"ask": 60}}))
    longer = moss_audio.load(copy, device="cpu")
    assert (longer.window_s, longer.engine.task_windows_s) == (12.5, {"ask": 60.0})
    assert longer.fingerprint != before
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "task_windows_s": {"events": 9, "caption": 60}})
    )
    # no task hears more of a live recording than it was trained on
    shorter = moss_audio.load(copy, device="cpu")
    assert shorter.window_s == 9.0
    with shorter.live() as live:
        assert live.window_s == 9.0
    asked = moss_audio.load(copy, device="cpu", window_s=20.0)
    assert (asked.window_s, asked.engine.task_windows_s) == (20.0, {})


def test_long_audio_goes_through_in_windows(folder: Path) -> None:
    model = moss_audio.load(folder, device="cpu", dtype="float32", window_s=3.0)
    samples = np.concatenate([noise(4.0), np.zeros(RATE, np.float32), noise(3.0, 2)])
    result = model.transcribe((samples, RATE), max_new_tokens=3)
    assert result.duration == pytest.approx(8.0)
    assert len(result.raw.split("\n")) >= 3


class Told:
    """An engine that answers with its name."""

    batch_size, max_positions, thinks = 8, None, False
    window_s = 15.0
    task_windows_s: ClassVar[dict[str, float]] = {}

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, request: Request) -> int:
        check_thinking(request.options, THINK_IDS if self.name == "thinks" else None)
        return 1

    def generate(self, requests: Sequence[Request], on_result: Any = None) -> list[Generation]:
        answers = [Generation(self.name, (1,), "stop", 1) for _ in requests]
        for index, answer in enumerate(answers if on_result else ()):
            on_result(index, answer)
        return answers

    def stream(self, request: Request) -> Any:
        yield self.name
        return Generation(self.name, (1,), "stop", 1)


def test_what_thinks_is_opened_where_it_is_asked_for_and_once(folder: Path) -> None:
    opened: list[Told] = []

    def thinker() -> Any:
        opened.append(Told("thinks"))
        return opened[-1]

    plain: Any = Told("hears")
    model = MossAudio(plain, Checkpoint.open(folder), thinker=thinker)
    assert model.ask(None, "How long?").text == "hears"
    assert model.ask(None, "How long?", thinking=False).text == "hears"
    assert model.ask(None, "How long?", thinking=False, thinking_budget=9).text == "hears"
    assert not opened
    assert model.ask(None, "How long?", thinking=True).text == "thinks"
    assert model.ask(None, "How long?", thinking_budget=9).text == "thinks"
    assert "".join(model.stream(None, "How long?", thinking=True)) == "thinks"
    asked = [model.query("ask", question="How long?", thinking=one) for one in (True, None, True)]
    for queries in (asked, iter(asked)):
        told = [(heard.index, heard.result.text) for heard in model.listen(queries)]
        assert told == [(0, "thinks"), (1, "hears"), (2, "thinks")]
    assert list(model.listen([])) == []
    assert len(opened) == 1


def test_progress_goes_on_where_another_engine_answers(folder: Path) -> None:
    plain: Any = Told("hears")
    model = MossAudio(plain, Checkpoint.open(folder), thinker=lambda: Told("thinks"))  # type: ignore[arg-type, return-value]
    clip = (noise(1.0), RATE)
    asked = [model.query("ask", clip, question="What?", thinking=one) for one in (None, True, None)]
    for queries, total_s in ((asked, 3.0), (iter(asked), None)):
        seen: list[tuple[float, float | None]] = []
        heard = model.listen(queries, progress=lambda *told: seen.append(told))  # noqa: B023
        assert [one.index for one in heard] == [0, 1, 2]
        assert seen == [(1.0, total_s), (2.0, total_s), (3.0, total_s)]


def test_a_thinker_that_does_not_open_takes_no_other_answer_with_it(folder: Path) -> None:
    def broken() -> Any:
        raise CheckpointError("nano-thinking: gone")

    plain: Any = Told("hears")
    model = MossAudio(plain, Checkpoint.open(folder), thinker=broken)
    asked = [model.query("ask", question="What?", thinking=one) for one in (None, True, None)]
    heard = list(model.listen(asked))
    assert [str(one.error or one.result.text) for one in heard] == [
        "hears", "nano-thinking: gone", "hears",
    ]  # fmt: skip
    assert [one.index for one in heard] == [0, 1, 2]
    strict = model.listen(asked, on_error="raise")
    assert next(strict).result.text == "hears"
    with pytest.raises(CheckpointError, match="gone"):
        next(strict)


@pytest.mark.parametrize("task", ["transcribe", "events", "caption"])
def test_what_thinks_about_questions_thinks_about_nothing_else(folder: Path, task: str) -> None:
    plain: Any = Told("hears")
    model = MossAudio(plain, Checkpoint.open(folder), thinker=lambda: pytest.fail("opened"))
    clip = (noise(1.0), RATE)
    for option in ({"thinking": True}, {"thinking_budget": 9}):
        with pytest.raises(MossAudioError, match=f"{next(iter(option))}.*: this checkpoint has no"):
            getattr(model, task)(clip, **option)
    assert getattr(model, task)(clip, thinking=False, thinking_budget=9).raw == "hears"


@NEEDS_THINKER
@pytest.mark.parametrize("name", ["nano", "nano-thinking"])
def test_an_embedded_name_is_a_folder_of_the_package(name: str) -> None:
    found = Checkpoint.open(name)
    assert found.folder == checkpoint.embedded_folder(name)
    assert found.thinker == ("nano-thinking" if name == "nano" else None)
    assert found.can_think == (name == "nano-thinking")

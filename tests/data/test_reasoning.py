"""Conversations about derived questions: true at every speed, with the ids of inference, of the
forms that training asks for, and drawn alike wherever they are drawn."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.data.augment import AugmentConfig
from moss_audio.data.collate import Collator
from moss_audio.data.config import DataConfig, SourceConfig
from moss_audio.data.draw import draw
from moss_audio.data.example import Example
from moss_audio.data.sources import open_source
from moss_audio.data.sources.base import Source
from moss_audio.data.sources.thoughts import ThoughtSource, draw_timeline
from moss_audio.engine.thinking import ThinkIds
from moss_audio.errors import MossAudioError
from moss_audio.prompt import ChatVocabulary, render
from moss_audio.result import Event
from moss_audio.scenes.reasoning.splits import AXES, Axis
from moss_audio.tasks.reason import thought_timeline, told
from moss_audio.testing.tokenizer import tiny_prompt_spec, tiny_tokenizer
from tests.scene_files import RATE, SILENCE, write_shard

SUM = re.compile(r"([0-9.]+) ([+-]) ([0-9.]+) = ([0-9.]+)")
SOUNDS = (("bell", 0.5, 1.5), ("dog barking", 2.5, 6.0), ("rain", 8.0, 9.0))
EVENTS: tuple[str, float, dict[str, Any]] = (
    "events", 10.0,
    {"events": [{"label": n, "start": s, "end": e, "source": "made"} for n, s, e in SOUNDS]},
)  # fmt: skip


@pytest.fixture(scope="module")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)

    def sound(number: int, kind: str, seconds: float) -> np.ndarray:
        return 300 * rng.standard_normal(round(seconds * RATE))

    return write_shard(tmp_path_factory.mktemp("scenes"), [EVENTS, SILENCE], sound)


def _source(folder: Path, kind: str = "scenes", **fields: Any) -> Source:
    config = SourceConfig(kind, str(folder), split="train", **fields)  # type: ignore[arg-type]
    return open_source(config, DataConfig((config,), batch_tokens=100))


def _drawn(source: Source, turn: int, augment: AugmentConfig | None = None, at: int = 0) -> Example:
    found = draw(source, at, source.id(at), turn, 0, augment)
    assert isinstance(found, Example)
    return found


def test_thoughts_stay_true_when_the_speed_changes(scenes_folder: Path) -> None:
    source = _source(scenes_folder, tasks={"reason": 1.0})
    augment = AugmentConfig(speed_share=1.0, telephone_share=0.0, noise_share=0.0)
    factors = set()
    for turn in range(60):
        example = _drawn(source, turn, augment)
        seconds = len(example.clips[0]) / RATE
        factors.add(round(seconds / 10.0, 3))
        assert example.problem is not None
        answer = example.messages[-1]
        heard = thought_timeline(answer["thinking"], seconds).events
        # what the thought lists is what is heard now, not what was composed
        for event, (label, start, end) in zip(heard, SOUNDS, strict=True):
            assert event.label == label
            assert event.start == pytest.approx(start * seconds / 10, abs=0.051)
            assert event.end == pytest.approx(end * seconds / 10, abs=0.051)
        assert answer["content"] == told(example.problem.fact)
        assert example.problem.solve(heard) == example.problem.fact
        true = "".join(answer["thinking"].split(s)[-1] for s in answer.get("unlearnt", [""]) if s)
        for left, sign, right, result in SUM.findall(true or answer["thinking"]):
            total = float(left) + float(right) * (1 if sign == "+" else -1)
            if f"{total:.1f}" != result:  # only in the line that is mended, "no, ..."
                assert "no, " in true
    assert len(factors) > 30
    assert max(factors) / min(factors) > 1.2


def test_a_wrong_timeline_leads_to_another_answer_and_none_to_none(scenes_folder: Path) -> None:
    source = _source(scenes_folder, tasks={"reason": 1.0})
    example = next(
        one for one in (_drawn(source, turn) for turn in range(99))
        if one.problem is not None and one.problem.kind == "longest"
    )  # fmt: skip
    longer_bell = (Event("bell", 0.5, 9.0), Event("dog barking", 2.5, 6.0))
    assert example.problem is not None
    assert (example.problem.solve(longer_bell), example.problem.fact) == ("bell", "dog barking")
    assert example.problem.solve(()) is None


def test_a_clip_without_a_certain_question_gets_a_plain_one(scenes_folder: Path) -> None:
    source = _source(scenes_folder, tasks={"reason": 1.0})
    quiet = _drawn(source, 0, at=1)
    assert (quiet.task, quiet.problem) == ("ask", None)


@pytest.mark.parametrize(
    ("task", "thinking"),
    [("reason", True), ("reason_off", False), ("reason_direct", None)],
)
def test_training_begins_with_the_ids_of_inference(
    scenes_folder: Path, task: str, thinking: bool | None
) -> None:
    tokenizer, spec = tiny_tokenizer(), tiny_prompt_spec()
    example = _drawn(_source(scenes_folder, tasks={task: 1.0}), 7)
    trained = Collator(tokenizer, spec, 16).render(example)
    asked = render(
        example.messages[:-1], [125], tokenizer, spec, enable_thinking=thinking is not False
    )
    opened = list(asked.input_ids)
    think = ThinkIds.of(ChatVocabulary(tokenizer))
    assert think is not None
    if thinking:
        opened += think.opening  # which the engine puts there
    assert trained.input_ids[: len(opened)] == opened
    given = len(asked.input_ids)
    assert not any(trained.loss_mask[:given])
    assert all(trained.loss_mask[given:-1]) or example.messages[-1].get("unlearnt")
    count = trained.input_ids.count(think.start)
    assert count == (0 if thinking is None else 1)


def _sum_of(line: str) -> tuple[str, ...]:
    found = SUM.fullmatch(line)
    assert found is not None
    return found.groups()


def test_what_is_given_is_read_and_not_learnt(scenes_folder: Path) -> None:
    tokenizer, spec = tiny_tokenizer(), tiny_prompt_spec()
    collator = Collator(tokenizer, spec, 16)
    source = _source(scenes_folder, "thoughts", examples=100)
    given = 0
    for at in range(100):
        example = _drawn(source, 0, at=at)
        unlearnt = example.messages[-1].get("unlearnt", ())
        rendered = collator.render(example)
        learnt = [i for i, on in zip(rendered.input_ids, rendered.loss_mask, strict=True) if on]
        text = tokenizer.decode(learnt)
        given += bool(unlearnt)
        for passage in unlearnt:
            assert f"\n{passage}" not in text
        if unlearnt and example.problem is None:
            assert re.findall(r"= ?([0-9.]+)", text) == []
    assert given > 50


def test_text_alone_asks_and_reckons_and_is_drawn_alike(scenes_folder: Path) -> None:
    source, again = (_source(scenes_folder, "thoughts", examples=300) for _ in range(2))
    assert len(source) == 300
    seen, tasks = set(), {"reason_text": 0, "arithmetic": 0}
    begun = told_by_thought = 0
    for at in range(300):
        example = _drawn(source, 0, at=at)
        assert example.messages == _drawn(again, 0, at=at).messages
        assert example.clips == ()
        tasks[example.task] += 1
        asked, answer = (message["content"] for message in example.messages)
        seen.add((asked, answer, example.messages[-1].get("thinking")))
        unlearnt = example.messages[-1].get("unlearnt", ())
        if example.problem is None and unlearnt:
            begun += 1
            lines = example.messages[-1]["thinking"].splitlines()
            assert [f"{line.rpartition(' = ')[0]} =" for line in lines] == unlearnt
            for left, sign, right, result in map(_sum_of, lines):
                total = float(left) + float(right) * (1 if sign == "+" else -1)
                assert f"{total:.1f}" == result
            assert answer == lines[-1].split()[-1]
        elif example.problem is None:
            assert len(answer.splitlines()) == len(asked.splitlines())
            for left, sign, right, result in SUM.findall(answer):
                total = float(left) + float(right) * (1 if sign == "+" else -1)
                assert f"{total:.1f}" == result
                assert {left, right} <= set(re.findall(r"[0-9]+\.[0-9]", asked))
        else:
            heard = example.problem.question == asked
            told_by_thought += heard
            given = thought_timeline("".join(unlearnt) if heard else asked, 99.0)
            assert told(example.problem.fact) == answer
            assert example.problem.solve(given.events) == example.problem.fact
            listed = thought_timeline(example.messages[-1]["thinking"], 99.0)
            assert listed.events == given.events
    assert min(tasks.values()) > 100
    assert 60 < min(begun, told_by_thought) < max(begun, told_by_thought) < 150
    assert len(seen) > 290


def test_every_axis_can_be_asked_about_in_text(scenes_folder: Path) -> None:
    source = _source(scenes_folder, "thoughts", examples=1)
    assert isinstance(source, ThoughtSource)
    source.labels += ["siren", "thunder", "cow", "cat"]  # some pair of them is held out
    axis: Axis
    for axis in AXES:
        problem = source.problem(random.Random(axis), axis)
        assert (len(problem.events) > 4) == (axis == "events")
    lengths = {len(draw_timeline(source.labels, random.Random(n))) for n in range(50)}
    assert lengths == {2, 3, 4}


def test_what_a_source_cannot_be_asked_is_refused(scenes_folder: Path) -> None:
    for kind, fields, says in (
        ("thoughts", {"tasks": {"reason": 1.0}}, "unknown task 'reason': use reason_text, arith"),
        ("scenes", {"tasks": {"reason_text": 1.0}}, "unknown task 'reason_text'"),
        ("jsonl", {"split": None, "examples": 3}, "'examples' means nothing for kind 'jsonl'"),
        ("thoughts", {"split": None}, "thoughts need a 'split'"),
        ("thoughts", {"split": "val"}, "0 labels in split 'val'"),
    ):
        with pytest.raises(MossAudioError, match=says):
            _source(scenes_folder, kind, **fields) if "split" not in fields else open_source(
                config := SourceConfig(kind, str(scenes_folder), **fields),  # type: ignore[arg-type]
                DataConfig((config,), batch_tokens=100),
            )

"""Scenes joined to long clips: what is true stays true where it then is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.data.draw import draw
from moss_audio.data.example import Example
from moss_audio.errors import MossAudioError
from moss_audio.scenes.joining import drawn_together, join
from moss_audio.scenes.reader import load_scenes
from moss_audio.tasks.events import Events
from moss_audio.units import SAMPLE_RATE
from tests.data.conftest import one_source, write_scenes  # noqa: F401
from tests.data_config import data_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"))


def test_what_is_heard_is_where_it_is_said_to_be(folder: Path) -> None:
    scenes = [scene for scene in load_scenes(folder) if scene.words or scene.events]
    audio, whole = join(scenes)
    assert len(audio.samples) == whole.num_samples == sum(scene.num_samples for scene in scenes)
    start, words, events = 0, [], []
    for scene in scenes:
        part = audio.samples[start : start + scene.num_samples]
        assert np.array_equal(part, scene.load().samples)
        words += [(w.text, w.start + start / SAMPLE_RATE) for w in scene.words]
        events += [(e.label, e.end + start / SAMPLE_RATE) for e in scene.events]
        start += scene.num_samples
    assert [(w.text, w.start) for w in whole.words] == words
    assert [(e.label, e.end) for e in whole.events] == events
    assert whole.text == " ".join(scene.text for scene in scenes if scene.text)
    assert [s.words for s in whole.sentences if s.words][-1][-1] == whole.words[-1]
    assert len(whole.sentence_voices) == len(whole.sentences)


def test_each_scene_begins_a_clip_of_its_kind_and_music_none(folder: Path) -> None:
    scenes = load_scenes(folder)
    parts = drawn_together(scenes, (4.0, 6.0), "seed")
    assert sorted(numbers[0] for numbers in parts) == [
        number for number, scene in enumerate(scenes) if not scene.music
    ]
    for numbers in parts:
        together = [scenes[number] for number in numbers]
        assert len({scene.kind for scene in together}) == 1
        assert 2.0 < sum(scene.duration_s for scene in together) <= 6.0
    assert parts == drawn_together(scenes, (4.0, 6.0), "seed")
    assert parts != drawn_together(scenes, (4.0, 6.0), "another seed")
    with pytest.raises(MossAudioError, match="pieces of music are not joined"):
        drawn_together([scene for scene in scenes if scene.music], (4.0, 6.0), "seed")


def test_a_source_asks_about_joined_scenes(
    one_source: Callable[..., Any],  # noqa: F811
    folder: Path,
) -> None:
    source = one_source("scenes", folder, split="train", tasks={"events": 1}, join_s=[4.0, 6.0])
    texts = []
    for index in range(len(source)):
        example = draw(source, index, source.id(index), 0, 0, None)
        assert isinstance(example, Example)
        assert len(example.clips[0]) / SAMPLE_RATE == pytest.approx(source.audio_s[index])
        texts.append(example.messages[1]["content"])
    assert max(text.count(": bell") for text in texts) > 2


def test_a_source_asks_about_scenes_as_about_parts_of_longer_recordings(
    one_source: Callable[..., Any],  # noqa: F811
    folder: Path,
) -> None:
    plain = one_source("scenes", folder, split="train", tasks={"events": 1})
    moved = one_source("scenes", folder, split="train", tasks={"events": 1}, begin_s=[30, 41])
    seconds = set()
    for index in range(len(plain)):
        here, there = (draw(one, index, one.id(index), 0, 0, None) for one in (plain, moved))
        assert isinstance(here, Example)
        assert isinstance(there, Example)
        seconds.add(there.begins_s)
        assert np.array_equal(here.clips[0], there.clips[0])
        assert (here.words, here.sounds) == (there.words, there.sounds)  # of the clip itself
        heard, told = (
            list(Events().parse(one.messages[1]["content"], 99.0).events) for one in (here, there)
        )
        assert [e.label for e in told] == [e.label for e in heard]
        assert [e.start - there.begins_s for e in told] == pytest.approx([e.start for e in heard])
    assert len(seconds) > 2
    assert seconds <= {30, 32, 34, 36, 38, 40}


def test_lengths_that_make_no_sense_are_refused() -> None:
    for kind, field, value, told in (
        ("scenes", "join_s", [6.0, 4.0], "must rise"),
        ("scenes", "join_s", [0.0, 4.0], "must rise"),
        ("drills", "join_s", [4.0, 6.0], "only scenes are joined"),
        ("scenes", "begin_s", [6.0, 4.0], "must rise"),
        ("scenes", "begin_s", [-2.0, 4.0], "must rise"),
        ("drills", "begin_s", [4.0, 6.0], "only scenes are moved"),
    ):
        source = {"kind": kind, "path": "x", "split": "train", field: value}
        with pytest.raises(MossAudioError, match=told):
            data_config({"sources": [source], "batch_audio_s": 4})

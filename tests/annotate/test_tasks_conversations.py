"""Conversations: every answer is read back by its task's own parser and compared with the raw
results, and what is doubtful is not taught."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moss_audio.annotate.merge import MergeStage
from moss_audio.annotate.records import AudioSegment, Span
from moss_audio.annotate.sft.talk import AUDIO, Talk, with_audio
from moss_audio.annotate.stage import StageItem
from moss_audio.annotate.tasks import TasksConfig, TaskStage
from moss_audio.data.config import SourceConfig
from moss_audio.data.sources.jsonl import JsonlSource
from moss_audio.errors import MossAudioError
from moss_audio.metrics.choice import parse_choice
from moss_audio.metrics.qa import parse_count
from moss_audio.scenes.reader import Scene, load_scenes
from moss_audio.tasks import get_task
from moss_audio.tasks.choices import ENDING
from moss_audio.text import normalize_words
from tests.annotate.merge_cases import agreed, from_chance, from_scene, result, segment
from tests.annotate.merge_errors import HOUSE, SONG, STREET, TALK

_SCENES = Path(__file__).parent / "merge_scenes"
ALL = TasksConfig(
    transcribe_sentence=1, transcribe_word=1, questions=20, choices=20, unanswerable=6
)


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Scene, AudioSegment]]:
    merge = MergeStage()
    out = []
    for scene in load_scenes(_SCENES, "test-unseen"):
        one = from_scene(scene)
        out.append((scene, replace(one, caption=merge.caption(one))))
    return out


def _talks(one: AudioSegment, config: TasksConfig = ALL) -> dict[str, list[Talk]]:
    out: dict[str, list[Talk]] = {}
    for talk in TaskStage(config).talks(one):
        out.setdefault(talk.task, []).append(talk)
    return out


def test_transcripts_and_timelines_read_back_as_the_truth(
    scenes: list[tuple[Scene, AudioSegment]],
) -> None:
    seen: Counter[str] = Counter()
    for scene, one in scenes:
        for name, talks in _talks(one).items():
            seen[name] += len(talks)
            if name not in ("transcribe", "transcribe_sentence", "transcribe_word", "events"):
                continue
            (talk,) = talks
            task = get_task(name)
            assert talk.question == task.prompt
            read = task.parse(talk.answer, scene.duration_s)
            assert not read.warnings
            if name == "events":
                labels = sorted(e.label for e in scene.events)
                assert sorted(e.label for e in read.events if e.label != "speech") == labels
                for event in scene.events:
                    assert any(abs(e.start - event.start) < 0.006 for e in read.events)
                continue
            assert normalize_words(read.text) == normalize_words(scene.text)
            units = {"transcribe_word": (read.words, scene.words),
                     "transcribe_sentence": (read.segments, scene.sentences)}  # fmt: skip
            for found, true in zip(*units.get(name, ((), ())), strict=True):
                assert abs(found.start - true.start) < 0.006
                assert abs(found.end - true.end) < 0.006
    for name in ("transcribe", "transcribe_sentence", "transcribe_word", "events", "caption",
                 "music_caption", "qa", "multiple_choice", "unanswerable"):  # fmt: skip
        assert seen[name] >= 5, (name, seen)


def _truth_of(question: str, scene: Scene) -> Any:
    """The one event whose label a question names."""
    heard = [e for e in scene.events if f"the {e.label} " in question.replace("?", " ")
             .replace(".", " ").replace(",", " ")]  # fmt: skip
    return heard[0] if len(heard) == 1 else None


def test_answers_about_times_are_those_of_the_scene(
    scenes: list[tuple[Scene, AudioSegment]],
) -> None:
    checked: Counter[str] = Counter()
    for scene, one in scenes:
        for talk in _talks(one).get("qa", ()):
            event = _truth_of(talk.question, scene)
            numbers = [float(w.strip(".,")) for w in talk.answer.split() if w[0].isdigit()]
            if event is None:
                continue
            start, end = event.start, event.end
            first = talk.question.split()[0].lower()
            if "order" in talk.question or "first, the" in talk.question:
                continue
            if "start?" in talk.question or "begin?" in talk.question:
                wanted = [start]
            elif "end?" in talk.question or "stop?" in talk.question:
                wanted = [end]
            elif first in ("from", "give"):
                wanted = [start, end]
            elif "long" in talk.question:
                wanted = [end - start]
            elif "often" in talk.question or "times" in talk.question:
                assert parse_count(talk.answer) == 1
                checked["count"] += 1
                continue
            else:
                continue
            checked["time"] += 1
            assert len(numbers) == len(wanted), talk
            assert all(abs(a - b) <= 0.051 for a, b in zip(numbers, wanted, strict=True)), talk
    assert checked["time"] >= 60, checked
    assert checked["count"] >= 10, checked


def test_an_order_is_told_as_it_happened() -> None:
    talks = [t for t in _talks(HOUSE)["qa"] if t.answer.startswith("First the")]
    assert talks
    starts = {"knocking": 2.0, "footsteps": 3.5, "door closing": 6.4, "phone ringing": 10.2}
    for talk in talks:
        told = sorted((s for s in starts if s in talk.answer), key=talk.answer.index)
        assert [starts[label] for label in told] == sorted(starts[label] for label in told)
    assert any(sum(s in talk.answer for s in starts) == 2 for talk in talks)


def test_choices_have_one_right_answer(scenes: list[tuple[Scene, AudioSegment]]) -> None:
    count = 0
    for scene, one in scenes:
        for talk in _talks(one).get("multiple_choice", ()):
            question, *options, ending = talk.question.splitlines()
            assert ending == ENDING
            assert len(options) == len({o[3:] for o in options}) == 4
            texts = [option.split(". ", 1)[1] for option in options]
            at = parse_choice(talk.answer, texts)
            assert at is not None
            heard = {e.label for e in scene.events}
            if question.startswith("Which of these") or "following can be" in question:
                assert [text in heard for text in texts].count(True) == 1
                assert texts[at] in heard
            event = _truth_of(question, scene)
            if event and ("start?" in question or "begin?" in question):
                right = [abs(float(t.split()[0]) - event.start) <= 0.051 for t in texts]
                assert right.count(True) == 1
                assert right[at]
            count += 1
    assert count >= 60


def test_what_is_not_there_is_denied(scenes: list[tuple[Scene, AudioSegment]]) -> None:
    count = 0
    for scene, one in scenes:
        for talk in _talks(one).get("unanswerable", ()):
            assert normalize_words(talk.answer)[0] in ("no", "there", "nobody")
            words = set(normalize_words(talk.truth))
            assert not any(words & set(normalize_words(e.label)) for e in scene.events)
            assert talk.truth != "speech" or not scene.sentences
            count += 1
    assert count >= 60


def test_nothing_is_called_absent_that_was_never_listened_for() -> None:
    talked = segment("s", 5.0, [agreed("Hello there.")])
    assert "unanswerable" not in _talks(talked)


def test_speech_and_music_captions() -> None:
    (speech,) = _talks(TALK)["speech_caption"]
    fields = {"gender": "female", "pitch": "high", "volume": "quiet", "speed": "fast",
              "emotion": "calm"}  # fmt: skip
    assert json.loads(speech.answer) == fields
    (music,) = _talks(SONG)["music_caption"]
    for fact in ("120 bpm", "F sharp minor", "A B A", "piano and drums"):
        assert fact in music.answer
    assert "speech_caption" not in _talks(TALK, TasksConfig(least_fields=6))


def test_dropped_words_are_never_taught_and_flagged_ones_on_request() -> None:
    span = Span("Buy milk today.", 1.0, 2.5)
    for decision, flagged, taught in (
        ("keep", False, True), ("flag", False, False), ("flag", True, True), ("drop", True, False),
    ):  # fmt: skip
        one = segment("s", 4.0, [agreed("Buy milk today.", decision),
                                 result("sentences", "speech", spans=(span,))])  # fmt: skip
        talks = TaskStage(replace(ALL, flagged=flagged)).talks(one)
        told = " ".join(talk.question + talk.answer for talk in talks)
        assert ("milk" in told) == taught, (decision, flagged)


def test_a_doubtful_event_keeps_its_segment_from_a_timeline_and_from_counts() -> None:
    spans = (Span("bell", 1.0, 2.0, 0.9), Span("bell", 4.0, 5.0, 0.4))
    one = segment("s", 6.0, [result("events", spans=spans)])
    talks = _talks(one)
    assert "events" not in talks
    assert not any("often" in t.question or "times" in t.question for t in talks.get("qa", ()))


def test_odd_evidence_breaks_nothing_and_every_count_is_kept() -> None:
    config = TasksConfig(questions=2, choices=1, unanswerable=1)
    for seed in range(60):
        one = from_chance(seed)
        counts = {name: len(talks) for name, talks in _talks(one, config).items()}
        assert counts.get("qa", 0) <= 2
        assert all(counts.get(name, 0) <= 1 for name in counts if name != "qa")


def test_draws_follow_from_the_id_and_families_do_not_disturb_each_other() -> None:
    assert TaskStage(ALL).talks(HOUSE) == TaskStage(ALL).talks(HOUSE)
    some, more = TasksConfig(questions=2), TasksConfig(questions=2, choices=3, transcribe=0)
    assert _talks(HOUSE, some)["qa"] == _talks(HOUSE, more)["qa"]
    drawn = {tuple(t.question for t in _talks(replace(STREET, id=str(i)), some)["qa"])
             for i in range(8)}  # fmt: skip
    assert len(drawn) > 4
    quarter = [bool(_talks(replace(STREET, id=str(i)), TasksConfig(events=0.25)).get("events"))
               for i in range(80)]  # fmt: skip
    assert 8 <= sum(quarter) <= 34


def test_lines_are_read_by_the_trainers_reader(tmp_path: Path) -> None:
    merged = replace(HOUSE, caption=MergeStage().caption(HOUSE))
    (done,) = TaskStage(ALL).process_batch([StageItem(merged, lambda: None)])  # type: ignore[arg-type, return-value]
    assert AudioSegment.from_dict(json.loads(json.dumps(done.to_dict()))).conversations
    assert all(c["conversation"][0]["content"] == AUDIO for c in done.conversations)
    lines = [with_audio(c, "audio/house.wav", 20.0) for c in done.conversations]
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/house.wav").write_bytes(b"")  # its sound is not read here
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    source = JsonlSource(SourceConfig(kind="jsonl", path=str(path)), "made")
    assert len(source) == len(lines) > 10
    for number, line in enumerate(lines):
        entry = source.raw(number)
        assert entry.messages
        assert [part["type"] for part in entry.messages[0]["content"]] == ["audio", "text"]
        assert entry.messages[1]["content"] == line["conversation"][2]["content"]
        assert Path(str(entry.clips[0].audio)).name == "house.wav"
    with pytest.raises(MossAudioError, match="places for its sound"):
        with_audio(lines[0], "again.wav", 1.0)


def test_impossible_settings_are_told_together() -> None:
    with pytest.raises(MossAudioError, match=r"choices: -1.* must be .*most_words: 0 must"):
        TasksConfig(choices=-1, most_words=0)

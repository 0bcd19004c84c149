"""What the suites ask and how they count, on answers that are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.dsp.loudness import rms
from moss_audio.endpoint import Endpoint
from moss_audio.errors import MissingDependencyError, MossAudioError
from moss_audio.evaluate.figures import ALL, Figure, figures
from moss_audio.evaluate.item import Dataset, Item
from moss_audio.evaluate.loaders import prompts
from moss_audio.evaluate.loaders import scenes as scene_items
from moss_audio.evaluate.loaders.files import DataError
from moss_audio.evaluate.noise import Babbled, NoiseClip, Noisy
from moss_audio.evaluate.plan import Plan
from moss_audio.evaluate.run import run
from moss_audio.evaluate.store import AnswerFile
from moss_audio.evaluate.suites import plan
from moss_audio.evaluate.suites.facts import named
from moss_audio.evaluate.suites.general import choice_prompt
from moss_audio.metrics.judge import FIELDS, Ratings, SpeechCaptionJudge
from tests.evaluate import layouts
from tests.evaluate.fakes import FakeModel


def _measured(model: FakeModel, planned: Plan, out: Path) -> dict[tuple[str, str, str], Figure]:
    with AnswerFile(out) as store:
        ran = run(model, planned, store, fingerprint="m")  # type: ignore[arg-type]
    return {(f.part, f.name, f.group): f for f in figures(planned, ran.outcomes)}


def test_choices_are_lettered_once() -> None:
    item = Item("i", (), question="Which?", choices=("(A) violin", "B. flute", "a C clef"))
    assert choice_prompt(item).splitlines()[:4] == [
        "Which?",
        "A. violin",
        "B. flute",
        "C. a C clef",
    ]
    assert choice_prompt(item).splitlines()[-1].startswith("Answer with the letter")
    with pytest.raises(MossAudioError, match="item i: 0 choices"):
        choice_prompt(Item("i", ()))


def test_both_accuracies_and_the_mean_of_four(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for name, make in _GENERAL.items():
        make(tmp_path / "data" / name)
    layouts.tone(tmp_path / "data/mmau/test-mini-audios/a2.wav")
    model = FakeModel(reply=lambda text: "I cannot tell." if "happy" in text else "B. a bell")
    found = _measured(model, plan("general", tmp_path / "data"), tmp_path / "out")
    strict, official = "accuracy, strict", "accuracy, official rule"
    assert found["mmau", strict, ALL].value == 100
    assert found["mmau", strict, "music"].items == 1
    assert found["mmau", official, ALL].baseline == pytest.approx(25)
    # An answer without a letter leaves MMSU's official denominator, and is wrong strictly.
    assert found["mmsu", strict, ALL].value == 0
    assert found["mmsu", official, ALL].value is None
    assert found["mean of four", strict, ALL].value == pytest.approx((100 + 100 + 0 + 0) / 4)
    assert found["mean of four", official, ALL].value is None
    assert "77.33" in found["mmau", official, ALL].paper
    assert 2 in model.engine.clips  # an item with two recordings puts both into the prompt


_GENERAL: dict[str, Callable[[Path], Path]] = {
    "mmau": layouts.mmau,
    "mmau-pro": layouts.mmau_pro,
    "mmar": layouts.mmar,
    "mmsu": layouts.mmsu,
}


def test_a_question_without_an_answer_is_wrong(tmp_path: Path) -> None:
    layouts.mmau(tmp_path / "mmau")  # the recording of its second item exists, the first's is gone
    (tmp_path / "mmau/test-mini-audios/a1.wav").unlink()
    found = _measured(FakeModel(), plan("general", tmp_path), tmp_path / "out")
    figure = found["mmau", "accuracy, strict", ALL]
    assert (figure.value, figure.items) == (0, 2)


def test_a_checkpoint_that_thinks_by_habit_has_room_to_think(tmp_path: Path) -> None:
    """Evaluation once gave every answer 512 tokens: those of a Thinking checkpoint were cut inside
    the thought, and counted as wrong."""
    layouts.mmau(tmp_path / "mmau")
    plain, thinking = FakeModel(), FakeModel()
    thinking.engine.thinks = True
    for model, name in ((plain, "plain"), (thinking, "thinking")):
        _measured(model, plan("general", tmp_path), tmp_path / name)
    assert max(plain.engine.bounds) <= 512
    assert min(thinking.engine.bounds) >= 4096


def test_what_is_absent_is_said(tmp_path: Path) -> None:
    layouts.mmau(tmp_path / "mmau")
    assert dict(plan("general", tmp_path).absent)["mmsu"] == "there is no folder mmsu"
    with pytest.raises(
        DataError, match="nothing to measure for suite 'general': mmau: there is no"
    ):
        plan("general", layouts.librispeech(tmp_path / "other"))
    with pytest.raises(MossAudioError, match="unknown suite 'speed': choose one of nano, "):
        plan("speed", tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        plan("asr", tmp_path / "nowhere")


def test_hidden_answers_are_not_measured(tmp_path: Path) -> None:
    folder = tmp_path / "mmau"
    row = {**layouts.MMAU_ROW, "answer": ""}
    layouts.write(folder / "mmau-test.json", f"[{json.dumps(row)}]")
    with pytest.raises(DataError, match="its answers are not published"):
        plan("general", tmp_path)


def test_word_times_in_both_conventions(tmp_path: Path) -> None:
    """Said: `hello world` over 0 to 1 s, half each; true: 0.2 to 0.5 and 0.6 to 1.0."""
    pytest.importorskip("praatio")
    layouts.textgrids(tmp_path / "data/librispeech")
    found = _measured(FakeModel(), plan("timestamps", tmp_path / "data"), tmp_path / "out")
    total = found["librispeech", "AAS, sum", ALL]
    assert total.value == pytest.approx((200 + 0 + 100 + 0) / 2)
    assert found["librispeech", "AAS, mean", ALL].value == pytest.approx(75)
    assert found["librispeech", "words matched", ALL].value == 100
    assert "131.61" in total.paper
    model = FakeModel("hello there")
    found = _measured(model, plan("timestamps", tmp_path / "data"), tmp_path / "out2")
    assert found["librispeech", "words matched", ALL].value == 50
    assert found["librispeech", "AAS, sum", ALL].value == pytest.approx(200)


def test_words_of_chinese_are_compared_as_the_reference_cuts_them(tmp_path: Path) -> None:
    words = [
        {"text": c, "start": i * 0.25, "end": (i + 1) * 0.25} for i, c in enumerate("甚至出现")
    ]
    layouts.jsonl(tmp_path / "aishell1/list.jsonl", [{"audio": "a.wav", "words": words}])
    layouts.tone(tmp_path / "aishell1/a.wav", 1.0)
    found = _measured(FakeModel("甚至 出现"), plan("timestamps", tmp_path), tmp_path / "out")
    assert found["aishell1", "words matched", ALL].value == 100
    assert found["aishell1", "AAS, sum", ALL].value == pytest.approx(0)
    assert found["aishell1", "error rate", ALL].value == 0


def test_facts_of_a_list_are_named_denied_or_invented(tmp_path: Path) -> None:
    facts = ("bell|chime", "dog barking|bark", "rain")
    assert named("Two chimes, and a dog barks.", facts) == {"bell|chime", "dog barking|bark"}
    assert named("There is no rain and no bell.", facts) == frozenset()
    rows = [
        {"audio": "a.wav", "caption": "A bell.", "facts": ["bell", "rain"]},
        {"audio": "b.wav", "facts": ["dog"]},
    ]
    layouts.jsonl(tmp_path / "set/list.jsonl", rows)
    for name in "ab":
        layouts.tone(tmp_path / f"set/{name}.wav")
    found = _measured(FakeModel(), plan("captions", tmp_path), tmp_path / "out")
    assert found["set", "facts named", ALL].value == pytest.approx(100 / 3)
    assert found["set", "facts invented", ALL].value == 50  # the bell of the second


def test_a_judge_rates_fields_and_its_failures_are_no_ratings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"audio": f"{n}.wav", "fields": {"gender": n, "age": "old"}} for n in ("a", "b", "c")]
    layouts.jsonl(tmp_path / "data/speech/list.jsonl", rows)
    for name in "ab":  # the third recording is missing: nothing to judge
        layouts.tone(tmp_path / f"data/speech/{name}.wav")
    seen: list[Any] = []

    def rate(self: SpeechCaptionJudge, pairs: Any) -> list[Ratings | None]:
        seen.append((self.cache_dir, pairs))
        return [dict.fromkeys(FIELDS, 4) | {"summary": 1}, None]

    monkeypatch.setattr(SpeechCaptionJudge, "rate", rate)
    judge = SpeechCaptionJudge(Endpoint("http://localhost:1/v1", "rater"))
    planned = plan("captions", tmp_path / "data", judge)
    model = FakeModel(reply=lambda text: "gender: a" if "gender: ..." in text else "")
    found = _measured(model, planned, tmp_path / "out")
    overall = found["speech", "judge, mean of fields", ALL]
    assert overall.value == pytest.approx((12 * 4 + 1) / 13)
    assert "3.7252 (8B-Instruct)" in overall.paper
    assert found["speech", "judge, summary", ALL].value == 1
    assert found["speech", "judge's replies that cannot be read", ALL].value == 50
    cache, pairs = seen[0]
    assert cache == tmp_path / "out/judge"
    assert pairs[0] == ({"gender": "a", "age": "old"}, "gender: a")
    assert "rated by rater" in planned.parts[0].dataset.notes[0]


def test_fields_need_a_judge_and_known_names(tmp_path: Path) -> None:
    judge = SpeechCaptionJudge(Endpoint("http://localhost:1/v1", "rater"))
    layouts.jsonl(tmp_path / "s/list.jsonl", [{"audio": "a.wav", "fields": {"hair": "red"}}])
    with pytest.raises(DataError, match="s: a judge has to rate its fields: give --judge-url"):
        plan("captions", tmp_path)
    with pytest.raises(DataError, match=r"item a\.wav: unknown fields hair; there are: gender, "):
        plan("captions", tmp_path, judge)
    with pytest.raises(MossAudioError, match="suite 'asr' needs no judge"):
        plan("asr", tmp_path, judge)


def test_nano_has_every_line_of_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds, text = layouts.prompts(tmp_path / "prompts")
    monkeypatch.setattr(prompts, "DIRECTORY", sounds)
    monkeypatch.setattr(prompts, "TEXT", text)
    layouts.scenes(tmp_path / "readings")
    planned = plan("nano", layouts.scenes(tmp_path / "scenes"))
    model = FakeModel("hello", reply=_as_taught)
    found = _measured(model, planned, tmp_path / "out")
    values = {(part, name): f.value for (part, name, group), f in found.items() if group == ALL}
    assert values["human", "word error rate"] == 0  # only `hello` is speech that is written
    assert values["read speech", "word error rate"] == 50
    assert values["read speech", "word error rate, 8 s and more"] is None
    assert values["read speech in babble", "word error rate"] == 50
    assert values["human in babble", "word error rate"] == 0
    assert values["voice", "word error rate"] == 50
    assert values["voice in noise", "word error rate"] == 50
    assert values["word times", "words matched"] == 50
    assert values["word times", "AAS, mean"] == pytest.approx((100 + 600) / 2)
    assert values["events", "event-based F1 at 200 ms"] == 0
    assert values["events", "segment-based F1 at 1 s"] == pytest.approx(2 * 1 / (2 + 2))
    assert values["captions", "sounds named"] == pytest.approx(100 * 1 / 4)
    assert values["no speech", "invented words a minute"] is not None
    assert values["no speech, word times", "invented words a minute"] is not None
    assert found["no speech", "invented words a minute", "noise"].value == pytest.approx(6)
    accuracy = {
        g: f
        for (part, name, g), f in found.items()
        if part == "time questions" and name == "accuracy"
    }
    assert accuracy["at"].value == 50  # of speech, bell, dog and music
    assert accuracy["when"].value == 100
    assert accuracy["count"].value == 0
    assert accuracy[ALL].baseline is not None
    music = found["music questions", "accuracy", ALL]
    assert (music.items, music.baseline_name) == (3, "chance")


def test_kinds_of_questions_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 64 questions once held a single count: they came scene by scene, and most scenes
    have several "when" and no certain "how many"."""
    found = scene_items.scenes(layouts.scenes(tmp_path))
    kinds = ("when", "count", "at")
    every = scene_items.asked(found, kinds).items
    of_kind = {kind: [i for i in every if i.category == kind] for kind in kinds}
    assert len(of_kind["count"]) < len(of_kind["when"])
    fewest = min(map(len, of_kind.values()))
    assert [i.category for i in every[: 3 * fewest]] == list(kinds) * fewest
    assert len({i.id for i in every}) == len(every)
    for items in of_kind.values():  # inside a kind, in the order of the scenes
        of_scene = [i.id.partition("/")[0] for i in items]
        assert of_scene == sorted(of_scene)
    monkeypatch.setattr(scene_items, "QUESTIONS", 2)
    fewer = scene_items.asked(found, kinds).items
    assert [i.id for i in fewer if i.category == "when"] == [i.id for i in of_kind["when"][:2]]
    labels = {i.category: i.choices for i in every}
    assert all(i.choices == labels[i.category] for i in fewer)  # of all scenes, as before


def _as_taught(question: str) -> str:
    """Right about what is heard and when, wrong about the rest."""
    if " at " in question:
        return "Dog." if "1.3" in question else "Bell."
    if question.startswith("When"):
        return f"At {'1.0' if 'dog' in question else '0.2' if 'bell' in question else '0.0'} s."
    return "Nobody knows."


def test_nothing_of_training_is_measured(tmp_path: Path) -> None:
    planned = plan("nano", layouts.scenes(tmp_path))
    ids = {item.id for part in planned.parts for item in part.dataset.items if part.name != "human"}
    assert not any(name.startswith("shard-00000-0004") for name in ids)
    assert "shard-00000-0000" in ids


def test_without_the_prompts_their_line_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "DIRECTORY", tmp_path / "none")
    planned = plan("nano", layouts.scenes(tmp_path / "scenes"))
    assert "human" not in [part.name for part in planned.parts]
    assert "apt-get install asterisk-core-sounds-en" in dict(planned.absent)["human"]


def test_without_readings_their_lines_are_absent(tmp_path: Path) -> None:
    planned = plan("nano", layouts.scenes(tmp_path / "scenes"))
    assert "readings" in dict(planned.absent)["read speech"]
    assert "read speech" not in [part.name for part in planned.parts]


def test_babble_is_somebody_elses_and_the_same_each_time(tmp_path: Path) -> None:
    found = scene_items.scenes(layouts.scenes(tmp_path))
    (item,) = scene_items.speech(found).items
    other = replace(item, id="other", audio=(NoiseClip(0.5, "pink", -30.0, "n"),), reference="no")
    (heard,) = scene_items.in_babble(Dataset([item], ""), [item, other]).items
    (sound,) = heard.audio
    assert other.audio[0].identity in sound.identity
    assert sound.identity.count(item.audio[0].identity) == 1
    np.testing.assert_array_equal(sound.load().samples, sound.load().samples)
    speech_level = rms(item.audio[0].load().samples)
    quieter = rms(sound.load().samples - item.audio[0].load().samples)
    snr_db = 20 * np.log10(speech_level / quieter)
    assert isinstance(sound, Babbled)
    assert snr_db == pytest.approx(sound.snr_db, abs=0.1)
    assert 0 <= snr_db <= 20.1
    assert heard.reference == item.reference


def test_sounds_made_here_tell_what_they_are() -> None:
    clip = NoiseClip(0.5, "pink", -30.0, "n")
    audio = clip.load()
    assert audio.duration_s == 0.5
    level = 10 * np.log10(np.mean(audio.samples.astype(float) ** 2))
    assert level == pytest.approx(-30, abs=0.1)
    noisy: Any = Noisy(clip, 10.0, "white", "i")
    assert clip.identity in noisy.identity
    assert noisy.load().duration_s == 0.5


def test_a_suite_of_error_rates_needs_its_extra_before_it_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra was missed at the end, when everything had been asked."""
    layouts.tone(tmp_path / "a" / "0.wav")
    layouts.jsonl(tmp_path / "a" / "list.jsonl", [{"audio": "0.wav", "text": "hello"}])
    monkeypatch.setattr("moss_audio.errors.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"suite 'asr' .*\[eval\]"):
        plan("asr", tmp_path)

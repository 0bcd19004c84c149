"""Every loader reads its official layout, and says in one line what is wrong with a broken one."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moss_audio.errors import AudioError, MissingDependencyError, MossAudioError
from moss_audio.evaluate.loaders import aishell1, choices, librispeech, lists, textgrid
from moss_audio.evaluate.loaders.files import DataError
from moss_audio.recordings.entry import Clip
from moss_audio.result import Word
from tests.evaluate import layouts


def test_mmau(tmp_path: Path) -> None:
    dataset = choices.load_mmau(layouts.mmau(tmp_path))
    first, second = dataset.items
    assert (first.id, first.category, first.reference) == ("a1", "sound", "a bell")
    assert first.choices == ("a dog", "a bell", "rain", "a car")
    assert first.audio[0].load().duration_s == pytest.approx(0.5)
    assert second.category == "music"


def test_hidden_answers_of_mmau_stay_unknown(tmp_path: Path) -> None:
    assert choices.load_mmau(layouts.mmau(tmp_path, answer="")).items[0].reference is None


def test_mmar_has_items_with_five_choices(tmp_path: Path) -> None:
    (item,) = choices.load_mmar(layouts.mmar(tmp_path)).items
    assert len(item.choices) == 5
    assert item.category == "mix-sound-speech"
    assert item.audio[0].load().duration_s == pytest.approx(0.5)


def test_mmau_pro_has_items_with_several_recordings(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    dataset = choices.load_mmau_pro(layouts.mmau_pro(tmp_path))
    (item,) = dataset.items
    assert [sound.identity.split(":")[0] for sound in item.audio] == ["data/p1.wav", "data/p2.wav"]
    assert [sound.load().duration_s for sound in item.audio] == pytest.approx([0.5, 0.5])
    assert dataset.notes[0].startswith("1 items without choices")


@pytest.mark.parametrize("answer", ["sad", "B"])
def test_mmsu_names_its_answer_by_text_or_letter(tmp_path: Path, answer: str) -> None:
    (item,) = choices.load_mmsu(layouts.mmsu(tmp_path, answer_gt=answer)).items
    assert item.reference == "sad"
    assert item.choices == ("happy", "sad", "angry", "calm")


def test_mmsu_recordings_inside_parquet(tmp_path: Path) -> None:
    """Row groups of two: the third row is the first of the second group."""
    pytest.importorskip("pyarrow")
    items = choices.load_mmsu(layouts.mmsu_parquet(tmp_path)).items
    lengths = [item.audio[0].load().duration_s for item in items]
    assert lengths == pytest.approx([0.1, 0.2, 0.3])
    assert items[0].audio[0].load().duration_s == pytest.approx(0.1)


def test_aishell1_keeps_to_its_split_and_counts_what_has_no_text(tmp_path: Path) -> None:
    dataset = aishell1.load(layouts.aishell1(tmp_path))
    (item,) = dataset.items
    assert (item.id, item.reference, item.category) == ("BAC009S0764W0121", "甚至出现交易", "S0764")
    assert dataset.notes == ("1 recordings without a transcript are left out",)
    assert aishell1.load(tmp_path / "data_aishell", "train").items[0].reference == "而对楼市"


def test_librispeech(tmp_path: Path) -> None:
    items = librispeech.load(layouts.librispeech(tmp_path)).items
    assert [item.reference for item in items] == [
        "HE HOPED THERE WOULD BE STEW",
        "STUFF IT INTO YOU",
    ]
    assert {item.category for item in items} == {"test-clean"}
    assert items[0].audio[0].load().duration_s == pytest.approx(0.5)


def test_manifests_in_jsonl_and_csv(tmp_path: Path) -> None:
    rows = [
        {"audio": "a.wav", "text": "one"},
        {"audio_filepath": "a.wav", "text": "two", "start": 0.1, "end": 0.3, "language": "en"},
    ]
    layouts.jsonl(tmp_path / "list.jsonl", rows)
    layouts.write(tmp_path / "more.csv", 'path,sentence\nb.wav,"three, four"\n')
    layouts.tone(tmp_path / "a.wav")
    items = lists.load_texts(tmp_path).items
    assert [(item.id, item.reference) for item in items] == [
        ("a.wav", "one"),
        ("a.wav@0.1", "two"),
        ("b.wav", "three, four"),
    ]
    assert items[1].audio[0].load().duration_s == pytest.approx(0.2)


def test_kaldi_with_segments(tmp_path: Path) -> None:
    layouts.tone(tmp_path / "r.wav", 1.0)
    layouts.write(tmp_path / "wav.scp", "r r.wav\n")
    layouts.write(tmp_path / "segments", "u1 r 0.0 0.25\nu2 r 0.5 1.0\n")
    layouts.write(tmp_path / "text", "u1 first words\nu2 the rest\n")
    items = lists.load_kaldi(tmp_path).items
    assert [item.reference for item in items] == ["first words", "the rest"]
    assert [i.audio[0].load().duration_s for i in items] == pytest.approx([0.25, 0.5])


def test_kaldi_commands_are_never_run(tmp_path: Path) -> None:
    layouts.write(tmp_path / "wav.scp", "u1 sox in.wav -t wav - |\n")
    layouts.write(tmp_path / "text", "u1 words\n")
    with pytest.raises(DataError, match=r"wav\.scp:1: a command is never run"):
        lists.load_kaldi(tmp_path)


def test_timed(tmp_path: Path) -> None:
    words = [{"text": "hello", "start": 0.1, "end": 0.4}, {"word": "you", "start": 0.4, "end": 0.5}]
    layouts.jsonl(tmp_path / "list.jsonl", [{"audio": "a.wav", "words": words}])
    (item,) = lists.load_timed(tmp_path).items
    assert item.words == (Word("hello", 0.1, 0.4), Word("you", 0.4, 0.5))
    assert item.reference == "hello you"


@pytest.mark.parametrize("tier", ["words", "speaker 1 - words"])
def test_textgrids_of_a_forced_aligner(tmp_path: Path, tier: str) -> None:
    pytest.importorskip("praatio")
    (item,) = textgrid.load(layouts.textgrids(tmp_path, tier)).items
    assert item.words == (Word("hello", 0.2, 0.5), Word("world", 0.6, 1.0))
    assert (item.id, item.reference) == ("s1/one", "hello world")
    assert item.audio[0].load().duration_s == pytest.approx(1.0)


def test_captions(tmp_path: Path) -> None:
    row = {"audio": "a.wav", "caption": "A dog barks.", "facts": ["dog", "bark|barking"]}
    layouts.jsonl(tmp_path / "list.jsonl", [row, {"audio": "b.wav", "fields": {"age": "young"}}])
    first, second = lists.load_captions(tmp_path).items
    assert (first.reference, first.facts) == ("A dog barks.", ("dog", "bark|barking"))
    assert second.fields == (("age", "young"),)


def _json(row: dict[str, Any], *without: str) -> str:
    return json.dumps([{k: v for k, v in row.items() if k not in without}])


Case = tuple[str, str, str, Callable[[Path], Any], str]
BROKEN: tuple[Case, ...] = (
    ("mmau-test-mini.json", _json(layouts.MMAU_ROW, "choices"), "a field", choices.load_mmau,
     r"mmau-test-mini\.json\[0\]: no field 'choices'; there are: id, "),
    ("mmau-test-mini.json", "{not json", "json", choices.load_mmau, r"mini\.json:1: not JSON"),
    ("mmau-test-mini.json", '{"a": 1}', "list", choices.load_mmau, "must be a list of objects"),
    ("other.json", "[]", "no file", choices.load_mmau, r"holds none of mmau-test-mini\.json, "),
    ("MMAR-meta.json", _json({"id": 3}), "type", choices.load_mmar,
     r"\[0\]: 'id' must be text, got 3"),
    ("m.jsonl", json.dumps({**layouts.MMSU_ROW, "answer_gt": "bored"}), "answer", choices.load_mmsu,
     r"m\.jsonl:1: 'answer_gt' is 'bored', which is none of the choices"),
    ("list.jsonl", '{"audio": "a.wav"}\n', "no text", lists.load_texts,
     r"list\.jsonl:1: no field 'text'"),
    ("list.jsonl", '{"audio": "a.wav", "text": "x"}\n' * 2, "twice", lists.load_texts,
     r"2 items have the id 'a\.wav'"),
    ("list.csv", "audio,text\na.wav,one, two\n", "comma", lists.load_texts,
     r"list\.csv:2: as many cells as the header has are needed: 2, not 3"),
    ("list.jsonl", '{"audio": "a", "words": [{"text": "x", "start": 2, "end": 1}]}', "order",
     lists.load_timed, r"words\[0\]: start 2 and end 1 are no interval"),
    ("list.jsonl", '{"audio": "a.wav"}', "nothing", lists.load_captions,
     "none of 'caption', 'facts'"),
    ("a/b/c.trans.txt", "1-2-3\n", "no words", librispeech.load, r"trans\.txt:1: an id and its"),
    ("aligned/x.TextGrid", "nonsense", "no recording", textgrid.load, "no recording of that name"),
    ("data_aishell/wav/x", "", "no list", aishell1.load, r"holds none of transcript/aishell"),
)  # fmt: skip


@pytest.mark.parametrize("case", BROKEN, ids=[f"{c[3].__name__}-{c[2]}" for c in BROKEN])
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, case: Case) -> None:
    name, text, _, load, message = case
    layouts.write(tmp_path / name, text)
    with pytest.raises(MossAudioError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_broken_textgrid_is_named(tmp_path: Path) -> None:
    pytest.importorskip("praatio")
    layouts.textgrids(tmp_path)
    layouts.write(tmp_path / "aligned/s1/one.TextGrid", "nonsense")
    with pytest.raises(DataError, match=r"one\.TextGrid: "):
        textgrid.load(tmp_path)
    layouts.textgrids(tmp_path, "letters")
    with pytest.raises(DataError, match="no tier 'words'; there are: letters"):
        textgrid.load(tmp_path)


def test_a_missing_recording_is_an_error_of_its_item_alone(tmp_path: Path) -> None:
    _, second = choices.load_mmau(layouts.mmau(tmp_path)).items
    (tmp_path / "test-mini-audios/a1.wav").unlink()
    with pytest.raises(AudioError, match=r"a1\.wav"):
        second.audio[0].load()


@pytest.mark.parametrize(("package", "load", "make"), [
    ("pyarrow", choices.load_mmau_pro, layouts.mmau_pro),
    ("praatio", textgrid.load, layouts.textgrids),
])  # fmt: skip
def test_an_optional_package_that_is_missing_names_its_extra(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    load: Callable[[Path], Any],
    make: Callable[[Path], Path],
) -> None:
    pytest.importorskip(package)
    make(tmp_path)
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependencyError, match=rf"{package}.*pip install .\.\[eval\]"):
        load(tmp_path)


def test_digests_do_not_depend_on_the_place_but_on_the_content(tmp_path: Path) -> None:
    here, there = layouts.mmau(tmp_path / "a"), layouts.mmau(tmp_path / "b/c")
    assert choices.load_mmau(here).digest() == choices.load_mmau(there).digest()
    layouts.tone(there / "test-mini-audios/a1.wav", 0.6)
    assert choices.load_mmau(here).digest() != choices.load_mmau(there).digest()
    other = choices.load_mmau(layouts.mmau(tmp_path / "d", question="What else?"))
    assert choices.load_mmau(here).digest() != other.digest()
    assert Clip(str(here / "x.wav"), name="x.wav").identity == "x.wav:-1:None:None"

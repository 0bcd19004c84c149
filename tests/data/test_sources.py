"""Manifests: what is read of each kind, and what is said of bad ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.data.augment import AugmentConfig
from moss_audio.data.batch import SetAside
from moss_audio.data.draw import draw
from moss_audio.data.example import DOCUMENT, DOCUMENT_PART, Example
from moss_audio.errors import MossAudioError
from moss_audio.recordings import load_audio
from moss_audio.result import Event, Word
from tests.data.conftest import released, tone, write_lines, write_wav

Open = Callable[..., Any]
A = {"type": "audio"}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _all(source: Any) -> dict[str, Example]:
    found = {}
    for index in range(len(source)):
        example = draw(source, index, source.id(index), 0, 0, None)
        assert isinstance(example, Example), example
        found[example.id] = example
    return found


def _one(one_source: Open, folder: Path, line: Any, **fields: Any) -> Example:
    write_wav(folder / "a.wav", 0.5)
    write_wav(folder / "b.wav", 0.6)
    source = one_source("jsonl", write_lines(folder / "m.jsonl", [line]), **fields)
    (example,) = _all(source).values()
    return example


def test_the_released_format(one_source: Open, jsonl: Path, clips: Path) -> None:
    source = one_source("jsonl", jsonl)
    example = _all(source)["train/3"]
    assert example.messages == [
        {"role": "user", "content": [A, _text("What is heard?")]},
        {"role": "assistant", "content": "the " * 3},
    ]
    assert np.array_equal(example.clips[0], load_audio(clips / "wav" / "2.wav").samples)
    assert source.audio_s[2] == pytest.approx(0.6)


def test_the_released_format_without_or_with_several_prompts(
    one_source: Open, tmp_path: Path
) -> None:
    line = released("a.wav", "yes")
    del line["conversation"][1]
    assert _one(one_source, tmp_path, line).messages[0]["content"] == [A]
    example = _one(one_source, tmp_path, line, prompt="Transcribe it.")
    assert example.messages[0]["content"] == [A, _text("Transcribe it.")]
    line = released("a.wav", "yes")
    more = {"role": "user", "message_type": "text", "content": "Say it."}
    line["conversation"] = [more, *line["conversation"]]
    example = _one(one_source, tmp_path, line)
    # its script puts the audio first, and texts on lines of their own
    content = example.messages[0]["content"]
    assert content[0] == A
    assert "".join(p["text"] for p in content[1:]) == "Say it.\nWhat is heard?"


QA = {"role": "assistant", "content": "yes"}
FORMS: list[tuple[dict[str, Any], list[Any], int]] = [
    (
        {"messages": [{"role": "user", "content": [{"type": "audio", "audio": "a.wav"},
                                                   _text("Q?")]}, QA]},
        [A, _text("Q?")], 1,
    ),
    (
        {"messages": [{"role": "user", "content": [
            {"type": "audio_url", "audio_url": {"url": "a.wav"}},
            {"type": "audio", "path": "b.wav"}, _text("Q?")]}, QA]},
        [A, A, _text("Q?")], 2,
    ),
    (
        {"conversations": [{"from": "human", "value": "<audio>\nQ?"},
                           {"from": "gpt", "value": "yes"}], "audio": "a.wav"},
        [A, _text("Q?")], 1,
    ),
    (
        {"messages": [{"role": "user", "content": "first <audio> then <audio> what?"}, QA],
         "audios": ["a.wav", "b.wav"]},
        [_text("first "), A, _text(" then "), A, _text(" what?")], 2,
    ),
    ({"messages": [{"role": "user", "content": "Q?"}, QA], "audios": ["a.wav"]},
     [A, _text("Q?")], 1),
    ({"messages": [{"role": "user", "content": [A, _text("Q?")]}, QA], "audio": "a.wav"},
     [A, _text("Q?")], 1),
]  # fmt: skip


@pytest.mark.parametrize(("line", "content", "clips"), FORMS)
def test_forms_of_conversation(
    one_source: Open, tmp_path: Path, line: dict[str, Any], content: list[Any], clips: int
) -> None:
    example = _one(one_source, tmp_path, line)
    assert example.messages == [{"role": "user", "content": content}, QA]
    assert [len(clip) for clip in example.clips] == [8000, 9600][:clips]


def test_parts_of_recordings_words_and_thinking(one_source: Open, tmp_path: Path) -> None:
    part = {"type": "audio", "audio": "a.wav", "start": 0.1, "end": 0.3}
    answer = {"role": "assistant", "content": "yes", "thinking": "hm"}
    line = {
        "messages": [{"role": "user", "content": [part]}, answer],
        "words": [{"text": "yes", "start": 0.0, "end": 0.1}],
    }
    example = _one(one_source, tmp_path, line)
    assert np.array_equal(example.clips[0], load_audio(tmp_path / "a.wav").samples[1600:4800])
    assert example.words == ((Word("yes", 0.0, 0.1),),)
    assert example.messages[1] == answer


def test_a_clip_with_a_text_has_the_other_fields_too(one_source: Open, tmp_path: Path) -> None:
    line = {
        "audio": "a.wav", "text": "yes", "task": "asr", "words": [Word("yes", 0.0, 0.1).to_dict()],
        "events": [{"label": "dog", "start": 0.2, "end": 0.4}],
    }  # fmt: skip
    example = _one(one_source, tmp_path, line)
    assert example.task == "transcribe"  # what was asked, however its line calls it
    assert example.words == ((Word("yes", 0.0, 0.1),),)
    assert example.sounds == ((Event("dog", 0.2, 0.4),),)
    assert example.messages[1]["content"] == "yes"
    config = AugmentConfig(speed_share=1.0, telephone_share=0)
    fast = draw(one_source("jsonl", tmp_path / "m.jsonl"), 0, "x", 0, 1, config)
    assert isinstance(fast, Example)
    factor = len(fast.clips[0]) / 8000
    assert factor != 1.0
    assert fast.words[0][0].end == pytest.approx(0.1 * factor)
    assert fast.sounds[0][0].start == pytest.approx(0.2 * factor)
    assert _one(one_source, tmp_path, {"audio": "a.wav", "text": "yes"}).task == "transcribe"


BAD: list[tuple[Any, str]] = [
    ({"messages": [{"role": "user", "content": "<audio> Q?"}, QA], "audios": ["a.wav", "b.wav"]},
     "1 more audio files than places"),
    ({"messages": [{"role": "user", "content": "<audio> <audio>"}, QA], "audios": ["a.wav"]},
     "more places for audio than audio files"),
    ({"messages": [{"role": "user", "content": "Q?"}]}, "no assistant's message"),
    ({"messages": [QA]}, "no user message"),
    ({"messages": [{"role": "robot", "content": "Q?"}, QA]}, "role 'robot'"),
    ({"conversation": [{"role": "user", "message_type": "image", "content": "x"}, QA]}, "'image'"),
    ({"messages": [{"role": "user", "content": [A]}, QA]}, "names no path"),
    ({"messages": "hello"}, "as a list"),
    ({"answer": 3}, "neither a conversation"),
    ([1], "not an object"),
    (released("nowhere.wav", "x"), "no such audio file"),
    ({**released("a.wav", "x"), "duration": -2}, "not seconds"),
    ({**released("a.wav", "x"), "words": [{"text": "x"}]}, "'start' is missing"),
    ({"audio": "a.wav", "text": "x", "words": [{"text": "x"}]}, "'start' is missing"),
    ({"audio": "a.wav", "text": "x", "task": "document"}, "as texts alone are called"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), BAD)
def test_what_is_wrong_with_a_line(
    one_source: Open, tmp_path: Path, line: Any, message: str
) -> None:
    with pytest.raises(MossAudioError, match=rf"m\.jsonl:1: .*{message}"):
        _one(one_source, tmp_path, line)


def test_bad_lines_are_told_together_or_skipped_and_counted(
    one_source: Open, tmp_path: Path
) -> None:
    write_wav(tmp_path / "a.wav", 0.5)
    (tmp_path / "text.wav").write_text("this is no audio")
    lines = [json.dumps(released(f, "x")) for f in ("a.wav", "text.wav", "gone.wav", "a.wav")]
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join([*lines, "{broken", *["[]"] * 9]), encoding="utf-8")
    with pytest.raises(MossAudioError) as caught:
        one_source("jsonl", path)
    told = str(caught.value)
    assert "12 bad lines" in told
    assert "m.jsonl:3: no such audio file" in told
    assert "and 7 more" in told
    assert "\n" not in told
    source = one_source("jsonl", path, bad_lines="skip")
    assert list(_all(source)) == ["m/1", "m/4"]
    assert len(source.bad) == 12
    assert any("m.jsonl:2: " in line and "text.wav" in line for line in map(str, source.bad))


def test_documents_are_learnt_in_pieces_that_lose_nothing(one_source: Open, tmp_path: Path) -> None:
    text = "Some words in a row, line by line.\n" * 20 + "x" * 200
    path = write_lines(tmp_path / "m.jsonl", [{"text": text}, {"text": "short"}])
    found = _all(one_source("jsonl", path, document_chars=90))
    pieces = [e.messages[0]["content"] for i, e in found.items() if i.startswith("m/1+")]
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 90
    assert all(p[-1].isspace() for p in pieces[:7])
    # the last piece alone ends the document
    tasks = [e.task for i, e in found.items() if i.startswith("m/1+")]
    assert tasks == [DOCUMENT_PART] * (len(pieces) - 1) + [DOCUMENT]
    assert found["m/2+0"].task == DOCUMENT
    assert found["m/2+0"].messages[0]["content"] == "short"


def test_tables(one_source: Open, clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.tsv"
    wav = clips / "wav"
    path.write_text(
        f"clip\ttext\tquestion\n{wav}/0.wav\thello, you\t\n{wav}/1.wav\tA bell.\tWhat rings?\n",
        encoding="utf-8",
    )
    found = _all(one_source("csv", path, columns={"audio": "clip"}, prompt="Write it down."))
    assert found["m/0"].messages[0]["content"] == [A, _text("Write it down.")]
    assert found["m/0"].messages[1]["content"] == "hello, you"
    assert found["m/1"].messages[0]["content"] == [A, _text("What rings?")]
    assert found["m/1"].messages[1]["content"] == "A bell."
    with pytest.raises(MossAudioError, match="no column 'audio'; its columns are clip"):
        one_source("csv", path)
    path.write_text(f"audio\ttext\n{wav}/0.wav\n", encoding="utf-8")
    with pytest.raises(MossAudioError, match=r"m\.tsv:2: as many cells"):
        one_source("csv", path)


def test_kaldi(one_source: Open, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "wav.scp").write_text(f"r1 {clips}/wav/9.wav\nr2 sox x.wav -t wav - |\n")
    (tmp_path / "segments").write_text("u1 r1 0.1 0.5\nu2 r1 0.6 -1\nu3 r2 0 1\nu4 r9 0 1\n")
    (tmp_path / "text").write_text("u1 the user\nu2 says\nu3 no\nu4 no\nu5 no\n")
    source = one_source("kaldi", tmp_path, bad_lines="skip", name="k")
    found = _all(source)
    assert list(found) == ["k/u1", "k/u2"]
    whole = load_audio(clips / "wav" / "9.wav").samples
    assert np.array_equal(found["k/u1"].clips[0], whole[1600:8000])
    assert np.array_equal(found["k/u2"].clips[0], whole[9600:])
    assert found["k/u1"].messages[1]["content"] == "the user"
    assert source.audio_s.tolist() == pytest.approx([0.4, len(whole) / 16000 - 0.6])
    told = " ".join(map(str, source.bad))
    for message in ("wav.scp:2: a command is never run", "'r9' is not in", "'u5' has no line"):
        assert message in told


def test_scenes_are_of_their_split_and_bring_their_truth(
    one_source: Open, scenes_folder: Path
) -> None:
    found = _all(one_source("scenes", scenes_folder, split="train", name="s"))
    assert list(found) == [f"s/s-{n}" for n in range(5)]
    mixed = found["s/s-2"]
    assert [w.text for w in mixed.words[0]] == ["the", "user."]
    assert [e.label for e in mixed.sounds[0]] == ["bell"]
    assert np.allclose(mixed.clips[0] * 32768, tone(1.6, 500), atol=0.5)
    fields = {"split": "train", "tasks": {"speech": {"transcribe_word": 1}, "silence": {"ask": 1}}}
    source = one_source("scenes", scenes_folder, **fields)
    speech = draw(source, 0, "x", 0, 0, None)
    assert isinstance(speech, Example)
    assert speech.messages[1]["content"] == "[0.10]the[0.30][0.35]user.[0.80]"
    assert isinstance(draw(source, 1, "x", 0, 0, None), SetAside)


def test_lhotse_manifests(one_source: Open, clips: Path, tmp_path: Path) -> None:
    from lhotse import CutSet, Recording, SupervisionSegment
    from lhotse.supervision import AlignmentItem

    cuts = []
    for number in range(3):
        cut = Recording.from_file(clips / "wav" / f"{number + 6}.wav").to_cut()
        words = {"word": [AlignmentItem("the", 0.2, 0.25), AlignmentItem("user", 0.5, 0.3)]}
        cut.supervisions.append(
            SupervisionSegment(str(number), cut.id, 0.2, 0.6, text="the user", alignment=words)
        )
        cuts.append(cut if number else cut.truncate(offset=0.1, duration=0.8))
    cut_set = CutSet.from_cuts(cuts)
    cut_set.to_file(tmp_path / "cuts.jsonl.gz")
    (tmp_path / "shar").mkdir()
    cut_set.to_shar(tmp_path / "shar", fields={"recording": "flac"}, shard_size=2)
    plain = _all(one_source("shar", tmp_path / "cuts.jsonl.gz", name="m"))
    shar = _all(one_source("shar", tmp_path / "shar", name="m"))
    assert list(plain) == list(shar)
    for (name, a), b in zip(plain.items(), shar.values(), strict=True):
        assert np.abs(a.clips[0] - b.clips[0]).max() < 1e-4, name
        assert a.messages == b.messages
        assert a.messages[1]["content"] == "the user"
    times = [[(w.start, w.end) for words in e.words for w in words] for e in plain.values()]
    assert len(plain["m/" + cuts[0].id].clips[0]) == 12_800
    # Lhotse leaves alignments in the recording's time when a part is cut out ...
    assert times[0] == [pytest.approx((0.1, 0.35)), pytest.approx((0.4, 0.7))]
    assert times[1] == [pytest.approx((0.2, 0.45)), pytest.approx((0.5, 0.8))]
    # ... and Shar forgets which part it was
    assert [e.words for e in shar.values()] == [(), *[e.words for e in plain.values()][1:]]
    source = one_source("shar", tmp_path / "shar", tasks={"transcribe_word": 1})
    drawn = [draw(source, index, "x", 0, 0, None) for index in range(2)]
    assert isinstance(drawn[0], SetAside)
    assert "has no word times" in drawn[0].detail
    assert isinstance(drawn[1], Example)
    assert drawn[1].messages[1]["content"] == "[0.20]the[0.45][0.50]user[0.80]"
    shutil.rmtree(tmp_path / "shar")
    (tmp_path / "shar").mkdir()
    with pytest.raises(MossAudioError, match="no cuts"):
        one_source("shar", tmp_path / "shar")


def test_parquet_and_saved_datasets(one_source: Open, clips: Path, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    def rows(first: int, count: int) -> Any:
        paths = [clips / "wav" / f"{first + n}.wav" for n in range(count)]
        audio = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
        return pa.table({"audio": audio, "sentence": [f"say {p.stem}" for p in paths]})

    folder = tmp_path / "data"
    folder.mkdir()
    pq.write_table(rows(0, 5), folder / "train-0.parquet", row_group_size=2)
    pq.write_table(rows(5, 2), folder / "test-0.parquet")
    with pytest.raises(MossAudioError, match="several splits"):
        one_source("hf", tmp_path)
    source = one_source("hf", tmp_path, split="train", name="h")
    found = _all(source)
    assert [e.messages[1]["content"] for e in found.values()] == [f"say {n}" for n in range(5)]
    assert np.array_equal(found["h/4"].clips[0], load_audio(clips / "wav" / "4.wav").samples)
    assert source.audio_s.tolist() == pytest.approx([0.4, 0.5, 0.6, 0.7, 0.8])
    order = source.order(np.random.default_rng(0)).tolist()
    assert sorted(order) == list(range(5))
    assert abs(order.index(0) - order.index(1)) == 1  # a row group is read once

    saved = tmp_path / "saved"
    saved.mkdir()
    messages = [[{"role": "user", "content": "Q?", "thinking": None},
                 {"role": "assistant", "content": "yes", "thinking": "hm"}]]  # fmt: skip
    table = rows(3, 1).append_column("messages", pa.array(messages))
    path = str(saved / "data-00000-of-00001.arrow")
    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    (example,) = _all(one_source("hf", saved)).values()
    assert example.messages == [
        {"role": "user", "content": [A, _text("Q?")]},
        {"role": "assistant", "content": "yes", "thinking": "hm"},
    ]
    with pytest.raises(MossAudioError, match="no column 'words'"):
        one_source("hf", saved, columns={"text": "words"})


def test_lengths_are_remembered(clips: Path, tmp_path: Path, monkeypatch: Any) -> None:
    from moss_audio.data import probe
    from moss_audio.data.sources import open_source
    from tests.data_config import data_config

    path = write_lines(clips / "r.jsonl", [released(f"wav/{n}.wav", "x") for n in range(3)])
    source = {"kind": "jsonl", "path": str(path)}
    config = data_config({"sources": [source], "batch_audio_s": 4, "cache_dir": str(tmp_path)})
    first = open_source(config.sources[0], config)
    monkeypatch.setattr(probe, "audio_duration", None)  # not called any more
    second = open_source(config.sources[0], config)
    assert second.audio_s.tolist() == first.audio_s.tolist() == pytest.approx([0.4, 0.5, 0.6])


def test_no_such_path(one_source: Open, tmp_path: Path) -> None:
    with pytest.raises(MossAudioError, match="no such file or folder of training data"):
        one_source("jsonl", tmp_path / "none.jsonl")

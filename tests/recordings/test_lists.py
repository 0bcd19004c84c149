"""Lists that name recordings: one reader, and the same entries for training (`data`), evaluation
and annotation. Each test tells of a list that one of them once read differently, or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.annotate.config import IngestConfig
from moss_audio.annotate.inputs import Listing, list_inputs
from moss_audio.annotate.plan import entries_of, make_plan
from moss_audio.annotate.store import AnnotationStore
from moss_audio.cli.inputs import find_inputs
from moss_audio.data.draw import draw
from moss_audio.data.example import Example
from moss_audio.data.sources import open_source
from moss_audio.errors import MossAudioError
from moss_audio.evaluate.loaders import aishell1, librispeech, lists
from moss_audio.evaluate.loaders.files import DataError
from moss_audio.recordings.entry import Entry, Unread
from moss_audio.recordings.lists import read_list
from moss_audio.result import Segment, Transcript
from moss_audio.writers import TsvWriter
from tests.data.conftest import write_wav
from tests.data_config import data_config

MARK = b"\xef\xbb\xbf"
KIND = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".json": "jsonl", "": "kaldi"}


def _clip(folder: Path, *names: str) -> None:
    for name in names or ("a.wav", "b.wav", "c.wav"):
        write_wav(folder / name, 0.4)


def _source(path: Path, bad_lines: str = "skip", **fields: Any) -> Any:
    source = {"kind": KIND[path.suffix], "path": str(path), **fields}
    config = data_config({"sources": [source], "batch_audio_s": 4, "bad_lines": bad_lines})
    return open_source(config.sources[0], config)


def _trained(path: Path, **fields: Any) -> list[tuple[str, str]]:
    """(name of the file, text) of what is trained on."""
    source = _source(path, **fields)
    raws = [source.raw(index) for index in range(len(source))]
    return [(Path(raw.clips[0].audio).name, raw.truth.text) for raw in raws]


def _evaluated(path: Path) -> list[tuple[str, str | None]]:
    """The same of a test set in the folder of the list."""
    load = lists.load_kaldi if path.is_dir() else lists.load_texts
    items = load(path if path.is_dir() else path.parent).items
    return [(Path(item.audio[0].audio).name, item.reference) for item in items]


def _annotated(path: Path) -> list[tuple[str, str | None]]:
    """The same of what is annotated; the text is provenance."""
    found = list_inputs([str(path)]).entries
    return [(Path(one.path).name, one.provenance.get("text")) for one in found]


def _read(path: Path) -> tuple[list[Entry], list[Unread]]:
    found = list(read_list(path))
    good = [one for one in found if isinstance(one, Entry)]
    return good, [one for one in found if isinstance(one, Unread)]


def _write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# ---------------------------------------------------------------- one reading for all three


ALIKE: dict[str, tuple[str, str | bytes, list[tuple[str, str]]]] = {
    "a BOM and CRLF, as Excel writes them": (
        "l.csv", MARK + b"audio,text\r\na.wav,hi\r\n", [("a.wav", "hi")]),
    "a BOM in JSONL": ("l.jsonl", MARK + b'{"audio":"a.wav","text":"hi"}\n', [("a.wav", "hi")]),
    "a BOM in TSV": ("l.tsv", MARK + b"audio\ttext\na.wav\thi\n", [("a.wav", "hi")]),
    "quotation marks in TSV, as in Common Voice": (
        "l.tsv",
        'audio\ttext\na.wav\t"I am going home.\nb.wav\tAnd you too."\nc.wav\t"Yes," she said.\n',
        [("a.wav", '"I am going home.'), ("b.wav", 'And you too."'), ("c.wav", '"Yes," she said.')],
    ),
    "a line end inside a quoted cell": (
        "l.csv", 'audio,text\na.wav,"one\ntwo"\nb.wav,x\n', [("a.wav", "one\ntwo"), ("b.wav", "x")],
    ),
    "what only looks like a line end": (
        "l.tsv", "audio\ttext\na.wav\t1\u20282\u00853\x0b4\x0c5\nb.wav\tx\n",
        [("a.wav", "1\u20282\u00853\x0b4\x0c5"), ("b.wav", "x")],
    ),
    "the same in JSONL": (
        "l.jsonl", '{"audio":"a.wav","text":"1\u20282\u0085"}\n', [("a.wav", "1\u20282\u0085")]),
    "the names of NeMo": (
        "l.jsonl", '{"audio_filepath":"a.wav","text":"hello","duration":0.4}\n',
        [("a.wav", "hello")],
    ),
    "other names": (
        "l.jsonl", "".join(f'{{"{name}":"a.wav","text":"{name}","id":"{name}"}}\n' for name in (
            "audio", "audio_path", "wav", "path", "file", "file_name", "filename")),
        [("a.wav", n) for n in ("audio", "audio_path", "wav", "path", "file", "file_name",
                                "filename")],
    ),
    "a NaN, as pandas writes what is missing": (
        "l.jsonl", '{"audio":"a.wav","text":"hi","speaker":NaN,"start":NaN}\n', [("a.wav", "hi")]),
}  # fmt: skip


@pytest.mark.parametrize("reader", [_trained, _evaluated, _annotated])
@pytest.mark.parametrize("case", ALIKE)
def test_a_list_means_the_same_to_all(
    tmp_path: Path, case: str, reader: Callable[[Path], Any]
) -> None:
    _clip(tmp_path)
    name, text, expected = ALIKE[case]
    path = _write(tmp_path / name, text)
    if reader is _annotated:  # a recording is annotated once, whatever names it
        expected = list({file: (file, told) for file, told in reversed(expected)}.values())[::-1]
        expected = [next(e for e in ALIKE[case][2] if e[0] == file) for file, _ in expected]
    assert reader(path) == expected


BAD: dict[str, tuple[str, str | bytes, str]] = {
    "a cell too many": ("l.tsv", "audio\ttext\na.wav\thi\tthere\nb.wav\tx\n", "as many cells"),
    "a cell too few": ("l.tsv", "audio\ttext\na.wav\nb.wav\tx\n", "as many cells"),
    "a stray quotation mark in CSV": ("l.csv", 'audio,text\na.wav,"a" b\nb.wav,x\n', "not a row"),
    "Latin-1": ("l.csv", b"audio,text\na.wav,caf\xe9\nb.wav,x\n", "not UTF-8"),
    "Latin-1 in JSONL": (
        "l.jsonl", b'{"audio":"a.wav","text":"\xe9"}\n{"audio":"b.wav","text":"x"}', "not UTF-8"),
    "no JSON": ("l.jsonl", '{"audio":\n{"audio":"b.wav","text":"x"}\n', "not JSON"),
    "a number too large": (
        "l.jsonl", '{"audio":"a.wav","text":"y","n":1e999}\n{"audio":"b.wav","text":"x"}', "1e999"),
    "infinity": (
        "l.jsonl", '{"audio":"a.wav","text":"y","n":[-Infinity]}\n{"audio":"b.wav","text":"x"}',
        "Infinity"),
    "a NUL": (
        "l.jsonl", '{"audio":"a.wav\\u0000","text":"y"}\n{"audio":"b.wav","text":"x"}', "NUL"),
    "half a character in a path": (
        "l.jsonl", '{"audio":"\\ud83d.wav","text":"y"}\n{"audio":"b.wav","text":"x"}', "surrogate"),
    "an end before the start": (
        "l.jsonl", '{"audio":"a.wav","text":"y","start":2,"end":1}\n{"audio":"b.wav","text":"x"}',
        "not after its start"),
    "nested too deep": (
        "l.jsonl", '{"audio":' + "[" * 100_000 + '\n{"audio":"b.wav","text":"x"}', "too deep"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_is_counted_set_aside_or_refused(tmp_path: Path, case: str) -> None:
    _clip(tmp_path)
    name, text, message = BAD[case]
    path = _write(tmp_path / name, text)
    number = 1 if name.endswith("jsonl") else 2
    source = _source(path)
    assert len(source) == 1
    (told,) = map(str, source.bad)
    assert told.startswith(f"{path}:{number}: ")
    assert message in told
    found = list_inputs([str(path)])
    assert [Path(one.path).name for one in found.entries] == ["b.wav"]
    ((aside, detail),) = [(one.reason, one.detail) for one in found.asides]
    assert aside == "bad line of a manifest"
    assert detail.startswith(f"line {number}: ")
    assert message in detail
    with pytest.raises(DataError, match=f":{number}: ") as caught:
        lists.load_texts(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("marked", [b"", MARK])
@pytest.mark.parametrize("blank", [b" ", b"\t", b" \t "])
def test_kaldi_is_read_alike(tmp_path: Path, marked: bytes, blank: bytes) -> None:
    """A BOM was part of the first id, a tab no blank for annotation, an end of -1 refused by
    evaluation; an utterance missing in `segments` was scored as the whole recording."""
    _clip(tmp_path)
    _write(tmp_path / "wav.scp", marked + b"r1" + blank + b"a.wav\r\n")
    _write(tmp_path / "segments", marked + b"u1 r1 0.1 -1\n")
    _write(tmp_path / "text", marked + b"u1" + blank + b"hello you\n")
    assert _trained(tmp_path) == _evaluated(tmp_path) == [("a.wav", "hello you")]
    (raw,) = [_source(tmp_path).raw(0)]
    assert (raw.clips[0].start_s, raw.clips[0].end_s) == (0.1, None)
    (item,) = lists.load_kaldi(tmp_path).items
    assert (item.id, item.audio[0].start_s, item.audio[0].end_s) == ("u1", 0.1, None)  # type: ignore[attr-defined]
    assert item.audio[0].load().duration_s == pytest.approx(0.3)
    (found,) = list_inputs([str(tmp_path / "wav.scp")]).entries
    assert (found.path, found.provenance) == (str(tmp_path / "a.wav"), {"id": "r1"})


@pytest.mark.parametrize(
    ("file", "more", "message"),
    [
        ("text", "u2 words\n", r"text:2: 'u2' has no line in segments"),
        ("text", "u1 again\n", r"text:2: 'u1' is listed twice, first in line 1"),
        ("wav.scp", "r1 b.wav\n", r"wav\.scp:2: 'r1' is listed twice"),
        ("segments", "u1 r1 0 0.2\n", r"segments:2: 'u1' is listed twice"),
    ],
)
def test_a_bad_line_of_kaldi(tmp_path: Path, file: str, more: str, message: str) -> None:
    _clip(tmp_path)
    _write(tmp_path / "wav.scp", "r1 a.wav\n")
    _write(tmp_path / "segments", "u1 r1 0.1 0.3\n")
    _write(tmp_path / "text", "u1 hello\n")
    with (tmp_path / file).open("a") as file_:
        file_.write(more)
    source = _source(tmp_path)
    assert len(source) == 1
    (told,) = map(str, source.bad)
    with pytest.raises(DataError, match=message):
        lists.load_kaldi(tmp_path)
    with pytest.raises(MossAudioError, match=message):
        _source(tmp_path, "error")
    assert message.replace("\\", "").split(":")[1] in told


def test_parts_of_recordings_by_either_name(tmp_path: Path) -> None:
    """The whole recording was trained on with the text of a part."""
    _clip(tmp_path)
    _write(tmp_path / "l.jsonl",
           '{"audio":"a.wav","start":0.1,"end":0.3,"text":"x"}\n'
           '{"audio_filepath":"b.wav","offset":0.1,"duration":0.2,"text":"y"}\n')  # fmt: skip
    source = _source(tmp_path / "l.jsonl")
    for index in range(2):
        example = draw(source, index, "x", 0, 0, None)
        assert isinstance(example, Example)
        assert len(example.clips[0]) == 3200
    assert source.audio_s.tolist() == pytest.approx([0.2, 0.2])
    lengths = [item.audio[0].load().duration_s for item in lists.load_texts(tmp_path).items]
    assert lengths == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize(
    "line",
    [
        {"audio_filepath": "a.wav", "text": "hello"},
        {"path": "clips/a.mp3", "text": "hello"},
        {"audio": None, "text": "hello"},
        {"wav": "", "text": "hello"},
        {"audios": ["a.wav"], "text": "x"},
        {"Audio": "a.wav", "text": "x"},
        {"recording": "a.wav", "text": "x"},
    ],
)
def test_what_names_a_recording_is_never_a_document(tmp_path: Path, line: dict[str, Any]) -> None:
    _clip(tmp_path)
    path = _write(
        tmp_path / "l.jsonl", json.dumps(line) + '\n{"text":"a document","path":"x.md"}\n'
    )
    source = _source(path)
    raws = [source.raw(index) for index in range(len(source))]
    documents = [raw.messages for raw in raws if not raw.clips]
    assert documents == [[{"role": "assistant", "content": "a document"}]]
    assert len(source.bad) == (0 if line.get("audio_filepath") else 1)


def test_a_json_list_and_json_lines_under_that_name(tmp_path: Path) -> None:
    _clip(tmp_path)
    rows = [{"audio": f"{name}.wav", "text": name} for name in "ab"]
    listed = _write(tmp_path / "list.json", json.dumps(rows, indent=1))
    lines = _write(tmp_path / "nemo.json", "".join(json.dumps(row) + "\n" for row in rows))
    expected = [("a.wav", "a"), ("b.wav", "b")]
    for path in (listed, lines):
        assert _trained(path) == _annotated(path) == expected


def test_a_table_in_utf16_is_named(tmp_path: Path) -> None:
    for name in ("l.csv", "l.tsv", "l.jsonl"):
        path = _write(tmp_path / name, "audio,text\na.wav,x\n".encode("utf-16"))
        with pytest.raises(MossAudioError, match="is UTF-16; save it as UTF-8"):
            list(read_list(path))


def test_our_tsv_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Two cues of a quotation that spans two sentences were merged by a reader that unquotes."""
    texts = ['"I am going home.', 'And you too."', "a\ttab and\na line"]
    segments = tuple(Segment(text, float(i), i + 1.0) for i, text in enumerate(texts))
    written = TsvWriter().render(Transcript(" ".join(texts), duration=3.0, segments=segments))
    path = _write(tmp_path / "out.tsv", written.replace("start_s", "audio", 1))
    good, bad = _read(path)
    assert not bad
    assert [entry.text for entry in good] == [*texts[:2], "a tab and a line"]


# ------------------------------------------------------------------- whatever is written is read


def _letters(without: str = "") -> st.SearchStrategy[str]:
    """Text of any script with blanks, quotation marks and odd line ends, that is not blank."""
    odd = "".join(char for char in " \",'\t;|\u2028\u0085\x0b\x0c" if char not in without)
    characters = st.characters(exclude_categories=["Cs"], exclude_characters=f"\x00\r\n{without}")
    return st.text(characters | st.sampled_from(odd), min_size=1).filter(str.strip)


def _csv(rows: list[tuple[str, str]]) -> str:
    file = io.StringIO()
    csv.writer(file).writerows([("audio", "text", "id"), *rows])
    return file.getvalue()


WRITERS: dict[str, tuple[str, Callable[[list[Any]], str]]] = {
    "csv": ("l.csv", _csv),
    "tsv": ("l.tsv", lambda rows: "".join("\t".join(r) + "\n" for r in
                                          [("audio", "text", "id"), *rows])),
    "jsonl": ("l.jsonl", lambda rows: "".join(
        json.dumps(dict(zip(("audio", "text", "id"), r, strict=True)), ensure_ascii=False) + "\n"
        for r in rows)),
    "ascii": ("l.jsonl", lambda rows: "".join(
        json.dumps(dict(zip(("audio", "text", "id"), r, strict=True))) + "\r\n" for r in rows)),
}  # fmt: skip


@pytest.mark.parametrize("form", WRITERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_texts_and_ids_come_back_through_all_three(
    tmp_path_factory: pytest.TempPathFactory, form: str, data: st.DataObject
) -> None:
    texts = _letters("\t" if form == "tsv" else "")
    if form != "tsv":
        texts = st.lists(texts, min_size=1, max_size=3).map("\n".join)
    pairs = data.draw(st.lists(st.tuples(texts, texts), max_size=4, unique_by=lambda pair: pair[1]))
    folder = tmp_path_factory.mktemp("lists")
    names = [f"{number}.wav" for number in range(len(pairs))]
    for name in names:
        os.link(_CLIP[0], folder / name) if _CLIP else _CLIP.append(write_wav(folder / name, 0.4))
    name, write = WRITERS[form]
    rows = [(audio, *pair) for audio, pair in zip(names, pairs, strict=True)]
    path = _write(folder / name, write(rows))
    good, bad = _read(path)
    assert not bad
    assert [(one.clip.name, one.text, one.id) for one in good] == rows
    if rows:
        assert _trained(path) == [row[:2] for row in rows]
        items = lists.load_texts(folder).items
        assert [(item.id, item.reference) for item in items] == [(id, text) for _, text, id in rows]
        found = _stored(list_inputs([str(path)]), folder / "out")
        assert [(one["text"], one["id"]) for one in found] == [(text, id) for _, text, id in rows]


_CLIP: list[Path] = []


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), min_size=1),
        _letters().map(lambda text: text.strip(" \t")).filter(bool),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_any_texts_and_ids_come_back_from_kaldi(
    tmp_path_factory: pytest.TempPathFactory, texts: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("kaldi")
    _clip(folder, "a b.wav")
    _write(folder / "wav.scp", "".join(f"{id} a b.wav\n" for id in texts))
    _write(folder / "text", "".join(f"{id} {text}\n" for id, text in texts.items()))
    source = _source(folder, name="k")
    assert [source.id(index) for index in range(len(source))] == [f"k/{id}" for id in texts]
    assert [text for _, text in _trained(folder)] == list(texts.values())
    items = lists.load_kaldi(folder).items
    assert [(item.id, item.reference) for item in items] == list(texts.items())
    (found,) = list_inputs([str(folder / "wav.scp")]).entries  # one recording under several ids
    assert found.provenance["id"] == next(iter(texts))


# --------------------------------------------------------- names and values that no text can hold


def _stored(listing: Listing, out: Path) -> list[dict[str, Any]]:
    """The provenance of all entries, once written to the plan and read back as they were."""
    store = AnnotationStore(out)
    store.make()
    shards = make_plan(store, listing.entries, IngestConfig())
    back = [one for shard in shards for one in entries_of(store, shard.number)]
    assert back == list(listing.entries)
    assert [one.active for one in make_plan(store, listing.entries, IngestConfig())] == [
        (True,) * len(shard.entries) for shard in shards
    ]
    return [dict(one.provenance) for one in back]


def test_names_that_are_not_utf8_survive_the_plan(tmp_path: Path) -> None:
    """Names and keys read back differed from those in memory, and ended the run for good."""
    odd = os.fsdecode(b"caf\xe9.wav")
    _clip(tmp_path, "ok.wav", odd)
    _write(tmp_path / "l.jsonl", '{"audio":"ok.wav","title":"cut emoji \\ud83d"}\n')
    listing = list_inputs([str(tmp_path / "l.jsonl"), str(tmp_path)])
    assert [Path(one.path).name for one in listing.entries] == ["ok.wav", odd]
    assert _stored(listing, tmp_path / "out") == [{"title": "cut emoji \ud83d"}, {}]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(), min_size=1).filter(lambda name: name != "audio"),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_whatever_json_holds_survives_the_plan_or_is_set_aside(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    _clip(folder, "a.wav")
    _write(folder / "l.jsonl", json.dumps({**fields, "audio": "a.wav"}) + "\n")
    listing = list_inputs([str(folder / "l.jsonl")])
    assert len(listing.entries) + len(listing.asides) == 1
    _stored(listing, folder / "out")


def test_a_text_with_half_a_character_is_no_reference_and_no_lesson(tmp_path: Path) -> None:
    _clip(tmp_path)
    path = _write(tmp_path / "l.jsonl", '{"audio":"a.wav","text":"cut \\ud83d"}\n')
    with pytest.raises(DataError, match=r"l\.jsonl:1: 'text' holds a lone surrogate"):
        lists.load_texts(tmp_path)
    with pytest.raises(MossAudioError, match=r"l\.jsonl:1: .*lone surrogate"):
        _source(path, "error")


# ---------------------------------------------------------------------------------- tar shards


def _tar(path: Path, members: list[tuple[str, bytes | str]]) -> Path:
    """A tar of files (bytes) and of links to a name (text)."""
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def test_the_last_of_two_members_counts_and_links_are_named(tmp_path: Path) -> None:
    path = _tar(tmp_path / "s.tar", [
        ("a.wav", b"old"), ("b.wav", b"b"), ("a.json", b'{"v":1,"gone":1}'), ("a.wav", b"new!"),
        ("a.json", b'{"v":2}'), ("c.wav", "b.wav"),
    ])  # fmt: skip
    found = list_inputs([str(path)])
    assert [(one.member, one.size) for one in found.entries] == [("b.wav", 1), ("a.wav", 4)]
    assert found.entries[1].open().read() == b"new!"
    assert found.entries[1].provenance == {"v": 2}
    ((name, detail, where),) = [(one.member, one.detail, one.path) for one in found.asides]
    assert (name, where) == ("c.wav", str(path))
    assert "link to 'b.wav'" in detail


def test_side_files_of_a_tar_survive_or_are_named(tmp_path: Path) -> None:
    members = [
        ("a.wav", b"a"),
        ("a.json", b'{"snr":NaN}'),
        ("b.wav", b"b"),
        ("b.json", b"{1e999"),
        ("c.wav", b"c"),
        ("c.txt", b"caf\xe9"),
        ("d.wav", b"d"),
        ("d.json", b'{"n":1e999}'),
    ]
    path = _tar(tmp_path / "s.tar", members)  # fmt: skip
    listing = list_inputs([str(path)])
    told = [(aside.member, aside.detail[:8]) for aside in listing.asides]
    assert told == [("b.json", "not JSON"), ("d.json", "holds 1e")]
    kept = [{"snr": None}, {}, {"text": "caf\udce9"}, {}]
    assert _stored(listing, tmp_path / "out") == kept


# ------------------------------------------------------------------------------------- folders


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder whose recordings lie behind links, one of which leads back up."""
    _clip(tmp_path, "elsewhere/speech/b.wav", "lib/a.wav", "lib/sub/c.wav")
    (tmp_path / "lib" / "more").symlink_to(tmp_path / "elsewhere" / "speech")
    (tmp_path / "lib" / "sub" / "up").symlink_to(tmp_path / "lib")
    (tmp_path / "lib" / "again").symlink_to("sub")
    (tmp_path / "lib" / "gone").symlink_to("nowhere")
    return tmp_path / "lib"


def test_links_to_folders_are_followed_once(linked: Path) -> None:
    expected = ["a.wav", "sub/c.wav", "more/b.wav"]
    found = find_inputs([str(linked)])
    assert [os.path.relpath(str(one.source), linked) for one in found.inputs] == expected
    assert not found.problems
    listing = list_inputs([str(linked)])
    assert [os.path.relpath(one.path, linked) for one in listing.entries] == expected
    assert not listing.asides


def test_a_pattern_that_goes_in_circles_finds_each_file_once(linked: Path) -> None:
    found = find_inputs([f"{linked}/**/*.wav", str(linked)])
    names = [os.path.relpath(str(one.source), linked) for one in found.inputs]
    assert sorted(map(os.path.basename, names)) == ["a.wav", "b.wav", "c.wav"]
    many = [str(linked / f"{number}.wav") for number in range(3)]
    for path in many:
        os.symlink(linked / "a.wav", path)  # links to a file are files of their own
    assert len(find_inputs([f"{linked}/[0-9].wav"]).inputs) == 3


def test_test_sets_behind_links_are_found(tmp_path: Path) -> None:
    _write(tmp_path / "disk/1/2/1-2.trans.txt", "1-2-0 HELLO\n")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "test-clean").symlink_to(tmp_path / "disk")
    assert librispeech.holds(tmp_path / "set")
    assert [item.id for item in librispeech.load(tmp_path / "set").items] == ["1-2-0"]
    _clip(tmp_path, "speakers/S1/u1.wav")
    _write(tmp_path / "data_aishell/transcript/aishell_transcript_v0.8.txt", "u1 你 好\n")
    (tmp_path / "data_aishell/wav").mkdir()
    (tmp_path / "data_aishell/wav/test").symlink_to(tmp_path / "speakers")
    assert [item.reference for item in aishell1.load(tmp_path).items] == ["你好"]


def test_parquet_behind_a_link_is_trained_on(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    _clip(tmp_path)
    (tmp_path / "disk").mkdir()
    pq.write_table(
        pa.table({"audio": [str(tmp_path / "a.wav")], "text": ["hi"]}), tmp_path / "disk/d.parquet"
    )
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "part").symlink_to(tmp_path / "disk")
    config = data_config(
        {"sources": [{"kind": "hf", "path": str(tmp_path / "set")}], "batch_audio_s": 4}
    )
    source = open_source(config.sources[0], config)
    assert source.raw(0).truth.text == "hi"  # type: ignore[union-attr]


def test_paths_of_what_is_set_aside_are_all_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _clip(tmp_path)
    (tmp_path / "dangling.wav").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    _write(tmp_path / "l.jsonl", '{"audio":"gone.wav"}\nno json\n')
    _write(tmp_path / "x.tar.gz", b"x")
    monkeypatch.chdir(tmp_path)
    names = ["dangling.wav", "empty", "l.jsonl", "x.tar.gz", "nowhere.wav", "*.ogg"]
    asides = list_inputs(names).asides
    assert len(asides) == len(names) + 1
    assert all(os.path.isabs(aside.path) for aside in asides)


def _lengths() -> Iterator[str]:
    yield from ("語" * 78, "é" * 119, "🎉" * 61, "a" * 240)


@pytest.mark.parametrize("stem", _lengths())
def test_names_are_bounded_in_bytes(tmp_path: Path, stem: str) -> None:
    """As many characters of Chinese are three times as many bytes, of which a name has 255."""
    _clip(tmp_path, f"{stem}.wav")
    (found,) = find_inputs([str(tmp_path)]).inputs
    assert len(os.fsencode(f"{found.stem.name}.TextGrid")) <= 255
    assert stem.startswith(unicodedata.normalize("NFC", found.stem.name))

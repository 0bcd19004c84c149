"""Plain text for training, from files in WordNet's form."""

import json
from pathlib import Path

import pytest

from moss_audio.errors import MossAudioError
from recipes import definitions

LINES = """  1 licence text | with a bar
00001740 03 n 01 entity 0 003 ~ 1 n 0000 | that which is perceived to have its own existence; "x y"
00002000 05 n 02 old_house 0 x 0 000 | (law) a house that has stood for long
00003000 05 n 01 Paris 0 000 | the capital of a country in Europe
"""


def wordnet(folder: Path) -> Path:
    for part in ("noun", "verb", "adj", "adv"):
        (folder / f"data.{part}").write_text(LINES if part == "noun" else "", encoding="utf-8")
    return folder


def test_only_plain_words_with_their_first_definition(tmp_path: Path) -> None:
    assert list(definitions.definitions(wordnet(tmp_path))) == [
        ("entity", "that which is perceived to have its own existence"),
        ("old house", "a house that has stood for long"),
    ]


def test_the_file_holds_conversations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = wordnet(tmp_path)
    kept = definitions.conversations
    monkeypatch.setattr(definitions, "conversations", lambda count: kept(count, folder=folder))
    assert definitions.main([str(tmp_path / "out" / "text.jsonl")]) == 0
    lines = (tmp_path / "out" / "text.jsonl").read_text().splitlines()
    assert [m["role"] for m in json.loads(lines[0])["messages"]] == ["user", "assistant"]
    assert len(lines) == 2


def test_a_missing_dictionary_is_named(tmp_path: Path) -> None:
    with pytest.raises(MossAudioError, match="wordnet-base"):
        list(definitions.definitions(tmp_path))

"""Sentences in four languages, spoken and written as questions for their English."""

from __future__ import annotations

import json
import random
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.data.sources import open_source
from moss_audio.errors import MossAudioError
from moss_audio.recordings import load_audio
from moss_audio.scenes.voices.espeak import EspeakVoice
from recipes.translations import __main__ as command
from recipes.translations import phrases
from tests.data_config import data_config


@given(st.integers(0, 2**32))
def test_a_sentence_says_the_same_in_all_languages(seed: int) -> None:
    said = phrases.phrase(random.Random(seed))
    assert len(set(said.texts)) == 4
    for text in said.texts:
        assert text.rstrip()[-1] in ".?"
        assert not set(text) & set("{}")


def test_patterns_have_the_same_slots() -> None:
    for pattern in phrases._PATTERNS:
        slots = [{f for _, f, _, _ in string.Formatter().parse(text) if f} for text in pattern]
        assert all(s == slots[0] for s in slots), pattern


def test_the_command_writes_what_a_source_reads(tmp_path: Path) -> None:
    try:
        EspeakVoice()
    except MossAudioError as error:
        pytest.skip(str(error))
    for name in "ab":  # the same in each new process
        words = [sys.executable, "-m", "recipes.translations", str(tmp_path / name), "24"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert "for training" in done.stdout
    train = (tmp_path / "a/train.jsonl").read_text()
    assert train == (tmp_path / "b/train.jsonl").read_text()
    entries = [json.loads(line) for line in train.splitlines()]
    held = [json.loads(line) for line in (tmp_path / "a/val.jsonl").read_text().splitlines()]
    assert len(entries) + len(held) == 24
    assert not {e["text"] for e in entries} & {e["text"] for e in held}
    assert {e["language"] for e in entries} == {"de", "fr", "es"}
    samples = load_audio(tmp_path / "a" / entries[0]["audio"]).samples
    assert abs(samples).max() > 0.5
    path = str(tmp_path / "a/train.jsonl")
    config = data_config({"sources": [{"kind": "jsonl", "path": path}], "batch_tokens": 100})
    source = open_source(config.sources[0], config)
    entry = source.raw(0)
    assert entry.truth is not None
    assert entry.truth.question in command._ASKED
    assert entry.truth.text == entries[0]["text"]

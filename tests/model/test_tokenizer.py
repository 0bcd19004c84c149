"""The tokenizer without transformers gives transformers' ids and texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, Qwen2Tokenizer

from moss_audio.errors import CheckpointError
from moss_audio.model.checkpoint import embedded_folder
from moss_audio.model.tokenizer import Tokenizer
from moss_audio.prompt import ChatVocabulary
from moss_audio.testing.tokenizer import tiny_tokenizer

_ENTRY = {"lstrip": False, "rstrip": False, "single_word": False}


def _nano(folder: Path) -> Path:
    return embedded_folder()


def _tiny(folder: Path) -> Path:
    tiny_tokenizer().save_pretrained(folder)
    return folder


def _added_in_the_config(folder: Path) -> Path:
    """Tokens that only tokenizer_config.json has, as older folders do."""
    _tiny(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    size = len(tiny_tokenizer())
    config["added_tokens_decoder"] = {
        str(size + 1): {**_ENTRY, "content": "<tool>", "normalized": False, "special": False},
        str(size): {**_ENTRY, "content": "<|box|>", "normalized": False, "special": True},
    }
    config["extra_special_tokens"] = ["<|more|>"]
    config["mask_token"] = "<|mask|>"
    path.write_text(json.dumps(config))
    return folder


def _qwen(folder: Path) -> Path:
    """As Qwen's own class writes it."""
    tiny = json.loads(tiny_tokenizer().backend_tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in tiny["merges"]]
    tokenizer = Qwen2Tokenizer(vocab=tiny["vocab"], merges=merges)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.save_pretrained(folder)
    return folder


def _vocabulary_and_merges(folder: Path) -> Path:
    _qwen(folder)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("".join(f"{a} {b}\n" for a, b in model["merges"]))
    (folder / "tokenizer.json").unlink()
    return folder


MAKERS = (_nano, _tiny, _added_in_the_config, _qwen, _vocabulary_and_merges)
Pair = tuple[Tokenizer, Any]


@pytest.fixture(scope="module", params=MAKERS, ids=lambda make: make.__name__[1:])
def pair(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    make: Callable[[Path], Path] = request.param
    folder = make(tmp_path_factory.mktemp("tokenizer"))
    return Tokenizer.open(folder), AutoTokenizer.from_pretrained(folder)


MARKS = st.sampled_from(
    ["<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool>", "<|box|>", "<|more|>",
     "<|mask|>", "<|endoftext|>", " ", "\n", "\n\n", "7", "é", "\u0301", "'s", "the", "音"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(MARKS, st.text(max_size=8)), max_size=10).map("".join)


@given(text=TEXTS)
@settings(max_examples=150, deadline=None)
def test_ids_and_texts_are_those_of_transformers(pair: Pair, text: str) -> None:
    ours, theirs = pair
    ids = ours.encode(text)
    assert ids == theirs.encode(text, add_special_tokens=False)
    for skip in (False, True):
        text_back = theirs.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False)
        assert ours.decode(ids, skip_special_tokens=skip) == text_back


def test_the_vocabulary_is_that_of_transformers(pair: Pair) -> None:
    ours, theirs = pair
    assert ours.backend_tokenizer.get_vocab() == theirs.get_vocab()
    if "<|im_start|>" in theirs.get_vocab():
        mine, other = ChatVocabulary(ours), ChatVocabulary(theirs)
        assert (mine.im_start, mine.im_end, mine.think_start, mine.think_end) == (
            other.im_start, other.im_end, other.think_start, other.think_end,
        )  # fmt: skip
        assert mine.control_ids == other.control_ids
        assert mine.digit_ids == other.digit_ids


def test_a_missing_or_damaged_tokenizer_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: missing"):
        Tokenizer.open(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="its tokenizer is damaged") as caught:
        Tokenizer.open(tmp_path)
    assert "\n" not in str(caught.value)
    _tiny(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": ')
    with pytest.raises(CheckpointError, match="its tokenizer is damaged"):
        Tokenizer.open(tmp_path)

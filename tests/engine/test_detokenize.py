"""Text grows by whole characters, and a stop string never shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.engine.detokenize import Detokenizer
from moss_audio.testing.tokenizer import tiny_tokenizer

TOKENIZER = tiny_tokenizer()


@given(st.text(max_size=40))
def test_pieces_are_whole_characters_and_join_to_the_text(text: str) -> None:
    grown = Detokenizer(TOKENIZER)
    pieces = []
    for token in TOKENIZER.encode(text, add_special_tokens=False):
        grown.push(token)
        pieces.append(grown.take())
    grown.finish()
    pieces.append(grown.take(final=True))
    assert "".join(pieces) == grown.text
    expected = TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False))
    if not any(mark in text for mark in ("<|", "<think>")):
        assert grown.text == expected == text
    if "\ufffd" not in text:
        assert "\ufffd" not in "".join(pieces)


@pytest.mark.parametrize("stop", ["end", "é", "\n\n", "日本"])
@given(before=st.text(alphabet="aen d\né日本x", max_size=12))
def test_the_text_ends_before_the_stop_string(stop: str, before: str) -> None:
    text = before + stop + " tail"
    grown = Detokenizer(TOKENIZER, (stop,))
    pieces = []
    for token in TOKENIZER.encode(text, add_special_tokens=False):
        grown.push(token)
        pieces.append(grown.take())
        if grown.stopped:
            break
    assert grown.stopped
    assert "".join(pieces) == grown.text == text[: text.index(stop)]


def test_a_broken_character_shows_only_at_the_end() -> None:
    first_byte = TOKENIZER.encode("é", add_special_tokens=False)[0]
    grown = Detokenizer(TOKENIZER)
    grown.push(first_byte)
    assert grown.take() == ""
    grown.finish()
    assert grown.take(final=True) == "\ufffd"

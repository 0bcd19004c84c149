"""What each audio token should say, and what is not known of it."""

from __future__ import annotations

from typing import Any

from moss_audio.data.batch import IGNORE
from moss_audio.result import Event, Word
from moss_audio.train.pieces import frame_targets

WORDS = (Word("yes", 0.17, 0.3),)
SOUNDS = (Event("dog bark", 0.42, 0.54),)
QUIET = 10


class Letters:
    """A tokenizer of single characters."""

    def encode(self, text: str, **_: Any) -> list[int]:
        return [ord(c) for c in text]


def test_words_sounds_and_quiet() -> None:
    found = frame_targets(WORDS, SOUNDS, 10, Letters().encode)
    assert found[:2] == [QUIET, QUIET]
    assert set(found[2:4]) <= set(map(ord, " yes"))
    assert found[5:7] == [ord("k")] * 2
    assert found[7:] == [QUIET] * 3
    assert frame_targets((), (), 3, Letters().encode) == [QUIET] * 3


def test_what_is_not_known_is_not_quiet() -> None:
    assert frame_targets(None, None, 4, Letters().encode) == [IGNORE] * 4
    spoken = frame_targets(WORDS, None, 10, Letters().encode)
    assert spoken[2:4] == frame_targets(WORDS, SOUNDS, 10, Letters().encode)[2:4]
    assert set(spoken[:2] + spoken[4:]) == {IGNORE}
    heard = frame_targets(None, SOUNDS, 10, Letters().encode)
    assert heard == [IGNORE] * 5 + [ord("k")] * 2 + [IGNORE] * 3

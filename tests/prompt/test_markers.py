from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.errors import PromptError
from moss_audio.prompt import expand_clip, marker_seconds
from moss_audio.units import TOKENS_PER_SECOND, num_tokens

AUDIO = 1000
DIGITS = tuple(range(15, 25))


def test_the_specs_example() -> None:
    n_tokens = num_tokens(937)
    assert n_tokens == 118
    assert marker_seconds(n_tokens) == [2, 4, 6, 8]
    ids, mask = expand_clip(n_tokens, AUDIO, DIGITS)
    expected: list[int] = []
    for digit in (2, 4, 6, 8):
        expected += [AUDIO] * 25 + [15 + digit]
    assert ids == expected + [AUDIO] * 18
    assert mask == [i == AUDIO for i in ids]


@pytest.mark.parametrize(
    ("n_tokens", "seconds"), [(1, []), (24, []), (25, [2]), (26, [2]), (49, [2]), (50, [2, 4])]
)
def test_only_full_steps_are_marked(n_tokens: int, seconds: list[int]) -> None:
    assert marker_seconds(n_tokens) == seconds


def test_two_digit_markers_are_two_tokens() -> None:
    ids, _ = expand_clip(125, AUDIO, DIGITS)
    assert ids[-2:] == [16, 15]  # "10" stands behind the last token of second 10


@given(st.integers(1, 5000), st.booleans())
def test_the_mask_is_true_at_exactly_the_audio_tokens(n_tokens: int, markers: bool) -> None:
    ids, mask = expand_clip(n_tokens, AUDIO, DIGITS if markers else None)
    assert sum(mask) == n_tokens
    assert [i == AUDIO for i in ids] == mask
    digits = "".join(str(i - 15) for i in ids if i != AUDIO)
    last = int(n_tokens / TOKENS_PER_SECOND) if markers else 0
    assert digits == "".join(str(s) for s in range(2, last + 1, 2))


@given(st.integers(1, 2000))
def test_every_marker_stands_at_its_second(n_tokens: int) -> None:
    ids, mask = expand_clip(n_tokens, AUDIO, DIGITS)
    heard = 0
    written = ""
    for token_id, is_audio in zip([*ids, AUDIO], [*mask, True], strict=True):
        if is_audio:
            if written:
                assert heard == int(written) * 12.5
            written = ""
            heard += 1
        else:
            written += str(token_id - 15)


def test_an_empty_clip_is_refused() -> None:
    with pytest.raises(PromptError, match="0 audio tokens"):
        expand_clip(0, AUDIO, DIGITS)


@given(st.integers(1, 1000), st.integers(0, 60))
def test_a_clip_that_begins_later_is_the_end_of_a_longer_one(n_tokens: int, steps: int) -> None:
    later = expand_clip(n_tokens, AUDIO, DIGITS, begins_s=2 * steps)
    whole = expand_clip(n_tokens + 25 * steps, AUDIO, DIGITS)
    for part, all_of_it in zip(later, whole, strict=True):
        assert all_of_it[len(all_of_it) - len(part) :] == part
    assert sum(later[1]) == n_tokens


@pytest.mark.parametrize("begins_s", [-2, 3])
def test_a_clip_begins_where_a_marker_is(begins_s: int) -> None:
    with pytest.raises(PromptError, match=f"cannot begin at second {begins_s}"):
        expand_clip(30, AUDIO, DIGITS, begins_s)


def test_without_markers_nothing_tells_where_a_clip_begins() -> None:
    with pytest.raises(PromptError, match="nothing tells that a clip begins at second 4"):
        expand_clip(30, AUDIO, None, 4)

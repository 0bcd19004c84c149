"""Time markers: the elapsed seconds, written into a clip's audio tokens as digits.

A clip is 12.5 audio tokens a second. After every 25 of them (2 s) the decimal digits of the
elapsed whole seconds are inserted as ordinary text tokens. Source: spec section 1.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from moss_audio.errors import PromptError
from moss_audio.units import TOKENS_PER_SECOND

MARKER_STEP_S = 2
MARKER_STEP_TOKENS = int(MARKER_STEP_S * TOKENS_PER_SECOND)  # 25, a whole number of tokens


def marker_seconds(n_tokens: int) -> list[int]:
    """Seconds that are marked in a clip of `n_tokens`: full 2-s steps only, e.g. 118 -> 2 4 6 8."""
    return list(range(MARKER_STEP_S, int(n_tokens / TOKENS_PER_SECOND) + 1, MARKER_STEP_S))


def expand_clip(
    n_tokens: int, audio_token_id: int, digit_ids: Sequence[int] | None, begins_s: int = 0
) -> tuple[list[int], list[bool]]:
    """The ids between a clip's start and end token.

    Args:
        n_tokens: audio tokens of the clip, at least 1.
        audio_token_id: the placeholder that an audio embedding replaces.
        digit_ids: ids of "0".."9"; None leaves the markers out.
        begins_s: the second of a longer recording at which the clip begins, a full step of 2 s: a
            marker of it comes first, and the others go on from there.

    Returns:
        ids and audio mask of equal length; the mask is true at exactly `n_tokens` places and
        false at the digits.

    Raises:
        PromptError: the clip has no audio token, or `begins_s` cannot be told.
    """
    if n_tokens < 1:
        raise PromptError(f"a clip of {n_tokens} audio tokens is too short: give at least 10 ms")
    if begins_s < 0 or begins_s % MARKER_STEP_S:
        raise PromptError(f"a clip cannot begin at second {begins_s}: give full {MARKER_STEP_S} s")
    if begins_s and digit_ids is None:
        raise PromptError(f"nothing tells that a clip begins at second {begins_s}: no time markers")
    ids: list[int] = []
    mask: list[bool] = []
    left = n_tokens
    if digit_ids is not None:
        if begins_s:
            ids += [digit_ids[int(digit)] for digit in str(begins_s)]
            mask += [False] * len(ids)
        for second in marker_seconds(n_tokens):
            digits = [digit_ids[int(digit)] for digit in str(begins_s + second)]
            ids += [audio_token_id] * MARKER_STEP_TOKENS + digits
            mask += [True] * MARKER_STEP_TOKENS + [False] * len(digits)
            left -= MARKER_STEP_TOKENS
    return ids + [audio_token_id] * left, mask + [True] * left

"""When an answer goes round in circles."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from moss_audio.text import tail_loop

# A run of up to this many tokens, over and over: speech and event lists do not do that.
_EVERY, _PERIOD, _REPEATS, _SPAN = 16, 24, 8, 64


def repeats(tokens: Sequence[Hashable]) -> bool:
    """Whether an answer of so many tokens, looked at now and then, ends in a loop."""
    if len(tokens) % _EVERY:
        return False
    keep = tail_loop(tokens, max_period=_PERIOD, min_repeats=_REPEATS, min_span=_SPAN)
    return keep is not None

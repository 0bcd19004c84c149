"""What training never asks, on four axes beside new scenes: wordings, kinds, numbers of events and
pairs of labels.

    seen        kinds, wordings and numbers of events as trained (on new scenes: the first axis)
    wordings    wordings that training never uses
    kinds       kinds that training never asks
    events      more events than training has
    pairs       kind and labels that training never puts together

Each axis moves one thing and keeps the others as they are trained. Hashes decide, so that a new
wording or label moves no other one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Literal, get_args

from moss_audio.scenes.reasoning.kind import DerivedKind, Slots
from moss_audio.scenes.reasoning.timeline import Heard
from moss_audio.settings import packaged

Axis = Literal["seen", "wordings", "kinds", "events", "pairs"]
AXES: tuple[Axis, ...] = get_args(Axis)
TRAINED_EVENTS, MORE_EVENTS = (2, 4), (5, 6)
_HELD_WORDINGS = 4  # one in so many, of each kind
_HELD_PAIRS = 10  # one in so many


def all_wordings(kind: str) -> list[str]:
    """The wordings of a kind, as they stand in the file."""
    found: list[str] = packaged(__package__, "wordings.toml")["wordings"][kind]
    return found


@cache
def held_wordings(kind: str) -> tuple[str, ...]:
    """Those of a kind that training never uses: the quarter whose hashes come first."""
    wordings = all_wordings(kind)
    first = sorted(wordings, key=lambda text: _hash(f"wording {text}"))
    held = first[: max(1, len(wordings) // _HELD_WORDINGS)]
    return tuple(text for text in wordings if text in held)


def wordings_of(kind: str, axis: Axis) -> Sequence[str]:
    """Those of a kind that are used on an axis."""
    held = held_wordings(kind)
    if axis == "wordings":
        return held
    return [text for text in all_wordings(kind) if text not in held]


def asks(kind: DerivedKind, axis: Axis) -> bool:
    """Whether a kind is asked on an axis."""
    return kind.trained != (axis == "kinds")


def has_events(heard: Heard, axis: Axis) -> bool:
    """Whether a timeline has as many events as an axis asks about."""
    fewest, most = MORE_EVENTS if axis == "events" else TRAINED_EVENTS
    return fewest <= len(heard) <= most


def fits_pairs(kind: DerivedKind, slots: Slots, axis: Axis) -> bool:
    """Whether the labels that a question puts together belong to an axis. A kind with fewer than
    two labels has no pair."""
    labels = sorted(str(slots[name]) for name in ("a", "b", "c") if name in slots)
    held = len(labels) > 1 and _hash(f"{kind.name}: {', '.join(labels)}") % _HELD_PAIRS == 0
    return held == (axis == "pairs")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

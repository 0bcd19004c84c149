"""The digest of a configuration."""

import math
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.errors import MossAudioError
from moss_audio.settings import Between, OneOf, Share, Weight, build, check, digest, plain

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN, PLAIN)
def test_values_have_one_digest_each(one, other):
    assert len(digest([one])) == 16
    assert (digest([one]) == digest([other])) == (repr_of(one) == repr_of(other))


def repr_of(value):
    """A text of a JSON value in which the order of a mapping does not count."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{k!r}:{repr_of(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(repr_of, value)) + "]"
    return repr(value)


@given(st.dictionaries(st.text(), PLAIN, min_size=2, max_size=4))
def test_the_order_of_a_mapping_does_not_count(table):
    assert digest(table) == digest(dict(reversed(table.items())))


@dataclass(frozen=True)
class Inner:
    path: Path = Path("a")
    names: tuple[str, ...] = ("x",)


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    n: int = 1


def test_dataclasses_count_by_their_fields_wherever_they_stand():
    assert digest(Outer()) == digest({"inner": {"path": "a", "names": ["x"]}, "n": 1})
    assert digest([1, Outer()]) != digest([1, Outer(n=2)])
    assert digest({"of": Outer(Inner(Path("b")))}) != digest({"of": Outer()})


def test_a_digest_is_the_same_in_every_process():
    code = "from moss_audio.settings import digest; print(digest({'b': [1.5, 'ü'], 'a': None}, 64))"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout.strip()
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs == [digest({"a": None, "b": [1.5, "ü"]}, 64)] * 2


NAMES = ("red", "green")


@dataclass(frozen=True)
class Bounded:
    share: Share = 0.0
    span: Annotated[tuple[float, float], Between(0.5, 2.0)] = (1.0, 1.0)
    weights: dict[Annotated[str, OneOf(NAMES)], Weight] = field(default_factory=dict)
    names: tuple[Annotated[str, OneOf(NAMES)], ...] = ()


def test_every_value_out_of_bounds_is_named_with_its_place():
    values = {
        "share": 1.5,
        "span": [2, 1],
        "weights": {"red": -1, "blue": 1},
        "names": ["green", "grey"],
    }
    problems = []
    assert build(Bounded, values, "top", problems) is None
    assert problems == [
        "top.share: 1.5 must be from 0 to 1",
        "top.span: (2.0, 1.0) must be [lowest, highest], both from 0.5 to 2",
        "top.weights.red: -1.0 must be at least 0",
        "top.weights: 'blue' is not one of red, green",
        "top.names.1: 'grey' is not one of red, green",
    ]


@given(st.floats(0, 1), st.floats(0.5, 2), st.floats(0.5, 2), st.floats(0, 1e9))
def test_what_is_within_its_bounds_is_taken_as_it_is(share, one, other, weight):
    span = tuple(sorted((one, other)))
    values = {"share": share, "span": list(span), "weights": {"red": weight}, "names": ["red"]}
    problems = []
    built = build(Bounded, values, "", problems)
    assert not problems
    assert built == Bounded(share, span, {"red": weight}, ("red",))


def test_a_malformed_value_is_not_also_out_of_bounds():
    problems = []
    build(Bounded, {"share": "often", "span": [1]}, "", problems)
    assert problems == ["share: 'often' is not a number", "span: expected 2 values, got 1"]


@dataclass(frozen=True)
class SelfChecked:
    share: Share = 0.5
    count: Annotated[int, Between(1)] = 1
    names: tuple[Literal["a", "b"], ...] = ("a",)
    free: int = -7

    def __post_init__(self) -> None:
        check(self)


def test_bounds_hold_however_a_dataclass_is_made():
    assert SelfChecked(1, 9, ("a", "b"), -8).count == 9
    with pytest.raises(MossAudioError) as caught:
        SelfChecked(1.5, 0, ("a", "c"))
    assert str(caught.value) == (
        "share: 1.5 must be from 0 to 1; count: 0 must be at least 1; "
        "names.1: 'c' is not one of a, b"
    )


def test_a_plain_copy_holds_what_yaml_can():
    assert plain({"x": Outer(), "y": (1, math.inf)}) == {
        "x": {"inner": {"path": "a", "names": ["x"]}, "n": 1},
        "y": [1, math.inf],
    }

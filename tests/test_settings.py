"""The digest of a configuration."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from moss_audio.settings import digest

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

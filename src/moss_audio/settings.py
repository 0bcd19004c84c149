"""Plain values (from YAML, from `--set`) -> frozen dataclasses; every problem is told, together."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import tomllib
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from moss_audio.errors import MossAudioError

C = TypeVar("C")


@dataclasses.dataclass(frozen=True)
class Between:
    """A bound on a field, `Annotated[float, Between(0, 1)]`; on a pair of numbers, a range."""

    low: float = -math.inf
    high: float = math.inf

    def problem(self, value: Any) -> str | None:
        """What is wrong with a number, or with the two ends of a range."""
        pair = isinstance(value, list | tuple)
        numbers = list(value) if pair else [value]
        if all(self.low <= n <= self.high for n in numbers) and numbers == sorted(numbers):
            return None
        at_least, at_most = f"at least {self.low:g}", f"from {self.low:g} to {self.high:g}"
        bound = at_least if math.isinf(self.high) else at_most
        form = "[lowest, highest], both " if pair else ""
        return f"{value!r} must be {form}{bound}"


@dataclasses.dataclass(frozen=True)
class OneOf:
    """The names that a text may be, `Annotated[str, OneOf(NAMES)]`; also the keys of a mapping."""

    names: Collection[str]

    def problem(self, value: Any) -> str | None:
        """What is wrong with a text."""
        known = ", ".join(self.names)
        return None if value in self.names else f"{value!r} is not one of {known}"


Share = Annotated[float, Between(0, 1)]
AtLeastOne = Annotated[int, Between(1)]
Weight = Annotated[float, Between(0)]  # how often, beside the others of a table


def load_config(path: Path, kind: type[C], overrides: Mapping[str, Any] | None = None) -> C:
    """A dataclass (nested ones included) from a YAML file, with dotted fields put over it.

    Raises MossAudioError: one line with every unknown, missing and malformed field.
    """
    values = override(read_yaml(path), overrides or {})
    problems: list[str] = []
    config: C = build(kind, values, "", problems)
    if problems:
        raise MossAudioError(f"{path}: " + "; ".join(problems))
    return config


def read_yaml(path: Path) -> dict[str, Any]:
    """The fields of a YAML file. Raises MossAudioError if it cannot be read or holds no fields."""
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise MossAudioError(f"{path}: cannot be read ({reason})") from error
    except yaml.YAMLError as error:
        raise MossAudioError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(values, dict):
        raise MossAudioError(f"{path}: expected fields and values, got {type(values).__name__}")
    return values


@cache
def packaged(package: str, name: str) -> dict[str, Any]:
    """The tables of a TOML file that lies beside the code of a package."""
    return tomllib.loads((files(package) / name).read_text(encoding="utf-8"))


def override(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested fields with dotted ones (`speech.beam: 5`) put over them."""
    changed = dict(values)
    for key, value in changes.items():
        table = changed
        *parents, last = key.split(".")
        for parent in parents:
            inner = table.get(parent)
            table[parent] = dict(inner) if isinstance(inner, Mapping) else {}
            table = table[parent]
        table[last] = value
    return changed


def digest(value: Any, digits: int = 16) -> str:
    """Hexadecimal digits (64 at most) that change with a configuration, in this and any process.

    `value`: a text, or dataclasses, lists, mappings and plain values, nested in any way; the order
    of a mapping does not count, and what JSON does not know (a path) counts as its text.
    """
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=_json)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def plain(value: Any) -> Any:
    """Dataclasses, mappings and sequences as plain dicts and lists, what else JSON does not know
    as its text: what YAML and JSON can hold."""
    return json.loads(json.dumps(value, default=_json))


def _json(value: Any) -> Any:
    plain = dataclasses.is_dataclass(value) and not isinstance(value, type)
    return dataclasses.asdict(value) if plain else str(value)


def build(kind: Any, values: Any, name: str, problems: list[str]) -> Any:
    """The dataclass `kind` from plain values.

    Args:
        kind: a dataclass; nested ones, lists, tuples, mappings, unions, literals and numbers with
            bounds (`Between`, `OneOf`) are built too.
        values: fields and values; None stands for all defaults.
        name: where they stand, for messages; empty for a whole file.
        problems: unknown, missing and malformed fields are appended; then the result is None.
    """
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        problems.append(_at(name, f"expected fields and values, got {values!r}"))
        return None
    before = len(problems)
    prefix = f"{name}." if name else ""
    hints = typing.get_type_hints(kind, include_extras=True)
    known = {f.name: f for f in dataclasses.fields(kind) if f.init}
    renamed: Mapping[str, str] = getattr(kind, "RENAMED", {})  # former name -> name
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key in renamed:
            problems.append(f"{prefix}{key} is now called {renamed[key]}")
        elif key not in known:
            problems.append(f"unknown field {prefix}{key}")
        else:
            arguments[key] = _value(hints[key], value, f"{prefix}{key}", problems)
    for key, f in known.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and key not in values:
            problems.append(f"missing field {prefix}{key}")
    if len(problems) > before:
        return None
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:  # a class that checks itself
        problems.append(_at(name, str(error)))
        return None


def check(config: Any, more: Collection[str] = ()) -> None:
    """What `__post_init__` of a dataclass may call, so that its bounds hold however it is made.

    Raises MossAudioError, all problems in one line, for fields that a `Literal`, `Between` or
    `OneOf` does not allow, and for the problems in `more`.
    """
    problems: list[str] = []
    for name, kind in typing.get_type_hints(type(config), include_extras=True).items():
        wraps = typing.get_origin(kind) in (tuple, Union, types.UnionType)
        inner = typing.get_args(kind)[0] if wraps else kind
        if typing.get_origin(inner) in (Annotated, Literal):
            _value(kind, getattr(config, name), name, problems)
    problems += more
    if problems:
        raise MossAudioError("; ".join(problems))


def _at(name: str, problem: str) -> str:
    return f"{name}: {problem}" if name else problem


def _value(kind: Any, value: Any, name: str, problems: list[str]) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _bounded(arguments, value, name, problems)
    if dataclasses.is_dataclass(kind):
        return build(kind, value, name, problems)
    if origin in (Union, types.UnionType):
        return _union(arguments, value, name, problems)
    if origin is Literal:
        if not any(value == one and type(value) is type(one) for one in arguments):
            problems.append(f"{name}: {value!r} is not one of {', '.join(map(str, arguments))}")
        return value
    base = origin or kind
    if isinstance(base, type) and issubclass(base, Mapping):
        if not isinstance(value, Mapping):
            problems.append(f"{name}: expected names and values, got {value!r}")
            return None
        key, inner = arguments if len(arguments) == 2 else (str, Any)
        return {
            _value(key, str(k), name, problems): _value(inner, v, f"{name}.{k}", problems)
            for k, v in value.items()
        }
    if isinstance(base, type) and issubclass(base, Sequence) and base not in (str, bytes):
        return _items(base, arguments, value, name, problems)
    return _plain(kind, value, name, problems)


def _bounded(kinds: tuple[Any, ...], value: Any, name: str, problems: list[str]) -> Any:
    before = len(problems)
    found = _value(kinds[0], value, name, problems)
    for bound in kinds[1:]:
        if isinstance(bound, Between | OneOf) and len(problems) == before:
            problem = bound.problem(found)
            problems += [f"{name}: {problem}"] if problem else []
    return found


def _union(kinds: tuple[Any, ...], value: Any, name: str, problems: list[str]) -> Any:
    if value is None and type(None) in kinds:
        return None
    tried: list[str] = []
    words: list[str] = []
    for kind in kinds:
        if kind is type(None):
            continue
        found: list[str] = []
        result = _value(kind, value, name, found)
        if not found:
            return result
        if typing.get_origin(kind) is Literal and tried:
            words += map(str, typing.get_args(kind))
        else:
            tried = found
    problems += [f"{one} (or {', '.join(words)})" for one in tried] if words else tried
    return None


def _items(base: type, kinds: tuple[Any, ...], value: Any, name: str, problems: list[str]) -> Any:
    if not isinstance(value, list | tuple):
        problems.append(f"{name}: expected a list, got {value!r}")
        return None
    fixed = issubclass(base, tuple) and bool(kinds) and kinds[-1] is not Ellipsis
    if fixed and len(kinds) != len(value):
        problems.append(f"{name}: expected {len(kinds)} values, got {len(value)}")
        return None
    each = list(kinds) if fixed else [kinds[0] if kinds else Any] * len(value)
    pairs = enumerate(zip(each, value, strict=True))
    found = [_value(kind, one, f"{name}.{i}", problems) for i, (kind, one) in pairs]
    return found if issubclass(base, list) else tuple(found)


def _plain(kind: Any, value: Any, name: str, problems: list[str]) -> Any:
    number = isinstance(value, int | float | str) and not isinstance(value, bool)
    if kind is float:
        try:
            found = float(value) if number else math.nan  # YAML reads 4e-4 as a text
        except (ValueError, OverflowError):
            found = math.nan
        # A bound may be infinite if it says so (`.inf`); a number too large to be one may not.
        if math.isnan(found) or (math.isinf(found) and not isinstance(value, float)):
            problems.append(f"{name}: {value!r} is not a number")
        return found
    if kind is int and (isinstance(value, bool) or not isinstance(value, int)):
        problems.append(f"{name}: {value!r} is not a whole number")
    elif kind is bool and not isinstance(value, bool):
        problems.append(f"{name}: {value!r} is not true or false")
    elif kind is str and not isinstance(value, str):
        problems.append(f"{name}: {value!r} is not text")
    elif kind is Path:
        if isinstance(value, str | Path):
            return Path(value)
        problems.append(f"{name}: {value!r} is not a path")
    return value

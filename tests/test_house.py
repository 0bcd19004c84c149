"""The order of the house: no cycles, no hidden imports, one class a name, nothing that nobody uses.

import-linter checks the direction of imports between rooms. What it cannot see is checked here on
the syntax tree, where an import counts wherever it stands: at the top of a module, inside a
function, or under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import moss_audio

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "moss_audio"
LONGEST = 90  # lines of a function
USERS = ("recipes", "benchmarks", "examples")  # beside the package itself


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _trees() -> dict[str, ast.Module]:
    """Module name -> syntax tree of everything in the package."""
    return {
        _name(path): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def _imported(tree: ast.Module, names: set[str]) -> Iterator[str]:
    """Modules of the package that a module names in any import statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        elif isinstance(node, ast.ImportFrom) and node.module in names and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in names else node.module


def _cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(part) > 1 or node in edges.get(node, ()):
                found.append(sorted(part))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def test_a_cycle_is_found_and_a_chain_is_none() -> None:
    assert _cycles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert _cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [["a", "b", "c"]]
    assert _cycles({"a": {"a"}}) == [["a"]]


def test_no_module_leans_on_one_that_leans_on_it() -> None:
    trees = _trees()
    # The package's own page is the public table of names: nothing inside may lean on it for more
    # than the version, so its imports (all lazy) are no edges.
    edges = {
        name: set(_imported(tree, set(trees))) - {name}
        for name, tree in trees.items()
        if name != "moss_audio"
    }
    found = [" <-> ".join(cycle) for cycle in _cycles(edges)]
    assert not found, "\n".join(found)


def test_no_module_is_imported_by_a_string() -> None:
    hidden = []
    for name, tree in _trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func).split(".")[-1]
            if called not in ("import_module", "__import__"):
                continue
            outside = (
                node.args
                and isinstance(node.args[0], ast.Constant)
                and not str(node.args[0].value).startswith(("moss_audio", "."))
            )
            if not outside:
                hidden.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    assert not hidden, "\n".join(hidden)


def test_a_class_name_stands_for_one_thing() -> None:
    homes = defaultdict(list)
    for name, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(f"{name}:{node.lineno}")
    twice = [f"{name}: {', '.join(places)}" for name, places in homes.items() if len(places) > 1]
    assert not twice, "\n".join(twice)


def _definitions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Public functions of a module, and public methods and properties of its classes."""
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        for each in inner:
            function = isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            if function and not each.name.startswith("_"):
                yield each.name, each.lineno


def _words(tree: ast.Module) -> Iterator[str]:
    """Every identifier a module uses. A definition is no use of its own name, and neither is a
    line that only imports or re-exports it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"^[A-Za-z_]\w*$", node.value)  # getattr, tables of names


def _exported(tree: ast.Module) -> set[str]:
    """The names in a module's `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


# Called by others under these names: transformers, torch, accelerate, vLLM, typer, pytest.
CALLED_BY_LIBRARIES = {
    "prepare_inputs_for_generation": "transformers' generate",
    "get_input_embeddings": "transformers",
    "set_input_embeddings": "transformers",
    "get_output_embeddings": "transformers",
    "set_output_embeddings": "transformers",
    "register": "vLLM's plug-ins",
    "get_speech_to_text_config": "vLLM's transcriptions",
    "get_num_audio_tokens": "vLLM's transcriptions",
    "get_generation_prompt": "vLLM's transcriptions",
    "post_process_output": "vLLM's transcriptions",
    "model_dump": "vLLM's transcriptions",
    "handle_exit": "uvicorn's signals",
    "http_open": "urllib's openers",
    "https_open": "urllib's openers",
    "launch_merge_stats": "datatrove's Slurm executor",
}


def test_what_is_public_is_used() -> None:
    trees = _trees()
    used: dict[str, set[str]] = defaultdict(set)
    for name, tree in trees.items():
        exported = _exported(tree)
        for word in _words(tree):
            if word not in exported:
                used[word].add(name)
    for folder in USERS:
        for path in (ROOT / folder).rglob("*.py"):
            for word in _words(ast.parse(path.read_text(encoding="utf-8"))):
                used[word].add(str(path))
    for path in PACKAGE.rglob("*.j2"):  # templates call what they are given
        for word in re.findall(r"[A-Za-z_]\w*", path.read_text(encoding="utf-8")):
            used[word].add(str(path))
    api = set(moss_audio.__all__)
    for name, tree in trees.items():
        if name.count(".") == 1 and (PACKAGE / name.split(".")[1]).is_dir():
            api |= _exported(tree)  # what a room's own page offers
        if name.startswith("moss_audio.testing"):
            api |= {each for each, _ in _definitions(tree)}  # tools for the tests of users
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in moss_audio.__all__:
                api |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    unused = [
        f"{name}:{line}: {each}"
        for name, tree in trees.items()
        for each, line in _definitions(tree)
        if each not in used and each not in api and each not in CALLED_BY_LIBRARIES
    ]
    assert not unused, "\n".join(unused)


def test_no_function_is_long() -> None:
    long = [
        f"{name}:{node.lineno}: {node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for name, tree in _trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > LONGEST
    ]
    assert not long, "\n".join(long)

"""What listens to a segment, and what the tools of all branches have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from moss_audio import settings
from moss_audio.annotate.records import AudioSegment, BranchName, ToolResult
from moss_audio.errors import MissingDependencyError

_ENDS_BYTES = 1 << 20
_DIGITS = 12


def package_version(name: str) -> str:
    """The version of an installed package, "absent" without it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def package_folder(name: str) -> Path | None:
    """Where an installed package lies, which is not imported; None without it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def import_librosa(purpose: str) -> Any:
    """librosa, or the error that says which extra brings it. Its parts load when first used."""
    try:
        import librosa
    except ImportError as error:
        raise MissingDependencyError("librosa", "annotate", purpose) from error
    return librosa


def weights_digest(path: str | Path) -> str:
    """Of a file, or of all files of a folder: names, sizes, and the first and last megabyte.

    Whole checkpoints are gigabytes and every worker asks; weights that differ do so at their
    ends too. A name that is no path (a hub id) stands for itself.
    """
    root = Path(path)
    if root.is_file():
        files = [root]
    else:
        files = sorted(p for p in root.rglob("*") if p.is_file())
    if not files:
        return settings.digest([str(path)], _DIGITS)
    state = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        state.update(f"{file.relative_to(root.parent)}:{size}\n".encode())
        with file.open("rb") as stream:
            state.update(stream.read(_ENDS_BYTES))
            stream.seek(max(0, size - _ENDS_BYTES))
            state.update(stream.read(_ENDS_BYTES))
    return state.hexdigest()[:_DIGITS]


class Listener:
    """What listens: a tool, a detector, a describer. Its models load when they are first needed.

    Attributes:
        name: stands in its results.
        packages: other packages whose version its results depend on.
        config: its settings, None where there are none; `defaults` makes them where none are given.
    """

    name: str
    packages: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[type] = type(None)
    config: Any = None

    def __init__(self, config: Any = None) -> None:
        self.config = self.defaults() if config is None else config

    @property
    def version(self) -> str:
        """Changes whenever its results may: by default with the method (1), the packages and the
        settings."""
        parts = ["1", *(f"{name} {package_version(name)}" for name in self.packages)]
        return " ".join(parts if self.config is None else [*parts, str(self.config)])

    @cached_property
    def model(self) -> Any:
        """What `load` gives, once it is needed."""
        return self.load()

    def load(self) -> Any:
        """The models; None where there are none. Raises CheckpointError or
        MissingDependencyError for what is not there."""
        return None

    def setup(self) -> None:
        """Load models: once a worker, before the first segment. May be called again."""
        _ = self.model


class Tool(Listener):
    """A recogniser, an aligner, a tempo tracker, ...

    A branch runs its tools in order; each sees the results of those before it in
    `segment.results`. A tool that does not apply to a segment returns nothing. `branch` and `kind`
    are those of its results.
    """

    branch: ClassVar[BranchName]
    kind: ClassVar[str]

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Results for one segment.

        Args:
            samples: mono float32 at 16 kHz, `[duration_s * 16000]`.
            segment: with the profile and the results so far.
        """
        raise NotImplementedError

    def annotate_batch(
        self, samples: Sequence[np.ndarray], segments: Sequence[AudioSegment]
    ) -> list[list[ToolResult]]:
        """`annotate` of each segment, in order; a tool may be faster on several at once."""
        return [self.annotate(one, segment) for one, segment in zip(samples, segments, strict=True)]

    def found(self, **fields: Any) -> list[ToolResult]:
        """One result of this tool with these fields."""
        return [ToolResult(self.name, self.version, self.branch, self.kind, **fields)]


class SpeechTool(Tool):
    """A tool of the speech branch. Its version is that of the package it leans on, `packages[0]`,
    and a digest of its method, its settings and of `weights`."""

    branch = "speech"
    method: ClassVar[str] = "1"  # another one where the same settings give other results

    @cached_property
    def version(self) -> str:  # type: ignore[override]
        told = settings.digest([self.method, self.config, *self.weights()], 12)
        return f"{package_version(self.packages[0])}+{told}"

    def weights(self) -> tuple[str, ...]:
        """The digest of its weights, where they are not part of the package."""
        return ()

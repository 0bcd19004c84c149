"""Errors a user can cause. Each carries one line that names the input and the remedy."""

from __future__ import annotations

from importlib import util


class MossAudioError(ValueError):
    """Base of every error that a caller's input or environment can cause."""


class AudioError(MossAudioError):
    """An input that is not usable audio: missing, not media, silent by error, or malformed."""


class CheckpointError(MossAudioError):
    """A model folder that is incomplete, inconsistent, or of another architecture."""


class PromptError(MossAudioError):
    """Messages or a raw prompt that cannot be rendered, e.g. clips and placeholders disagree."""


class MissingDependencyError(MossAudioError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""

    def __init__(self, package: str, extra: str, purpose: str, otherwise: str = "") -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}: install the extra {extra!r}, in a clone by "
            f"pip install '.[{extra}]'{otherwise}"
        )


def require(*packages: str, extra: str, purpose: str, otherwise: str = "") -> None:
    """Nothing where all `packages` are installed. `otherwise` tells what else would help.

    Raises:
        MissingDependencyError: naming the first that is not, and the extra that brings it.
    """
    for package in packages:
        if util.find_spec(package) is None:
            raise MissingDependencyError(package, extra, purpose, otherwise)


def short_reason(error: BaseException) -> str:
    """What another library says went wrong, on one line of at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__

"""What speech a checkpoint knows, and how surely it writes that: a setting of small checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moss_audio.errors import CheckpointError

KNOWS = "knows"  # the key of the setting


@dataclass(frozen=True)
class KnownSpeech:
    """The language that a checkpoint learnt, where it learnt one alone.

    Attributes:
        language: its English name.
        sure_share: which share of the written tokens is sure where speech in it is hard to hear (0
            to 1): less is a sign of another language (`tasks.confidence.SureTokens`).
    """

    language: str
    sure_share: float

    @classmethod
    def read(cls, settings: Mapping[str, Any], path: Any) -> KnownSpeech | None:
        """What the `settings` in the file `path` say; None where they say nothing.

        Raises:
            CheckpointError: for a setting that is no such thing.
        """
        said = settings.get(KNOWS)
        if said is None:
            return None
        if isinstance(said, Mapping) and set(said) == {"language", "sure_share"}:
            language, share = said["language"], said["sure_share"]
            number = isinstance(share, int | float) and not isinstance(share, bool)
            if isinstance(language, str) and language and number and 0 <= share <= 1:
                return cls(language, float(share))
        raise CheckpointError(
            f"{path}: {KNOWS} {said!r} must have a language and a sure_share from 0 to 1"
        )

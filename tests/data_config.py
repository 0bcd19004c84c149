"""A mixture's configuration from plain mappings, as tests write it down."""

from __future__ import annotations

from typing import Any

from moss_audio import settings
from moss_audio.data.config import DataConfig
from moss_audio.errors import MossAudioError


def data_config(data: Any) -> DataConfig:
    """A `DataConfig` from plain mappings and lists.

    Raises MossAudioError: one line with every unknown, missing and malformed field.
    """
    problems: list[str] = []
    config: DataConfig = settings.build(DataConfig, data, "", problems)
    if problems:
        raise MossAudioError("; ".join(problems))
    return config

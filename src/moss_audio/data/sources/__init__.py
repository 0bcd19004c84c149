"""Data sets by kind; `open_source` opens one."""

from __future__ import annotations

from moss_audio.data.config import DataConfig, SourceConfig, source_name
from moss_audio.data.probe import fill_durations
from moss_audio.data.sources.base import Source
from moss_audio.errors import MossAudioError

_SHOWN = 5


def open_source(config: SourceConfig, data: DataConfig) -> Source:
    """Reads and checks a list, without its audio.

    Raises:
        MossAudioError: no such path; bad lines (the first few are named) unless `data.bad_lines`
            is "skip"; no line left.
    """
    source = _open(config)
    bad = [*source.bad, *fill_durations(source, data.cache_dir)]
    if bad and data.bad_lines == "error":
        shown = "; ".join(map(str, bad[:_SHOWN]))
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise MossAudioError(
            f"{config.path}: {len(bad)} bad lines: {shown}{more}. "
            "Correct them, or set bad_lines to skip"
        )
    source.bad = bad
    if not len(source):
        raise MossAudioError(f"{config.path}: no usable example in it")
    return source


def _open(config: SourceConfig) -> Source:
    name = source_name(config)
    if config.kind == "scenes":
        from moss_audio.data.sources.scenes import ScenesSource

        return ScenesSource(config, name)
    if config.kind == "drills":
        from moss_audio.data.sources.drills import DrillSource

        return DrillSource(config, name)
    if config.kind == "thoughts":
        from moss_audio.data.sources.thoughts import ThoughtSource

        return ThoughtSource(config, name)
    if config.kind == "jsonl":
        from moss_audio.data.sources.jsonl import JsonlSource

        return JsonlSource(config, name)
    if config.kind == "hf":
        from moss_audio.data.sources.hf import HfSource

        return HfSource(config, name)
    from moss_audio.data.sources.clips import ClipSource

    return ClipSource(config, name)

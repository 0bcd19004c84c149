"""Lengths of clips whose manifest does not tell them, from their containers' headers."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from moss_audio.data.sources.base import Source
from moss_audio.errors import MossAudioError
from moss_audio.files import write_atomic
from moss_audio.recordings import audio_duration, load_audio
from moss_audio.recordings.entry import Clip, Unread

_THREADS = 4


def fill_durations(source: Source, cache_dir: str | None) -> list[Unread]:
    """Replaces NaN in `source.audio_s`; takes out the examples whose audio can't be opened.

    Args:
        cache_dir: where lengths are kept between runs, None for nowhere.

    Returns:
        a line for each example taken out.
    """
    unknown = np.flatnonzero(np.isnan(source.audio_s))
    if not len(unknown):
        return []
    known = _Store(cache_dir)
    bad: list[Unread] = []
    good = np.ones(len(source), bool)

    def probe(index: int) -> float | Unread:
        try:
            return sum(known.seconds(clip) for clip in source.raw(index).clips)
        except (MossAudioError, OSError) as error:
            return Unread(source.place(index), str(error))

    with ThreadPoolExecutor(_THREADS) as pool:
        for index, found in zip(unknown, pool.map(probe, map(int, unknown)), strict=True):
            if isinstance(found, Unread):
                bad.append(found)
                good[index] = False
            else:
                source.audio_s[index] = found
    known.save()
    if bad:
        source.keep(good)
    return bad


class _Store:
    """Lengths by path, size and time of change."""

    def __init__(self, folder: str | None) -> None:
        self.path = Path(folder) / "durations.json" if folder else None
        self.table: dict[str, float] = {}
        self.new = False
        if self.path and self.path.is_file():
            try:
                self.table = json.loads(self.path.read_text(encoding="utf-8"))
            except ValueError:
                self.table = {}  # it is only a shortcut

    def seconds(self, clip: Clip) -> float:
        if clip.start_s is not None and clip.end_s is not None:
            return clip.end_s - clip.start_s
        key = None
        if isinstance(clip.audio, str) and os.path.isfile(clip.audio):
            status = os.stat(clip.audio)
            text = f"{os.path.abspath(clip.audio)}/{status.st_size}/{status.st_mtime_ns}"
            key = hashlib.blake2b(
                text.encode("utf-8", "surrogateescape"), digest_size=12
            ).hexdigest()
        whole_s = self.table.get(key) if key else None
        if whole_s is None:
            whole_s = audio_duration(clip.audio)
            if whole_s is None:  # the container does not tell
                whole_s = load_audio(clip.audio).duration_s
            if key:
                self.table[key] = whole_s
                self.new = True
        return max(0.0, (clip.end_s or whole_s) - (clip.start_s or 0.0))

    def save(self) -> None:
        if self.path is None or not self.new:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, json.dumps(self.table))

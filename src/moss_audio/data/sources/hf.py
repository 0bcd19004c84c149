"""Datasets in the formats of Hugging Face: `save_to_disk` folders, and folders of Parquet."""

from __future__ import annotations

from typing import Any

import numpy as np

from moss_audio.data.config import SourceConfig
from moss_audio.data.raw import Lines, RawExample, Truth
from moss_audio.data.sources.base import Source, checked, checked_text, existing
from moss_audio.data.sources.released import read_conversation
from moss_audio.errors import MossAudioError
from moss_audio.recordings.entry import AUDIO_NAMES, TEXT_NAMES, Clip, Unread, read_clip, seconds
from moss_audio.recordings.parquet import ArrowRows

_USUAL = {
    "audio": AUDIO_NAMES,
    "text": (*TEXT_NAMES, "caption"),
    "question": ("question",),
    "messages": ("messages", "conversations", "conversation"),
    "duration": ("duration",),
}


class HfSource(Source):
    """Rows with audio (bytes or a path) and a text, a question and a text, or messages."""

    def __init__(self, config: SourceConfig, name: str) -> None:
        self.path = existing(config.path)
        self.rows = ArrowRows(self.path, config.split)
        self.columns = _columns(config, self.rows.names)
        lines = Lines()
        kept: list[int] = []
        plain = [column for part, column in self.columns.items() if part != "audio"]
        for number, row in enumerate(self.rows.rows(plain)):
            try:
                self._check(row, lines)
            except MossAudioError as error:
                lines.bad.append(Unread(f"{config.path}[{number}]", str(error)))
            else:
                kept.append(number)
        super().__init__(config, name, lines)
        self.numbers = np.array(kept, np.int64)

    def _check(self, row: dict[str, Any], lines: Lines) -> None:
        column = self.columns.get("duration")
        audio_s = seconds(row[column], "duration") if column else None
        if "messages" in self.columns:
            lines.good(audio_s, str(row[self.columns["messages"]]))
        else:
            lines.good(audio_s, checked_text(row[self.columns["text"]]))

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Blocks in random order, and rows in random order within each: a block is read once."""
        owner = np.searchsorted(self.rows.starts, self.numbers, side="right")
        rank = rng.permutation(len(self.rows.starts))
        return np.lexsort((rng.random(len(self.numbers)), rank[owner]))

    def read(self, number: int) -> RawExample:
        row = self.rows.row(number, list(dict.fromkeys(self.columns.values())))
        folder = self.path if self.path.is_dir() else self.path.parent
        named = {part: row[column] for part, column in self.columns.items()}
        audio = named.get("audio")
        clip: Clip | None = None
        if audio is not None and (not isinstance(audio, dict) or any(audio.values())):
            clip = checked(read_clip(audio, folder, self.columns["audio"]))
        if "messages" in named:
            data = {"messages": _given(named["messages"])}
            beside = () if clip is None else (clip,)
            return read_conversation(data, folder, self.config.prompt, beside)
        if clip is None:
            raise MossAudioError("the audio is missing")
        return RawExample((clip,), truth=Truth(named["text"], named.get("question") or None))


def _given(value: Any) -> Any:
    """Arrow's records hold every field that any of them has: without those that are null."""
    if isinstance(value, dict):
        return {k: _given(v) for k, v in value.items() if v is not None}
    return [_given(v) for v in value] if isinstance(value, list) else value


def _columns(config: SourceConfig, names: list[str]) -> dict[str, str]:
    """Part -> column, as configured or by its usual name."""
    chosen = dict(config.columns or {})
    for part, column in chosen.items():
        if column not in names:
            raise MossAudioError(
                f"{config.path}: no column {column!r} for {part}; there are {', '.join(names)}"
            )
    for part, usual in _USUAL.items():
        if part not in chosen:
            found = next((name for name in usual if name in names), None)
            if found is not None:
                chosen[part] = found
    if "messages" not in chosen and not {"audio", "text"} <= set(chosen):
        raise MossAudioError(
            f"{config.path}: no columns for audio and text among {', '.join(names)}: "
            "name them in 'columns'"
        )
    return chosen

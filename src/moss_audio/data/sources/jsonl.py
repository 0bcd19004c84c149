"""JSONL: finished conversations, transcribed clips, and plain documents, a line each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from moss_audio.data.config import SourceConfig
from moss_audio.data.conversation import texts_of
from moss_audio.data.example import DOCUMENT, DOCUMENT_PART
from moss_audio.data.raw import Lines, RawExample, Truth
from moss_audio.data.sources.base import Source, checked, checked_text, existing
from moss_audio.data.sources.released import conversation_list, read_conversation
from moss_audio.errors import MossAudioError
from moss_audio.recordings.entry import Unread, audio_field, entry_of, is_media, seconds
from moss_audio.recordings.tables import Record, read_records, record_at


class JsonlSource(Source):
    """Only places in the file are kept in memory; a line is read again when its turn comes. (A
    `.json` file that is one list has no lines: its objects are kept.)"""

    def __init__(self, config: SourceConfig, name: str) -> None:
        self.path = existing(config.path)
        self.config = config
        self.listed: dict[int, dict[str, Any]] = {}
        lines = Lines()
        places: list[tuple[int, int, int, int]] = []  # line, offset, and a document's piece
        for record in read_records(self.path):
            if isinstance(record, Unread):
                lines.bad.append(record)
                continue
            try:
                self._index(record, lines, places)
            except MossAudioError as error:
                lines.bad.append(Unread(record.where, str(error)))
        self.places = np.array(places, np.int64).reshape(-1, 4)
        super().__init__(config, name, lines)

    def _index(self, record: Record, lines: Lines, places: list[Any]) -> None:
        data, offset = record.fields, record.offset
        if offset is None:
            offset, self.listed[record.number] = 0, data
        if _is_document(data):
            text = checked_text(data["text"])
            for start, end in _pieces(text, self.config.document_chars):
                places.append((record.number, offset, start, end))
                lines.good(0.0, text[start:end])
            return
        raw = self._example(data)
        places.append((record.number, offset, 0, 0))
        text = raw.truth.text if raw.truth else " ".join(texts_of(raw.messages or ()))
        audio_s = seconds(data.get("duration"), "duration") if raw.clips else 0.0
        if raw.clips and all(c.start_s is not None and c.end_s is not None for c in raw.clips):
            audio_s = None  # the parts tell it themselves
        lines.good(audio_s, text)

    def id(self, index: int) -> str:
        line, _, start, end = self.places[self.numbers[index]]
        return f"{self.name}/{line}" + (f"+{start}" if end else "")

    def place(self, index: int) -> str:
        return f"{self.config.path}:{self.places[self.numbers[index]][0]}"

    def read(self, number: int) -> RawExample:
        line, offset, start, end = map(int, self.places[number])
        data = self.listed[line] if self.listed else record_at(self.path, offset)
        if end:
            text, rest = data["text"][start:end], data["text"][end:]
            task = DOCUMENT_PART if rest.strip() else DOCUMENT
            return RawExample((), [{"role": "assistant", "content": text}], task=task)
        return self._example(data)

    def _example(self, data: dict[str, Any]) -> RawExample:
        folder = self.path.parent
        if conversation_list(data) is not None:
            return read_conversation(data, folder, self.config.prompt)
        question = data.get("question")
        if question is not None and not isinstance(question, str):
            raise MossAudioError("'question' is not a text")
        entry = entry_of(data, "", folder)
        return RawExample((checked(entry.clip),), truth=Truth(checked_text(entry.text), question))


def _is_document(data: dict[str, Any]) -> bool:
    """Whether a line is text alone: whatever names a recording is none."""
    if conversation_list(data) is not None or audio_field(data) is not None:
        return False
    if not isinstance(data.get("text"), str):
        raise MossAudioError("neither a conversation ('messages') nor a 'text'")
    for name, value in data.items():
        if any(map(is_media, value if isinstance(value, list) else [value])):
            raise MossAudioError(f"{name!r} names a recording; call the field 'audio'")
    return True


def _pieces(text: str, most: int) -> Iterator[tuple[int, int]]:
    """Borders of pieces of at most `most` characters, after white space where there is any."""
    start = 0
    while start < len(text):
        end = min(len(text), start + most)
        if end < len(text):
            space = max(text.rfind(mark, start, end) for mark in (" ", "\n"))
            end = space + 1 if space > start else end
        if text[start:end].strip():
            yield start, end
        start = end

"""Lhotse's manifests: a file of cuts, or a folder of Shar shards (cuts beside tars of audio).

Read are the cuts' lines and, of Shar, the places of the audio inside its tars, so that examples
can be had in any order, which Lhotse's own streaming reader of Shar does not give.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moss_audio.data.config import SourceConfig
from moss_audio.data.entry import Clip, Entry, Lines, Truth
from moss_audio.data.sources.base import ListedSource, audio_path, existing, seconds
from moss_audio.errors import MossAudioError
from moss_audio.recordings import AudioInput
from moss_audio.result import Segment, Word

_SLACK_S = 0.05  # by which a word may reach out of its supervision
_Place = tuple[str, int, int]  # tar, offset, bytes


class SharSource(ListedSource):
    """Cuts with one recording of one channel; their supervisions are sentences, and an alignment
    called "word" gives the times of the words."""

    def __init__(self, config: SourceConfig, name: str) -> None:
        path = existing(config.path)
        lines = Lines(config.path)
        self.items: list[tuple[str, Any, float | None, float | None, Truth]] = []
        files = sorted(path.glob("cuts*.jsonl*")) if path.is_dir() else [path]
        if not files:
            raise MossAudioError(f"{path}: no cuts*.jsonl.gz in it; give a Shar folder or a file")
        for file in files:
            lines.path = str(file)
            inside = _members(file)
            for number, cut in _cuts(file, lines):
                try:
                    self._cut(cut, file.parent, inside, lines)
                except (MossAudioError, KeyError, TypeError, ValueError, AttributeError) as error:
                    known = isinstance(error, MossAudioError)
                    lines.wrong(number, str(error) if known else f"not a cut ({error!r})")
        super().__init__(config, name, lines)

    def _cut(
        self, cut: dict[str, Any], folder: Path, inside: dict[str, _Place], lines: Lines
    ) -> None:
        if cut.get("type", "MonoCut") != "MonoCut":
            raise MossAudioError(f"a {cut['type']}: only MonoCuts are read")
        recording = cut.get("recording")
        if recording is None:
            raise MossAudioError("a cut without a recording")
        if len(recording.get("channel_ids") or [0]) != 1 or len(recording["sources"]) != 1:
            raise MossAudioError("a recording of several channels or files")
        if recording.get("transforms"):
            raise MossAudioError("a recording that is to be transformed: write it out first")
        duration_s = seconds(cut["duration"], "duration")
        audio: Any
        start_s, end_s = None, None
        (source,) = recording["sources"]
        if source["type"] == "shar":
            audio = inside.get(cut["id"])
            if audio is None:
                raise MossAudioError(f"no audio of {cut['id']!r} in the recording*.tar beside it")
        elif source["type"] in ("file", "url"):
            audio = audio_path(source["source"], folder)
            start_s = seconds(cut["start"], "start") or 0.0
            end_s = start_s + (duration_s or 0.0)
        else:
            raise MossAudioError(f"audio of type {source['type']!r}: use files, URLs or Shar")
        truth = _truth(cut)
        self.items.append((cut["id"], audio, start_s, end_s, truth))
        lines.good(duration_s, truth.text)

    def id(self, index: int) -> str:
        return f"{self.name}/{self.items[self.numbers[index]][0]}"

    def read(self, number: int) -> Entry:
        _, audio, start_s, end_s, truth = self.items[number]
        data: AudioInput = audio
        if isinstance(audio, tuple):
            tar, offset, size = audio
            with open(tar, "rb") as file:
                file.seek(offset)
                data = file.read(size)
        return Entry((Clip(data, start_s, end_s),), truth=truth)


def _truth(cut: dict[str, Any]) -> Truth:
    spoken = sorted(cut.get("supervisions") or [], key=lambda s: s["start"])
    texts = [s for s in spoken if (s.get("text") or "").strip()]
    sentences = [
        Segment(s["text"], max(0.0, s["start"]), s["start"] + s["duration"]) for s in texts
    ]
    text = " ".join(s["text"].strip() for s in texts)
    return Truth(text, words=_words(spoken, cut["start"]), sentences=tuple(sentences))


def _words(spoken: list[dict[str, Any]], start_s: float) -> tuple[Word, ...]:
    """The words' times in the cut; none if any lies outside of its supervision.

    Lhotse keeps alignments in the time of the recording whatever is cut out of it, and Shar
    forgets where in the recording a cut was.
    """
    words = []
    for supervision in spoken:
        first_s = supervision["start"] - _SLACK_S
        last_s = supervision["start"] + supervision["duration"] + _SLACK_S
        for text, begin, length, *_ in (supervision.get("alignment") or {}).get("word", ()):
            word = Word(text, float(begin) - start_s, float(begin) - start_s + float(length))
            if not first_s <= word.start <= word.end <= last_s:
                return ()
            if text.strip():
                words.append(word)
    return tuple(words)


def _cuts(path: Path, lines: Lines) -> Iterator[tuple[int, dict[str, Any]]]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield number, json.loads(line)
                    except json.JSONDecodeError as error:
                        lines.wrong(number, f"not JSON: {error}")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise MossAudioError(f"{path}: can't be read as cuts: {error}") from None


def _members(cuts: Path) -> dict[str, _Place]:
    """id -> where its audio lies, from the tar that belongs to this file of cuts, if it has one."""
    shard = cuts.name.removeprefix("cuts.").split(".jsonl")[0]
    tar = cuts.parent / f"recording.{shard}.tar"
    if not tar.is_file():
        return {}
    try:
        with tarfile.open(tar) as members:
            return {
                member.name.rpartition(".")[0]: (str(tar), member.offset_data, member.size)
                for member in members
                if not member.name.endswith((".json", ".nodata", ".nometa"))
            }
    except (tarfile.TarError, OSError) as error:
        raise MossAudioError(f"{tar}: damaged: {error}") from None

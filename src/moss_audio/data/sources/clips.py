"""Tables, Kaldi's data folders and Lhotse's cuts: one clip an entry, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moss_audio.data.config import SourceConfig
from moss_audio.data.raw import Lines, RawExample, Truth
from moss_audio.data.sources.base import Source, checked, checked_text, existing, opened
from moss_audio.errors import MossAudioError
from moss_audio.recordings.entry import Clip, Entry, Unread, seconds
from moss_audio.recordings.kaldi import read_kaldi
from moss_audio.recordings.lists import read_list
from moss_audio.recordings.shar import read_shar
from moss_audio.result import Segment, Word

_SLACK_S = 0.05  # by which a word may reach out of its supervision


class ClipSource(Source):
    """The entries are kept in memory. Rows of a table are numbered, the others have their ids."""

    def __init__(self, config: SourceConfig, name: str) -> None:
        lines = Lines()
        self.items: list[tuple[str | None, Clip, str | Truth]] = []
        for entry in _entries(config):
            if isinstance(entry, Unread):
                lines.bad.append(entry)
                continue
            try:
                clip, truth = checked(entry.clip), _truth(entry, config)
                audio_s = _length_s(entry, config)
            except MossAudioError as error:
                lines.bad.append(Unread(entry.where, str(error)))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                lines.bad.append(Unread(entry.where, f"not a cut ({error!r})"))
            else:
                text = truth if isinstance(truth, str) else truth.text + (truth.question or "")
                lines.good(audio_s, text)
                self.items.append((None if config.kind == "csv" else entry.id, clip, truth))
        super().__init__(config, name, lines)

    def id(self, index: int) -> str:
        own = self.items[self.numbers[index]][0]
        return super().id(index) if own is None else f"{self.name}/{own}"

    def read(self, number: int) -> RawExample:
        _, clip, truth = self.items[number]
        return RawExample((opened(clip),), truth=Truth(truth) if isinstance(truth, str) else truth)


def _entries(config: SourceConfig) -> Iterator[Entry | Unread]:
    path = existing(config.path)
    if config.kind == "kaldi":
        return read_kaldi(path)
    return read_shar(path) if config.kind == "shar" else read_list(path, config.columns)


def _length_s(entry: Entry, config: SourceConfig) -> float | None:
    """Seconds of the clip, as far as the list tells."""
    clip = entry.clip
    if config.kind != "shar" and clip.start_s is not None and clip.end_s is not None:
        return clip.end_s - clip.start_s
    name = (config.columns or {}).get("duration", "duration")
    return seconds(entry.fields.get(name), "duration")


def _truth(entry: Entry, config: SourceConfig) -> str | Truth:
    """What is known of an entry; a text alone is kept as such, which takes less memory."""
    if config.kind == "shar":
        return _of_cut(entry.fields)
    text = checked_text(entry.text)
    question = entry.fields.get((config.columns or {}).get("question", "question"))
    return Truth(text, question) if question else text


def _of_cut(cut: Any) -> Truth:
    """The supervisions are sentences, and an alignment called "word" gives the words' times."""
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

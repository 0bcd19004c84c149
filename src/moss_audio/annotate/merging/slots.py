"""The evidence as a language model gets it: texts with ids, which our code puts into its sentences.

A slot named like an item ("sound1") names it and must be used; "sound1.when" tells its times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from moss_audio.annotate.english import (
    count_word,
    noun,
    on_and_off,
    quoted,
    seconds,
    span_text,
    spans_text,
    times_word,
)
from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.grounded_writer import usable
from moss_audio.annotate.merging.phrases import LANGUAGES, music_facts, voice_clauses
from moss_audio.annotate.merging.plan import CaptionItem


@dataclass(frozen=True)
class Slot:
    """A text with its id; `item` is what it tells of, empty for facts of the whole recording."""

    id: str
    text: str
    item: str = ""

    @property
    def required(self) -> bool:
        return self.id == self.item


def caption_slots(
    evidence: Evidence, items: Sequence[CaptionItem], *, list_at_most: int
) -> dict[str, Slot]:
    """All slots by their ids. Sounds heard more than `list_at_most` times are told by extent."""
    found = [Slot("length", f"{seconds(evidence.duration_s)} seconds")]
    if evidence.spoken and (name := LANGUAGES.get((evidence.language or "").split("-")[0])):
        found.append(Slot("language", name))
    if evidence.speakers and evidence.speakers > 1:
        found.append(Slot("speakers", f"{count_word(evidence.speakers)} speakers"))
    if evidence.speaks:
        clauses = voice_clauses(evidence.fields, evidence.measured)
        found += [Slot(f"voice.{name}", clause) for name, clause in clauses.items()]
        found.append(Slot("voice.summary", usable(evidence.fields.get("summary", ""), evidence)))
    found.append(Slot("anchor", usable(evidence.anchor, evidence)))
    for item in items:
        found.append(Slot(item.id, _name(item), item.id))
        found += [
            Slot(f"{item.id}.{detail}", text, item.id)
            for detail, text in _details(item, evidence, list_at_most)
        ]
    return {slot.id: slot for slot in found if slot.text}


def _name(item: CaptionItem) -> str:
    if item.kind == "sound":
        return noun(item.sounds[0].label)
    if item.kind != "said":
        return item.kind
    doubt = "" if item.said[0].sure or item.said[0].sung else "what sounds like "
    return doubt + quoted(" ".join(one.text for one in item.said))


def _details(item: CaptionItem, evidence: Evidence, list_at_most: int) -> Iterator[tuple[str, str]]:
    if item.kind == "said":
        alone = evidence.speakers == 1 and not item.said[0].sung
        yield "who", "the speaker" if alone else item.said[0].speaker or "a voice"
        if item.spans:
            yield "when", span_text(item.spans[0][0], item.spans[-1][1])
    elif item.spans:
        few = len(item.spans) <= list_at_most
        yield "when", spans_text(item.spans) if few else on_and_off(item.spans)
    if (count := len(item.sounds)) > 1:
        yield "times", times_word(count) if count <= list_at_most else f"{count} times"
    if item.kind == "music" and evidence.music is not None:
        yield from music_facts(evidence.music).items()

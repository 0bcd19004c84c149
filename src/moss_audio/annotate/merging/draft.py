"""A language model's caption as sentences of words and slots: read, checked, put into text.

The check is structural. Every slot exists and every item is named; a time stands beside what it
is the time of; order is expressed by the words of `LINKS`, which have to agree with the times; and
the words between slots hold no number, no quotation and no claim (`free_text`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from moss_audio.annotate import english
from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.free_text import outside_faults
from moss_audio.annotate.merging.grounded_writer import usable
from moss_audio.annotate.merging.phrases import language_name, music_facts, voice_clauses
from moss_audio.annotate.merging.plan import CaptionItem
from moss_audio.endpoint import json_object
from moss_audio.errors import MossAudioError
from moss_audio.text import single_line


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
    """All slots by their ids. Sounds heard more than `list_at_most` times get their extent."""
    found = [Slot("length", f"{english.seconds(evidence.duration_s)} seconds")]
    if evidence.spoken and (name := language_name(evidence.language)):
        found.append(Slot("language", name))
    if evidence.speakers and evidence.speakers > 1:
        found.append(Slot("speakers", f"{english.count_word(evidence.speakers)} speakers"))
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
        return english.noun(item.sounds[0].label)
    if item.kind != "said":
        return item.kind
    doubt = "" if item.said[0].sure or item.said[0].sung else "what sounds like "
    return doubt + english.quoted(" ".join(one.text for one in item.said))


def _details(item: CaptionItem, evidence: Evidence, list_at_most: int) -> Iterator[tuple[str, str]]:
    if item.kind == "said":
        alone = evidence.speakers == 1 and not item.said[0].sung
        yield "who", "the speaker" if alone else item.said[0].speaker or "a voice"
        if item.spans:
            yield "when", english.span_text(item.spans[0][0], item.spans[-1][1])
    elif item.spans:
        few = len(item.spans) <= list_at_most
        yield "when", english.spans_text(item.spans) if few else english.on_and_off(item.spans)
    if (count := len(item.sounds)) > 1:
        yield "times", english.times_word(count) if count <= list_at_most else f"{count} times"
    if item.kind == "music" and evidence.music is not None:
        yield from music_facts(evidence.music).items()


# Words of order: slots that any caption may use.
LINKS = ("then", "while", "after", "before")
_ARTICLE = re.compile(r"(?:a|an|the)\s+", re.IGNORECASE)
_APART = re.compile(r"[,;:.()\u2014]|\b(?:and|with|where)\b")
_DETERMINER = re.compile(r"\b(?:(?P<article>an?)|the|this|that|its|their|another)\s*$", re.I)


@dataclass(frozen=True)
class DraftPiece:
    """Words of the model's own, or the id of a slot."""

    text: str = ""
    slot: str = ""


Sentences = Sequence[Sequence[DraftPiece]]


def draft_schema(slots: Mapping[str, Slot]) -> dict[str, Any]:
    """The JSON schema of an answer; an endpoint that enforces it can name no slot that is not."""

    def holding(name: str, kind: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {name: kind},
            "required": [name],
            "additionalProperties": False,
        }

    words = holding("text", {"type": "string"})
    slot = holding("slot", {"type": "string", "enum": [*slots, *LINKS]})
    sentence = {"type": "array", "items": {"anyOf": [words, slot]}}
    return holding("sentences", {"type": "array", "items": sentence})


def read_draft(reply: str) -> Sentences:
    """The sentences of an answer. Raises MossAudioError saying what is wrong for anything but the
    JSON of `draft_schema`."""
    sentences = json_object(reply).get("sentences")
    if not isinstance(sentences, list) or not all(isinstance(one, list) for one in sentences):
        raise MossAudioError('not {"sentences": [[...], ...]}')
    for piece in chain.from_iterable(sentences):
        known = isinstance(piece, dict) and len(piece) == 1 and {*piece} <= {"text", "slot"}
        if not known or not all(isinstance(value, str) for value in piece.values()):
            raise MossAudioError('a piece of a sentence must be {"text": ...} or {"slot": ...}')
    return [[DraftPiece(**piece) for piece in sentence] for sentence in sentences if sentence]


def draft_faults(
    sentences: Sentences,
    slots: Mapping[str, Slot],
    items: Sequence[CaptionItem],
    evidence: Evidence,
) -> list[str]:
    """What is wrong, a line each; nothing if the caption is grounded."""
    used = [[piece.slot for piece in sentence if piece.slot] for sentence in sentences]
    cited = {*chain.from_iterable(used)}
    out = [f"there is no slot {name!r}" for name in sorted(cited - {*slots, *LINKS})]
    out += [
        f"slot {item.id!r} ({slots[item.id].text}) is not used"
        for item in items
        if item.id not in cited
    ]
    shown = [slot.text for slot in slots.values()]
    for sentence, names in zip(sentences, used, strict=True):
        words = " , ".join(piece.text for piece in sentence if piece.text)
        out += outside_faults(words, evidence, shown)
        if not any(name in slots for name in names):
            out.append(f"a sentence without a slot: {words.strip()[:60]!r}")
    out += _misplaced(sentences, slots)
    return [*dict.fromkeys(out + _link_faults(used, slots, {item.id: item for item in items}))]


def _misplaced(sentences: Sentences, slots: Mapping[str, Slot]) -> list[str]:
    """Details that stand neither behind what they tell of nor right before it.

    In front of it, and behind something else, they must be set apart: "“Yes” says speaker 2, “No”"
    would give the first words to speaker 2.
    """
    out = []
    last = ""  # the item named last, in all sentences
    for sentence in sentences:
        before, between = "", ","  # the item of the slot before, and the words since
        for at, piece in enumerate(sentence):
            slot = slots.get(piece.slot)
            if slot is None or not slot.item:
                between += "," if piece.slot in LINKS else piece.text
                continue
            if slot.required:
                last = slot.item
            elif slot.item not in (last, before):
                rest = [slots[other.slot] for other in sentence[at + 1 :] if other.slot in slots]
                coming = next((one.item for one in rest if one.required), "")
                if slot.item != coming or not _APART.search(between):
                    out.append(f"slot {slot.id!r} must stand beside slot {slot.item!r}")
            before, between = slot.item, ""
    return out


def _link_faults(
    used: Sequence[Sequence[str]], slots: Mapping[str, Slot], items: Mapping[str, CaptionItem]
) -> list[str]:
    """Words of order that the times contradict.

    A word between two items joins them; "while", "after" and "before" in front of a sentence join
    its first two, and the sentence tells the second of these as the main thing.
    """
    out = []
    before: list[str] = []  # items named so far, in all sentences
    for names in used:
        begun = len(before)
        for at, name in enumerate(names):
            if name in slots and slots[name].item:
                before.append(slots[name].item)
            if name not in LINKS:
                continue
            coming = [slots[n].item for n in names[at + 1 :] if n in slots and slots[n].item]
            others = [one for one in before if one not in coming[:1]]
            pair = [*others[-1:], *coming[:1]]
            if name != "then" and len(before) == begun:
                pair = [*dict.fromkeys(coming)][:2][::-1]
            if len(pair) < 2 or not all(items[one].spans for one in pair):
                out.append(f"{name!r} must stand between two things with known times")
            elif not _borne_out(name, items[pair[0]], items[pair[1]]):
                out.append(f"{name!r} is not so: {pair[0]} {name} {pair[1]}")
    return out


def _borne_out(link: str, one: CaptionItem, other: CaptionItem) -> bool:
    """Whether "one LINK other" is true of some occurrences of the two."""
    pairs = [(a, b) for a in one.spans for b in other.spans]
    if link == "while":
        return any(a[0] <= b[1] and b[0] <= a[1] for a, b in pairs)
    if link == "after":
        return any(a[0] > b[0] for a, b in pairs)
    return any(a[0] < b[0] for a, b in pairs)


def draft_text(sentences: Sentences, slots: Mapping[str, Slot]) -> str:
    """The caption: slots filled in, a capital and a full stop for each sentence."""
    told = []
    for sentence in sentences:
        text = ""
        for piece in sentence:
            part = single_line(piece.text) if piece.text else piece.slot
            part = slots[part].text if piece.slot and part in slots else part
            article = _DETERMINER.search(text) if piece.slot else None
            if article and article["article"] and _ARTICLE.match(part):
                text = text[: article.start()].rstrip()  # the slot has the right one of a and an
            elif article:
                part = _ARTICLE.sub("", part, count=1) if _ARTICLE.match(part) else part
            glued = not text or not part or part[0] in ",.;:!?)'\u2019" or text[-1] in "(\u201c"
            text += part if glued else f" {part}"
        told.append(english.capital(text) + english.full_stop(text))
    return " ".join(told)

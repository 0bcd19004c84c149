"""What a caption must name: every finding of a segment that is sure, each with an id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from moss_audio.annotate.merging.evidence import Evidence, HeardSound, SaidText
from moss_audio.metrics.mentions import label_key

# Sentences of one voice with less than this between them are quoted together.
_QUOTE_GAP_S = 1.5
_QUOTE_WORDS = 45


@dataclass(frozen=True)
class CaptionItem:
    """One thing to be named. Without `spans` its times are not known.

    `said` holds the words of a quotation, `sounds` the occurrences of one sound.
    """

    id: str
    kind: Literal["said", "speech", "singing", "sound", "music"]
    spans: tuple[tuple[float, float], ...] = ()
    said: tuple[SaidText, ...] = ()
    sounds: tuple[HeardSound, ...] = ()

    @property
    def start_s(self) -> float:
        return self.spans[0][0] if self.spans else 0.0

    @property
    def end_s(self) -> float:
        return max((end for _, end in self.spans), default=0.0)


def caption_items(evidence: Evidence) -> tuple[CaptionItem, ...]:
    """Quotations, speech and singing without known words, sounds by their names, music."""
    items = [
        CaptionItem(f"said{number}", "said", _spans(block), said=tuple(block))
        for number, block in enumerate(_blocks(evidence.utterances), 1)
    ]
    if evidence.speech and not evidence.spoken:
        items.append(CaptionItem("speech", "speech", evidence.speech))
    if evidence.singing and not evidence.sung:
        items.append(CaptionItem("singing", "singing", evidence.singing))
    groups: dict[str, list[HeardSound]] = {}
    for sound in evidence.sure_sounds:
        groups.setdefault(label_key(sound.label), []).append(sound)
    for number, group in enumerate(groups.values(), 1):
        spans = tuple((sound.start_s, sound.end_s) for sound in group)
        items.append(CaptionItem(f"sound{number}", "sound", spans, sounds=tuple(group)))
    if evidence.music is not None:
        items.append(CaptionItem("music", "music", evidence.music.spans))
    return tuple(items)


def _blocks(utterances: Sequence[SaidText]) -> list[list[SaidText]]:
    """Utterances that are quoted together: of one voice, close in time, not too many words."""
    blocks: list[list[SaidText]] = []
    for one in utterances:
        if blocks and _continues(blocks[-1], one):
            blocks[-1].append(one)
        else:
            blocks.append([one])
    return blocks


def _continues(block: Sequence[SaidText], one: SaidText) -> bool:
    before = block[-1]
    return (
        (before.speaker, before.sure, before.sung) == (one.speaker, one.sure, one.sung)
        and before.end_s is not None
        and one.start_s is not None
        and -0.05 <= one.start_s - before.end_s <= _QUOTE_GAP_S
        and sum(len(u.text.split()) for u in block) + len(one.text.split()) <= _QUOTE_WORDS
    )


def _spans(block: Sequence[SaidText]) -> tuple[tuple[float, float], ...]:
    return tuple(one.span for one in block if one.span)

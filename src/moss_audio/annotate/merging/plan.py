"""What a caption must name, each with an id, and which of it leads: from priors and findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from moss_audio.annotate.merging.evidence import Evidence, HeardSound, SaidText, joined
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
        CaptionItem(f"said{number}", "said", _block_spans(block), said=tuple(block))
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


def _block_spans(block: Sequence[SaidText]) -> tuple[tuple[float, float], ...]:
    return tuple(one.span for one in block if one.span)


Part = Literal["speech", "music", "events"]
PARTS: tuple[Part, ...] = ("speech", "music", "events")
# Which coarse classes of the profile (specification 3.2) speak for a part.
_CLASSES: Mapping[Part, tuple[str, ...]] = {
    "speech": ("speech",),
    "music": ("music", "singing"),
    "events": (
        "human sounds", "natural sounds", "source-ambiguous sounds", "sounds of things",
        "environment", "animal",
    ),
}  # fmt: skip
# Evidence outweighs the prior: the profile is heard from afar, the branch listened closely.
_PRIOR_SHARE = 0.4
# Words and melodies carry more of a caption than an equally long noise does.
_WEIGHTS: Mapping[Part, float] = {"speech": 1.0, "music": 0.9, "events": 0.8}


@dataclass(frozen=True)
class CaptionPlan:
    """Parts in the order of their weight; only those of which something was found."""

    order: tuple[Part, ...]
    lines: tuple[str, ...]  # as kept in the caption

    @property
    def lead(self) -> Part | None:
        return self.order[0] if self.order else None


def make_plan(evidence: Evidence, profile: Mapping[str, float]) -> CaptionPlan:
    """The plan: found parts by `0.4 * prior + 0.6 * share of the segment they cover`, weighted."""
    weights: dict[Part, float] = {}
    lines: list[str] = []
    absent: list[str] = []
    for part in PARTS:
        prior = max((float(profile.get(name, 0.0)) for name in _CLASSES[part]), default=0.0)
        found = _found(part, evidence)
        if not found:
            absent.append(f"absent: {part} (prior {prior:.2f}, nothing found)")
            continue
        share = _coverage(_spans(part, evidence), evidence.duration_s)
        weights[part] = _WEIGHTS[part] * (_PRIOR_SHARE * prior + (1 - _PRIOR_SHARE) * share)
    order = tuple(sorted(weights, key=lambda part: (-weights[part], PARTS.index(part))))
    for rank, part in enumerate(order):
        role = "background" if rank else "lead"
        lines.append(f"{role}: {part} (weight {weights[part]:.2f}; {_found(part, evidence)})")
    lines += absent
    lines += [f"left out: {note}" for note in evidence.notes]
    return CaptionPlan(order, tuple(lines))


def other_than_music(evidence: Evidence) -> list[HeardSound]:
    """Sure sounds; where more is known of the music, without those that only say that it plays."""
    sounds = list(evidence.sure_sounds)
    if evidence.music is None:
        return sounds
    return [sound for sound in sounds if "music" not in sound.label.lower().split()]


def _found(part: Part, evidence: Evidence) -> str:
    """What there is of a part, in words; empty if nothing."""
    if part == "speech":
        if evidence.spoken:
            return f"sentences: {len(evidence.spoken)}"
        return "speech without words" if evidence.speech else ""
    if part == "events":
        sounds = other_than_music(evidence)
        return f"events: {len(sounds)}" if sounds else ""
    music = evidence.music
    known = []
    if music:
        named = {
            "tempo": music.bpm, "key": music.tonic, "sections": music.sections,
            "chords": music.chords, "dynamics": music.dynamics, "instruments": music.instruments,
            "times": music.spans,
        }  # fmt: skip
        known = [name for name, value in named.items() if value]
    if evidence.sings:
        known.append("singing")
    return ", ".join(known)


def _spans(part: Part, evidence: Evidence) -> Iterable[tuple[float, float]]:
    if part == "speech":
        return evidence.speech or [(0.0, evidence.duration_s)]
    if part == "events":
        return [(sound.start_s, sound.end_s) for sound in other_than_music(evidence)]
    spans = [*evidence.singing, *(evidence.music.spans if evidence.music else ())]
    return spans or [(0.0, evidence.duration_s)]


def _coverage(spans: Iterable[tuple[float, float]], duration_s: float) -> float:
    covered = sum(end - start for start, end in joined(spans, gap_s=0.0))
    return min(1.0, covered / duration_s) if duration_s > 0 else 0.0

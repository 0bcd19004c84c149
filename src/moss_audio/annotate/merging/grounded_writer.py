"""The default writer: says what the evidence holds and nothing else, in varied plain English.

Speech is quoted with who and when, sounds come in the order of time, then music with tempo, key
and sections, and the measured qualities of the voice. The wording varies with the seed. It needs
no model and no network. Every sentence is made from items of the evidence; `cited` says which.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from moss_audio.annotate import english
from moss_audio.annotate.merging.evidence import Evidence, HeardSound
from moss_audio.annotate.merging.free_text import contradictions
from moss_audio.annotate.merging.phrases import language_name, music_sentences, voice_clauses
from moss_audio.annotate.merging.plan import CaptionItem, CaptionPlan, other_than_music
from moss_audio.annotate.words import words

# Two starts closer than this have no order to speak of.
_CLEAR_S = 0.25
_OVERLAP_S = 0.1
_THROUGHOUT_SHARE = 0.85


@dataclass(frozen=True)
class WrittenCaption:
    """A caption, and the ids of the items that its sentences name."""

    text: str
    cited: frozenset[str]


@dataclass(frozen=True)
class GroundedWriter:
    """`list_at_most`: a sound heard more often is described by number and extent."""

    name = "grounded"

    list_at_most: int = 5

    @property
    def version(self) -> str:
        """Changes whenever its texts may."""
        return f"1-{self.list_at_most}"

    def write(
        self, evidence: Evidence, plan: CaptionPlan, items: Sequence[CaptionItem], seed: str
    ) -> WrittenCaption:
        """One to three paragraphs that name all `items`; equal seeds give equal words."""
        rng = random.Random(f"caption {seed}")
        if evidence.empty:
            return WrittenCaption(
                _worded(rng, "nothing", length=english.seconds(evidence.duration_s)), frozenset()
            )
        timeline, cited = self._timeline(evidence, items, rng)
        body = " ".join([*timeline, *_voice(evidence, rng)])
        music = _music(evidence, rng)
        cited |= {"music"} if music else set()
        opening = " ".join(
            part
            for part in (_opening(evidence, plan, rng), usable(evidence.anchor, evidence))
            if part
        )
        ordered = (music, body) if plan.lead == "music" else (body, music)
        first, *rest = [part for part in ordered if part]
        return WrittenCaption("\n\n".join([f"{opening} {first}", *rest]), frozenset(cited))

    # ------------------------------------------------------------------------- the timeline

    def _timeline(
        self, evidence: Evidence, items: Sequence[CaptionItem], rng: random.Random
    ) -> tuple[list[str], set[str]]:
        """Sentences in the order of time, after the sounds that last nearly throughout."""
        told: list[tuple[CaptionItem, str]] = []
        background: list[CaptionItem] = []
        for item in items:
            if item.kind == "said":
                who = item.said[0].speaker
                if evidence.speakers == 1 and not item.said[0].sung:  # one needs no number
                    who = "the speaker" if told else "a speaker"
                told.append((item, _said(item, who, rng)))
            elif item.kind in ("speech", "singing"):
                told.append((item, self._wordless(item, rng)))
            elif item.kind == "sound":
                if _lasts(item, evidence.duration_s):
                    background.append(item)
                else:
                    told.append((item, self._heard(item, rng)))
        told.sort(key=lambda one: (not one[0].spans, one[0].start_s, one[0].end_s, one[1]))
        out = [_throughout(item.sounds[0], rng) for item in background]
        previous: CaptionItem | None = None
        for item, text in told:
            out.append(
                english.capital(_lead_in(previous, item, rng) + text) + english.full_stop(text)
            )
            previous = item
        return out, {item.id for item in (*background, *(item for item, _ in told))}

    def _wordless(self, item: CaptionItem, rng: random.Random) -> str:
        subject = _worded(rng, "wordless")
        if item.kind == "singing":  # drawn twice, so that a seed still gives the same words
            subject = _worded(rng, "singing")
        few = len(item.spans) <= self.list_at_most
        return (
            f"{subject} {english.spans_text(item.spans) if few else english.on_and_off(item.spans)}"
        )

    def _heard(self, item: CaptionItem, rng: random.Random) -> str:
        label, count = item.sounds[0].label, len(item.sounds)
        name, verb = english.noun(label), english.be(label)
        if count == 1:
            wording = rng.choice(words("wordings")["span"])
            when = english.span_text(item.start_s, item.end_s, wording)
            return _worded(rng, "heard", name=name, be=verb, when=when)
        if count <= self.list_at_most:
            return (
                f"{name} {verb} heard {english.times_word(count)}, {english.spans_text(item.spans)}"
            )
        when = english.span_text(item.start_s, item.end_s, "between {a} and {b} seconds")
        return f"{name} {verb} heard {count} times {when}"


def usable(text: str, evidence: Evidence) -> str:
    """A sentence that another tool wrote, if nothing in it goes against the evidence; or ""."""
    text = text.strip()
    text = f"{text}." if text and not text.endswith((".", "!", "?")) else text
    return "" if not text or contradictions(text, evidence) else text


def _worded(rng: random.Random, kind: str, /, **slots: str) -> str:
    """One of the wordings of `words.toml`; a slot with a capital name is filled in with one."""
    capitals = {key.capitalize(): english.capital(text) for key, text in slots.items()}
    wording: str = rng.choice(words("wordings")[kind])
    return wording.format(**slots, **capitals)


def _lasts(item: CaptionItem, duration_s: float) -> bool:
    length = item.sounds[0].end_s - item.sounds[0].start_s
    return len(item.sounds) == 1 and length >= _THROUGHOUT_SHARE * duration_s > 0


def _lead_in(previous: CaptionItem | None, item: CaptionItem, rng: random.Random) -> str:
    """How a statement joins the one before it; says only what their times support."""
    if previous is None or not item.spans or not previous.spans:
        return ""
    if item.start_s >= previous.end_s and item.start_s - previous.start_s >= _CLEAR_S:
        return _worded(rng, "next")
    together = any(
        a <= item.start_s <= b - _OVERLAP_S for a, b in previous.spans
    )  # a sound that comes and goes may be pausing just then
    if item.start_s - previous.start_s >= _CLEAR_S and together:
        return _worded(rng, "together")
    return ""


def _throughout(sound: HeardSound, rng: random.Random) -> str:
    when = english.span_text(sound.start_s, sound.end_s)
    return _worded(
        rng, "throughout", when=when, name=english.noun(sound.label), be=english.be(sound.label)
    )


# ---------------------------------------------------------------------------------- speech


def _said(item: CaptionItem, who: str | None, rng: random.Random) -> str:
    first = item.said[0]
    spoken = english.quoted(" ".join(one.text for one in item.said))
    who = who or _worded(rng, "voice")
    if first.sung:
        who, verb = "a voice", "sings"
    else:
        verb = _worded(rng, "says")
    if not first.sure and not first.sung:
        verb = f"{verb} what sounds like"
    if not item.spans:
        return f"{who} {verb} {spoken}"
    when = english.span_text(item.spans[0][0], item.spans[-1][1])
    return _worded(rng, "said", when=when, who=who, says=verb, words=spoken)


def _voice(evidence: Evidence, rng: random.Random) -> list[str]:
    """Sentences on the voice, if anybody speaks."""
    if not evidence.speaks:
        return []
    clauses = list(voice_clauses(evidence.fields, evidence.measured).values())
    out = []
    for at in range(0, len(clauses), 4):
        lead = "" if at else _worded(rng, "qualities")
        out.append(english.capital(lead + english.listed(clauses[at : at + 4])) + ".")
    if summary := usable(evidence.fields.get("summary", ""), evidence):
        out.append(summary)
    return out


# -------------------------------------------------------------------------- music, opening


def _music(evidence: Evidence, rng: random.Random) -> str:
    if evidence.music is None:
        return ""
    subject = _worded(rng, "music")
    sentences = music_sentences(evidence.music, rng, subject=subject)
    if not sentences or not sentences[0].startswith(subject):
        sentences.insert(0, "There is music.")  # what the rest is about
    return " ".join(english.capital(one) for one in sentences)


def _opening(evidence: Evidence, plan: CaptionPlan, rng: random.Random) -> str:
    length = english.seconds(evidence.duration_s)
    language = language_name(evidence.language)
    kind = language if language and language != "English" else ""
    names = {
        "speech": f"{kind} speech".strip(),
        "music": "music" if evidence.music else "singing",
        "events": _sounds(other_than_music(evidence)),
    }
    parts = [names[part] for part in plan.order]
    if "speech" in plan.order and evidence.speakers and evidence.speakers > 1:
        parts[plan.order.index("speech")] += f" of {english.count_word(evidence.speakers)} speakers"
    lead, rest = parts[0], english.listed(parts[1:])
    return _worded(rng, "mixed" if rest else "single", length=length, lead=lead, rest=rest)


def _sounds(sounds: Sequence[HeardSound]) -> str:
    if sounds and all("music" in sound.label.lower().split() for sound in sounds):
        return "music"
    return "sounds" if len(sounds) > 1 else "a sound"

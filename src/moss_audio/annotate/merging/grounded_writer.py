"""The default writer: says what the evidence holds and nothing else, in varied plain English.

Speech is quoted with who and when, sounds come in the order of time, then music with tempo, key
and sections, and the measured qualities of the voice. The wording varies with the seed. It needs
no model and no network.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from moss_audio.annotate.merging.evidence import Evidence, Sound, Utterance
from moss_audio.annotate.merging.grounding import check
from moss_audio.annotate.merging.phrases import (
    LANGUAGES,
    be,
    capital,
    count_word,
    group_spans,
    listed,
    music_sentences,
    noun,
    quoted,
    seconds,
    span_text,
    spans_text,
    times_word,
    voice_clauses,
)
from moss_audio.annotate.merging.plan import Plan, other_than_music
from moss_audio.metrics.mentions import label_key

# Sentences of one voice with less than this between them are quoted together.
_QUOTE_GAP_S = 1.5
_QUOTE_WORDS = 45
# Two starts closer than this have no order to speak of.
_CLEAR_S = 0.25
_OVERLAP_S = 0.1
_THROUGHOUT_SHARE = 0.85


@dataclass(frozen=True)
class _Item:
    """One statement of the timeline: when it starts and ends, and its words after a lead-in."""

    spans: tuple[tuple[float, float], ...]  # none: its times are not known
    text: str  # begins with its subject, lower case

    @property
    def start_s(self) -> float:
        return self.spans[0][0] if self.spans else 0.0

    @property
    def end_s(self) -> float:
        return max((end for _, end in self.spans), default=0.0)


@dataclass(frozen=True)
class GroundedWriter:
    """`list_at_most`: a sound that is heard more often is told by number and extent."""

    list_at_most: int = 5

    @property
    def name(self) -> str:
        return "grounded"

    @property
    def version(self) -> str:
        return f"1-{self.list_at_most}"

    @property
    def attempts(self) -> int:
        return 1

    def setup(self) -> None:
        """Nothing to load."""

    def write(self, evidence: Evidence, plan: Plan, seed: str, faults: Sequence[str] = ()) -> str:
        """One to three paragraphs; see `Writer.write`."""
        rng = random.Random(f"caption {seed}")
        if evidence.empty:
            return _nothing(evidence, rng)
        timeline = self._timeline(evidence, rng)
        voice = _voice(evidence, rng)
        music = _music(evidence, plan, rng)
        opening = _opening(evidence, plan, rng)
        body = [" ".join(part) for part in ([*timeline, *voice],) if part]
        paragraphs = [*music, *body] if plan.lead == "music" else [*body, *music]
        paragraphs = [part for part in paragraphs if part]
        anchor = _usable(evidence.anchor, evidence)
        start = " ".join(part for part in (opening, anchor, *paragraphs[:1]) if part)
        return "\n\n".join([start, *paragraphs[1:]])

    # ------------------------------------------------------------------------- the timeline

    def _timeline(self, evidence: Evidence, rng: random.Random) -> list[str]:
        items: list[_Item] = []
        for block in _blocks(evidence.utterances):
            who = block[0].speaker
            if evidence.speakers == 1 and not block[0].sung:  # one needs no number
                who = "the speaker" if items else "a speaker"
            items.append(_said(block, who, rng))
        if not evidence.spoken:
            items += self._wordless(evidence.speech, "speech", rng)
        if not evidence.sung:
            items += self._wordless(evidence.singing, "singing", rng)
        groups: dict[str, list[Sound]] = {}
        for sound in evidence.sure_sounds:
            groups.setdefault(label_key(sound.label), []).append(sound)
        background = []
        for group in groups.values():
            length = group[0].end_s - group[0].start_s
            if len(group) == 1 and length >= _THROUGHOUT_SHARE * evidence.duration_s > 0:
                background.append(group[0])
            else:
                items.append(self._heard(group, rng))
        items.sort(key=lambda item: (not item.spans, item.start_s, item.end_s, item.text))
        out = [_throughout(sound, rng) for sound in background]
        previous: _Item | None = None
        for item in items:
            out.append(capital(_lead_in(previous, item, rng) + item.text) + _stop(item.text))
            previous = item
        return out

    def _wordless(
        self,
        spans: Sequence[tuple[float, float]],
        what: str,
        rng: random.Random,
    ) -> list[_Item]:
        if not spans:
            return []
        subject = rng.choice(("someone speaks", "a voice speaks", "speech is heard"))
        if what == "singing":
            subject = rng.choice(("singing is heard", "a voice sings"))
        when = (
            spans_text(spans)
            if len(spans) <= self.list_at_most
            else span_text(spans[0][0], spans[-1][1], "on and off from {a} to {b} seconds")
        )
        return [_Item(tuple(spans), f"{subject} {when}")]

    def _heard(self, group: Sequence[Sound], rng: random.Random) -> _Item:
        label, count = group[0].label, len(group)
        start, end = group[0].start_s, max(sound.end_s for sound in group)
        name, verb = noun(label), be(label)
        if count == 1:
            wording = rng.choice(("from {a} to {b} seconds", "between {a} and {b} seconds"))
            when = span_text(start, end, wording)
            text = rng.choice((
                f"{name} {verb} heard {when}",
                f"{name} can be heard {when}",
                f"there {verb} {name} {when}",
            ))  # fmt: skip
        elif count <= self.list_at_most:
            text = f"{name} {verb} heard {times_word(count)}, {spans_text(group_spans(group))}"
        else:
            when = span_text(start, end, "between {a} and {b} seconds")
            text = f"{name} {verb} heard {count} times {when}"
        return _Item(tuple(group_spans(group)), text)


def _stop(text: str) -> str:
    return "" if text.endswith((".\u201d", "!\u201d", "?\u201d", "\u3002\u201d")) else "."


def _lead_in(previous: _Item | None, item: _Item, rng: random.Random) -> str:
    """How a statement joins the one before it; says only what their times bear out."""
    if previous is None or not item.spans or not previous.spans:
        return ""
    if item.start_s >= previous.end_s and item.start_s - previous.start_s >= _CLEAR_S:
        return rng.choice(("then ", "after that, ", "next, ", "then ", ""))
    together = any(
        a <= item.start_s <= b - _OVERLAP_S for a, b in previous.spans
    )  # a sound that comes and goes may be pausing just then
    if item.start_s - previous.start_s >= _CLEAR_S and together:
        return rng.choice(("meanwhile, ", "while this goes on, ", "", ""))
    return ""


def _throughout(sound: Sound, rng: random.Random) -> str:
    when = span_text(sound.start_s, sound.end_s)
    name, verb = noun(sound.label), be(sound.label)
    return rng.choice((
        f"Nearly throughout, {when}, {name} {verb} heard.",
        f"{capital(name)} {verb} heard almost all along, {when}.",
        f"Nearly all along, {when}, there {verb} {name}.",
    ))  # fmt: skip


# ---------------------------------------------------------------------------------- speech


def _blocks(utterances: Sequence[Utterance]) -> list[list[Utterance]]:
    """Utterances that are quoted together: of one voice, close in time, not too many words."""
    blocks: list[list[Utterance]] = []
    for one in utterances:
        last = blocks[-1] if blocks else []
        before = last[-1] if last else None
        same = (
            before is not None
            and (before.speaker, before.sure, before.sung) == (one.speaker, one.sure, one.sung)
            and before.end_s is not None
            and one.start_s is not None
            and -0.05 <= one.start_s - before.end_s <= _QUOTE_GAP_S
            and sum(len(u.text.split()) for u in last) + len(one.text.split()) <= _QUOTE_WORDS
        )
        if same:
            last.append(one)
        else:
            blocks.append([one])
    return blocks


def _said(block: Sequence[Utterance], who: str | None, rng: random.Random) -> _Item:
    first, last = block[0], block[-1]
    words = quoted(" ".join(one.text for one in block))
    who = who or rng.choice(("a voice", "someone"))
    if first.sung:
        who, verb = "a voice", "sings"
    else:
        verb = rng.choice(("says", "says", "is heard saying"))
    if not first.sure and not first.sung:
        verb = f"{verb} what sounds like"
    if first.start_s is None or last.end_s is None:
        return _Item((), f"{who} {verb} {words}")
    when = span_text(first.start_s, last.end_s)
    text = rng.choice((
        f"{when}, {who} {verb}: {words}",
        f"{when} {who} {verb}, {words}",
        f"{who} {verb} {when}: {words}",
    ))  # fmt: skip
    spans = tuple(
        (u.start_s, u.end_s) for u in block if u.start_s is not None and u.end_s is not None
    )
    return _Item(spans, text)


def _voice(evidence: Evidence, rng: random.Random) -> list[str]:
    """Sentences on the voice, if anybody speaks."""
    if not evidence.speaks:
        return []
    clauses = voice_clauses(evidence.fields, evidence.measured)
    out = []
    for at in range(0, len(clauses), 4):
        lead = ""
        if at == 0:
            lead = rng.choice(("Of the voice: ", "As for the voice, ", "About the speech: "))
        out.append(capital(lead + listed(clauses[at : at + 4])) + ".")
    if summary := _usable(evidence.fields.get("summary", ""), evidence):
        out.append(summary)
    return out


def _usable(text: str, evidence: Evidence) -> str:
    """A sentence that another tool wrote, if nothing in it goes against the evidence."""
    text = text.strip()
    if not text:
        return ""
    text = text if text.endswith((".", "!", "?")) else f"{text}."
    return text if not check(text, evidence, complete=False) else ""


# -------------------------------------------------------------------------- music, opening


def _music(evidence: Evidence, plan: Plan, rng: random.Random) -> list[str]:
    if evidence.music is None:
        return []
    subject = rng.choice(("the music", "the piece of music"))
    sentences = music_sentences(evidence.music, rng, subject=subject)
    if not sentences or not sentences[0].startswith(subject):
        sentences.insert(0, "There is music.")  # what the rest is about
    return [" ".join(capital(one) for one in sentences)]


def _opening(evidence: Evidence, plan: Plan, rng: random.Random) -> str:
    length = seconds(evidence.duration_s)
    language = LANGUAGES.get((evidence.language or "").split("-")[0], "")
    kind = language if language and language != "English" else ""
    names = {
        "speech": f"{kind} speech".strip(),
        "music": "music" if evidence.music else "singing",
        "events": _sounds(other_than_music(evidence)),
    }
    parts = [names[part] for part in plan.order]
    if "speech" in plan.order and evidence.speakers and evidence.speakers > 1:
        parts[plan.order.index("speech")] += f" of {count_word(evidence.speakers)} speakers"
    lead, rest = parts[0], listed(parts[1:])
    if rest:
        return rng.choice((
            f"This recording of {length} seconds holds mainly {lead}, with {rest} besides.",
            f"Mainly {lead} and, less prominently, {rest} make up these {length} seconds of audio.",
            f"A recording of {length} seconds: {lead} above all, and {rest}.",
        ))  # fmt: skip
    return rng.choice((
        f"This recording of {length} seconds holds {lead}.",
        f"A recording of {length} seconds with {lead}.",
        f"{capital(lead)} can be heard in these {length} seconds of audio.",
    ))  # fmt: skip


def _sounds(sounds: Sequence[Sound]) -> str:
    if sounds and all("music" in sound.label.lower().split() for sound in sounds):
        return "music"
    return "sounds" if len(sounds) > 1 else "a sound"


def _nothing(evidence: Evidence, rng: random.Random) -> str:
    length = seconds(evidence.duration_s)
    return rng.choice((
        f"Nothing distinct was found in these {length} seconds: no speech, no music and no "
        "particular sound.",
        f"A recording of {length} seconds in which no speech, no music and no particular sound "
        "was found.",
    ))  # fmt: skip

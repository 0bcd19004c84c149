"""Whether a caption says only what the evidence holds, and names all that it must.

A fault is one line a writer can act on. Checked, each on its own:

- word: what stands in quotation marks was said, word for word, by the speaker it is given to;
- event: each sound that is named was heard; what was heard for sure is not denied;
- time: each time fits what it is said of (or, where a sentence names nothing, anything at all);
- order: "then", "after", "before", "while", "first", "finally" agree with the times;
- number: counts, lengths, tempo and other measures are those of the evidence;
- attribute: key, mode, tempo, instruments, and what is said of the voice;
- missing: each sure sound, speech and music are named.

Wordings are recognised, not understood: a sound that is no known name and stands in no known form
passes, and so does a claim in words alone ("far away").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from moss_audio.annotate.merging.attributes import attribute_faults
from moss_audio.annotate.merging.binding import Bound, bind
from moss_audio.annotate.merging.claims import Claim, find_claims
from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.order import order_faults
from moss_audio.annotate.merging.reading import Reading, read
from moss_audio.annotate.merging.vocabulary import MUSIC, SPEECH
from moss_audio.metrics.mentions import label_key

FaultKind = Literal["word", "event", "time", "order", "number", "attribute", "missing"]
_BPM_SLACK = 1.0


@dataclass(frozen=True)
class Fault:
    """What is wrong with a caption, in words."""

    kind: FaultKind
    message: str


def check(text: str, evidence: Evidence, *, complete: bool = True) -> tuple[Fault, ...]:
    """All faults of a caption; none means that it is grounded.

    `complete`: whether sure evidence that is not named is a fault; not for a part of a caption.
    """
    reading = read(text, evidence)
    claims = find_claims(reading.body, reading.silent)
    bound = bind(reading, claims, evidence)
    faults = [
        *(Fault("word", message) for message in reading.wrong_words),
        *(Fault("event", message) for message in reading.wrong_events),
        *(Fault("time", message) for message in bound.faults),
        *(Fault("order", message) for message in order_faults(reading, bound, evidence)),
        *(Fault("number", message) for message in _numbers(reading, claims, evidence)),
        *(Fault("attribute", message) for message in attribute_faults(reading, evidence)),
    ]
    if complete:
        faults += [Fault("missing", message) for message in _missing(reading, evidence)]
    if not text.strip():
        faults.append(Fault("missing", "the caption is empty"))
    return tuple(dict.fromkeys(faults))


def _numbers(reading: Reading, claims: Sequence[Claim], evidence: Evidence) -> list[str]:
    out = []
    for claim in claims:
        if claim.kind == "measure":
            known = _measures(claim.unit, evidence)
            slack = max(_BPM_SLACK, claim.slack) if claim.unit in ("bpm", "beats") else claim.slack
            if not any(abs(claim.value - value) <= slack for value in known):
                out.append(f"{reading.body[claim.at : claim.until].strip()} {claim.unit} is not in "
                           "the evidence")  # fmt: skip
        elif claim.kind == "number" and not _counted(reading, claim, evidence):
            written = reading.body[claim.at : claim.until].strip()
            out.append(f"the number {written!r} is not in the evidence")
    return out


def _measures(unit: str, evidence: Evidence) -> list[float]:
    if unit == "bpm" or unit.startswith("beat"):
        return [evidence.music.bpm] if evidence.music and evidence.music.bpm else []
    names = {
        "word": ("word", "wpm"), "hz": ("hz",), "hertz": ("hz",), "db": ("db", "snr", "lufs"),
        "decibel": ("db", "snr"), "lufs": ("lufs",),
    }  # fmt: skip
    wanted = names.get(unit.rstrip("s"), (unit.rstrip("s"),))
    values = [v for k, v in evidence.measured.items() if any(w in k.lower() for w in wanted)]
    if unit.startswith("word"):
        values.append(float(len(evidence.words)) if evidence.words else -1.0)
    return values


def _counted(reading: Reading, claim: Claim, evidence: Evidence) -> bool:
    """Whether a bare number counts something right."""
    value = int(claim.value)
    if claim.value != value:
        return False
    written = reading.body[claim.at : claim.until].lower()
    behind = reading.body[claim.until : claim.until + 40].lower().split()[:3]
    words = [word.strip(".,;:!?()") for word in behind]
    if claim.unit == "times":
        before = [m for m in reading.mentions if m.end <= claim.at and not m.negated]
        after = [m for m in reading.mentions if m.start >= claim.until and not m.negated]
        near = [*before[-1:], *after[:1]]
        return any(value in _counts(label, evidence) for m in near for label in m.labels)
    speakers = {evidence.speakers} if evidence.speakers else {
        len({u.speaker for u in evidence.spoken if u.speaker}) or value
    }  # fmt: skip
    music = evidence.music
    kinds = {
        ("speaker", "speakers", "voice", "voices", "people", "persons", "person", "men", "women"):
            speakers,
        ("sentence", "sentences", "utterance", "utterances", "remarks"): {len(evidence.spoken)},
        ("section", "sections", "parts"): {
            len(music.sections), len({s.label for s in music.sections})} if music else set(),
        ("instrument", "instruments"): {len(music.instruments)} if music else set(),
        ("chord", "chords"): {len(music.chords)} if music else set(),
        ("sound", "sounds", "events", "noises"): {
            len(evidence.sounds), len(evidence.sure_sounds),
            len({label_key(s.label) for s in evidence.sure_sounds}),
            len({label_key(s.label) for s in evidence.sounds})},
    }  # fmt: skip
    for names, right in kinds.items():
        if any(word in names for word in words[:2]):
            return value in right or (value == 1 and written == "one")
    end = claim.until + len(" ".join(behind[:2])) + 2
    for m in reading.mentions:
        if not m.negated and claim.until <= m.start <= end:
            right = {count for label in m.labels for count in _counts(label, evidence)}
            return value in right or (value == 1 and written == "one")
    return written == "one"


def _counts(label: str, evidence: Evidence) -> set[int]:
    if label in (SPEECH, MUSIC):
        return {len(evidence.speech), len(evidence.spoken)} if label == SPEECH else set()
    found = [s for s in evidence.sounds if label_key(s.label) == label]
    return {sum(s.sure for s in found) or len(found)}


def _missing(reading: Reading, evidence: Evidence) -> list[str]:
    named = {label for m in reading.mentions if not m.negated for label in m.labels}
    out = [
        f"{sound.label!r} ({sound.start_s:.1f} to {sound.end_s:.1f} s) is not named"
        for sound in evidence.sure_sounds
        if label_key(sound.label) not in named
    ]
    if evidence.speaks and not reading.quotes and SPEECH not in named:
        out.append("that somebody speaks is not said")
    played = evidence.music and (
        MUSIC in named or any(label_key(name) in named for name in evidence.music.instruments)
    )
    if evidence.music and not played:
        out.append("that there is music is not said")
    return out


__all__ = ["Bound", "Fault", "check"]

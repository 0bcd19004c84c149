"""What is known of music and voices, in English phrases."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from moss_audio.annotate.english import article, listed, on_and_off, span_text, spans_text
from moss_audio.annotate.merging.evidence import JOIN_S, Music
from moss_audio.annotate.records import Span
from moss_audio.annotate.words import words

# Tempo words; between the bands either neighbour would do, and none is said.
_TEMPO_BANDS: Mapping[str, tuple[float, float]] = {
    "slow": (0.0, 85.0),
    "moderate": (92.0, 126.0),
    "fast": (138.0, 1000.0),
}
# Which measured value belongs to a field, by its name, and its wording.
_MEASURES: Mapping[str, tuple[str, str]] = {
    "speed": (r"words_(?:per|a)_min(?:ute)?$|^wpm$|speed_wpm$", "about {v:.0f} words a minute"),
    "pitch": (r"^(?:median_|mean_)?(?:pitch|f0)(?:_median|_mean)?_hz$", "about {v:.0f} Hz"),
}
_MOST_LISTED = 8  # chords or levels of loudness
_GRADES = frozenset(
    ("low", "medium", "high", "good", "poor", "fair", "average", "moderate", "normal", "excellent")
)


def language_name(code: str | None) -> str:
    """The English name of a language ("de", "pt-BR"); empty if it is not known."""
    return str(words("languages").get((code or "").split("-")[0], ""))


def _tempo_word(bpm: float) -> str:
    """slow, moderate or fast; empty between the bands."""
    return next((word for word, (low, top) in _TEMPO_BANDS.items() if low <= bpm <= top), "")


def key_text(tonic: str, mode: str) -> str:
    """ "F#", "minor" -> "F sharp minor"."""
    name = tonic.replace("\u266f", "#").replace("\u266d", "b").strip()
    spelled = {"#": " sharp", "b": " flat"}.get(name[1:], f" {name[1:].strip()}".rstrip())
    return f"{name[:1].upper()}{spelled} {mode}"


def music_facts(music: Music) -> dict[str, str]:
    """What is known of the music, as phrases: "tempo", "key", "instruments", "form", "sections",
    "chords", "loudness"; only what is known and worth saying."""
    facts: dict[str, str] = {}
    if music.bpm:
        word = _tempo_word(music.bpm)
        tempo = f"{article(word)} {word} tempo of about" if word else "about"
        facts["tempo"] = f"{tempo} {music.bpm:.0f} bpm"
    if music.tonic and music.mode:
        facts["key"] = key_text(music.tonic, music.mode)
    if music.instruments:
        facts["instruments"] = listed(music.instruments)
    if len({s.label for s in music.sections}) > 1:
        facts["form"] = " ".join(s.label for s in music.sections)
        facts["sections"] = _parts_text(
            [Span(f"section {s.label}", s.start_s, s.end_s) for s in music.sections]
        )
    if 1 < len(music.chords) <= _MOST_LISTED:
        facts["chords"] = listed(music.chords)
    levels = _levels(music)
    different = len({s.label for s in levels})
    if different == 1:
        facts["loudness"] = levels[0].label
    elif 1 < len(levels) <= _MOST_LISTED:
        facts["loudness"] = _parts_text(levels)
    return facts


def _parts_text(parts: Sequence[Span]) -> str:
    """ "quiet from 0.0 to 2.0 and loud from 2.0 to 4.0 seconds"."""
    told = [f"{s.label} {span_text(s.start_s, s.end_s)}".removesuffix(" seconds") for s in parts]
    return f"{listed(told)} seconds"


def music_sentences(music: Music, rng: random.Random, *, subject: str) -> list[str]:
    """What is known of the music, a sentence a group of facts."""
    facts = music_facts(music)
    out: list[str] = []
    told = [f"at {facts['tempo']}"] if "tempo" in facts else []
    told += [f"in the key of {facts['key']}"] if "key" in facts else []
    if music.spans:
        many = on_and_off(music.spans) if len(music.spans) > 5 else spans_text(music.spans)
        out.append(", ".join([f"{subject} plays {many}", *told]) + ".")
    elif told:
        out.append(f"{subject} is {', '.join(told)}.")
    if names := facts.get("instruments"):
        verb = "instruments heard are" if len(music.instruments) > 1 else "instrument heard is"
        out.append(rng.choice((f"The {verb} {names}.", f"It is played on {names}.")))
    if "form" in facts:
        out.append(f"Its form is {facts['form']}: {facts['sections']}.")
    if "chords" in facts:
        out.append(f"{rng.choice(('Its', 'The'))} chords are {facts['chords']}.")
    if "loudness" in facts:
        out.append(f"In loudness it is {facts['loudness']}.")
    return out


def _levels(music: Music) -> list[Span]:
    """Levels of loudness; neighbours of one level are one."""
    out: list[Span] = []
    for span in music.dynamics:
        if out and out[-1].label == span.label and span.start_s - out[-1].end_s <= JOIN_S:
            out[-1] = Span(span.label, out[-1].start_s, span.end_s)
        elif span.label:
            out.append(span)
    return out


def voice_clauses(fields: Mapping[str, str], measured: Mapping[str, float]) -> dict[str, str]:
    """A clause for each known field: "the pitch is low", "the pace is fast (about 180 words a
    minute)"."""
    out = {}
    for name, value in fields.items():
        if name == "summary":
            continue
        lowered = value
        if value[1:2].islower() and name != "accent":  # accents are mostly named after countries
            lowered = value[:1].lower() + value[1:]
        graded = lowered.split()[0] in _GRADES
        if name == "gender" and len(value.split()) == 1:
            clause = f"the speaker is {lowered}"
        elif name == "fluency" and not graded:
            clause = f"the delivery is {lowered}"
        elif name == "clarity" and not graded:
            clause = f"the voice comes across as {lowered}"
        else:
            clause = f"the {'pace' if name == 'speed' else name} is {lowered}"
        extra = _measured(name, measured)
        if extra and not re.search(r"\d", value):
            clause += f" ({extra})"
        out[name] = clause
    return out


def _measured(name: str, measured: Mapping[str, float]) -> str:
    pattern, wording = _MEASURES.get(name, ("", ""))
    for key, value in measured.items() if pattern else ():
        if re.search(pattern, key) and value > 0:
            return wording.format(v=value)
    return ""

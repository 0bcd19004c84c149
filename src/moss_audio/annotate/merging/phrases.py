# ruff: noqa: SIM905  (word lists read best as running text)
"""English for single facts: times, names with their article, lists, quotations, voices, music."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from moss_audio.annotate.merging.evidence import JOIN_S, Music
from moss_audio.annotate.records import Span
from moss_audio.text import single_line

# Names without an article; also as the first word of a longer one ("water dripping").
_MASS = frozenset(
    "water fire paper rain wind thunder applause static noise music speech laughter traffic silence"
    " code crackle machinery glass wood metal hail snow typing knocking rustling typing cheering"
    " breathing weather chatter rainfall thunderstorm percussion feedback hiss singing morse ice"
    " white pink brown heavy light loud soft distant background ambient birdsong".split()
)
_DETERMINED = frozenset(
    "a an the some several many two three four five six his her their no".split()
)
_SILENT_H = ("hour", "honest", "heir")
_SOUNDS_LIKE_Y = ("uni", "use", "eu", "one", "ufo", "uku")
_UN = ("unid", "unim", "unin")  # unidentified and the like: no y after all
_QUOTES = str.maketrans({'"': "'", "\u201c": "'", "\u201d": "'", "\u201e": "'", "\u00ab": "'",
                         "\u00bb": "'"})  # fmt: skip
# Tempo words; between the bands either neighbour would do, and none is said.
TEMPO_BANDS: Mapping[str, tuple[float, float]] = {
    "slow": (0.0, 85.0),
    "moderate": (92.0, 126.0),
    "fast": (138.0, 1000.0),
}
LANGUAGES: Mapping[str, str] = {
    "en": "English", "zh": "Chinese", "de": "German", "fr": "French", "es": "Spanish",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "ru": "Russian", "pt": "Portuguese",
    "nl": "Dutch", "pl": "Polish", "ar": "Arabic", "tr": "Turkish", "hi": "Hindi",
    "sv": "Swedish", "cs": "Czech", "uk": "Ukrainian", "vi": "Vietnamese", "yue": "Cantonese",
}  # fmt: skip
# Which measured value goes with a field, by its name, and how it is told.
_MEASURES: Mapping[str, tuple[str, str]] = {
    "speed": (r"words_(?:per|a)_min(?:ute)?$|^wpm$|speed_wpm$", "about {v:.0f} words a minute"),
    "pitch": (r"^(?:median_|mean_)?(?:pitch|f0)(?:_median|_mean)?_hz$", "about {v:.0f} Hz"),
}
_MOST_LISTED = 8  # chords or levels of loudness
_GRADES = frozenset("low medium high good poor fair average moderate normal excellent".split())


def seconds(value: float) -> str:
    """A time as captions give it: one decimal."""
    return f"{max(0.0, value):.1f}"


def span_text(start_s: float, end_s: float, wording: str = "from {a} to {b} seconds") -> str:
    """A span in words; a moment where both ends round to the same tenth."""
    a, b = seconds(start_s), seconds(end_s)
    return f"at {a} seconds" if a == b else wording.format(a=a, b=b)


def spans_text(spans: Sequence[tuple[float, float]]) -> str:
    """Several spans: "from 1.0 to 2.0, from 3.0 to 4.0 and at 6.0 seconds"."""
    parts = [span_text(start, end).removesuffix(" seconds") for start, end in spans]
    return listed(parts) + " seconds"


def on_and_off(spans: Sequence[tuple[float, float]]) -> str:
    """The extent of many spans: "on and off from 1.0 to 9.0 seconds"."""
    return span_text(spans[0][0], spans[-1][1], "on and off from {a} to {b} seconds")


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def is_plural(label: str) -> bool:
    """Whether a name takes "are": by its first word before a verb ("birds chirping"), or its
    last."""
    words = re.split(r" (?:on|in|at|with|from|of|over|under|behind) ", label.lower())[0].split()
    head = words[0] if len(words) > 1 and words[-1].endswith("ing") else words[-1]
    return head.endswith("s") and not head.endswith(("ss", "us", "is")) and head.isalpha()


def noun(label: str) -> str:
    """A name with the article that it takes in English, if it is English."""
    words = label.split()
    first, last = words[0].lower(), words[-1].lower()
    plain = label.isascii() and all(re.fullmatch(r"[a-zA-Z'-]+", word) for word in words)
    bare = (
        not plain
        or first in _DETERMINED
        or first in _MASS
        or last in _MASS
        or is_plural(label)
        or (len(words) == 1 and last.endswith("ing") and len(last) > 5)
    )
    return label if bare else f"{article(first)} {label}"


def article(word: str) -> str:
    like_y = word.startswith(_SOUNDS_LIKE_Y) and not word.startswith(_UN)
    vowel = word.startswith(("a", "e", "i", "o", "u")) and not like_y
    return "an" if vowel or word.startswith(_SILENT_H) else "a"


def be(label: str) -> str:
    return "are" if is_plural(label) else "is"


def quoted(text: str) -> str:
    """Words in quotation marks; marks inside become single ones, so that the quotation ends where
    it should."""
    return f"\u201c{single_line(text).translate(_QUOTES)}\u201d"


def capital(text: str) -> str:
    """`text` with a capital first letter; words in other scripts and names stay."""
    return text[:1].upper() + text[1:]


def full_stop(text: str) -> str:
    """What ends a sentence: nothing after a sentence that is ended already, or quoted whole."""
    return "" if re.search("[.!?\u3002]\u201d?$", text) else "."


def tempo_word(bpm: float) -> str:
    """slow, moderate or fast; empty between the bands."""
    return next((word for word, (low, top) in TEMPO_BANDS.items() if low <= bpm <= top), "")


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
        word = tempo_word(music.bpm)
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


def times_word(count: int) -> str:
    words = {2: "twice", 3: "three times", 4: "four times", 5: "five times", 6: "six times"}
    return words.get(count, f"{count} times")


def count_word(count: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return words[count] if 0 <= count < len(words) else str(count)

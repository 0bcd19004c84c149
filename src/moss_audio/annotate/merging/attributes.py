"""Claims about key, tempo and instruments, and about voices, that are made without a time."""

from __future__ import annotations

import re
from collections.abc import Mapping

from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.phrases import LANGUAGES
from moss_audio.annotate.merging.reading import Reading
from moss_audio.metrics.caption_claims import music_claims
from moss_audio.metrics.mentions import label_key
from moss_audio.text import normalize_words

_KEY = re.compile(
    r"\b([A-G])(?:[\s-]*(sharp|flat|#|\u266f|\u266d|b(?=\s)))?[\s-]+(major|minor)\b"
    r"(?!\s+(?:key|mode|scale))"
)
_MODE = re.compile(r"\b(major|minor)[\s-]+(?:key|mode|tonality|scale)\b", re.IGNORECASE)
_STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
# Beats a minute for which each word is plainly wrong.
_WRONG_TEMPO: Mapping[str, tuple[float, float]] = {
    "slow": (105.0, 1e9), "medium": (0.0, 70.0), "fast": (0.0, 115.0),
}  # fmt: skip
_TOO_FAST_FOR_MEDIUM = 150.0
# Words for people, and the values of the fields that bear them out.
_PEOPLE: Mapping[str, tuple[str, ...]] = {
    "man": ("male", "man"), "men": ("male", "man"), "male": ("male", "man"), "he": ("male", "man"),
    "his": ("male", "man"), "gentleman": ("male", "man"), "boy": ("boy", "child"),
    "woman": ("female", "woman"), "women": ("female", "woman"), "female": ("female", "woman"),
    "she": ("female", "woman"), "her": ("female", "woman"), "lady": ("female", "woman"),
    "girl": ("girl", "child"), "child": ("child", "girl", "boy"), "children": ("child",),
    "kid": ("child",), "elderly": ("elderly", "old", "senior"), "young": ("young", "youth", "teen"),
    "middle-aged": ("middle",), "teenager": ("teen",), "adult": ("adult",),
}  # fmt: skip
_STEMS = ("teen", "middle", "young", "old")  # "teenage", "middle-aged", "older"
_FEELINGS = (
    "happy", "happily", "sad", "sadly", "angry", "angrily", "cheerful", "cheerfully", "furious",
    "excited", "excitedly", "nervous", "nervously", "fearful", "afraid", "joyful", "sarcastic",
    "anxious", "bored", "worried", "surprised", "disgusted", "melancholy", "whispering",
    "whispers", "shouting", "shouts", "yells", "yelling", "screams", "monotone", "enthusiastic",
    "enthusiastically",
)  # fmt: skip
_ACCENTS = (
    "british", "american", "australian", "indian", "scottish", "irish", "canadian", "southern",
    "african", "mexican", "new zealand",
)  # fmt: skip
_OPPOSITES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "pitch": {"high": ("low", "deep"), "low": ("high",), "deep": ("high",)},
    "speed": {
        "fast": ("slow",), "slow": ("fast", "rapid", "quick"), "rapid": ("slow",),
        "quick": ("slow",), "fast-paced": ("slow",), "brisk": ("slow",),
    },
    "volume": {
        "loud": ("quiet", "soft", "low"), "quiet": ("loud", "high"), "soft": ("loud", "high"),
    },
}  # fmt: skip
_NOUNS = {
    "pitch": r"pitch(?:ed)?",
    "speed": r"(?:pace|speed|rate|paced|speaking)",
    "volume": r"(?:volume|voice)",
}
_ADJECTIVES = r"(high|low|deep|fast|slow|rapid|quick|brisk|loud|quiet|soft|medium|moderate|normal)"


def attribute_faults(reading: Reading, evidence: Evidence) -> list[str]:
    """Attributes that the evidence does not bear out."""
    body = reading.body
    for start, end in reading.silent:
        body = body[:start] + " " * (end - start) + body[end:]
    return [*_music(body, evidence), *_people(body, evidence), *_voice(body, evidence)]


def _pitch_class(tonic: str) -> int | None:
    name = tonic.strip().lower()
    if not name or name[0] not in _STEPS:
        return None
    rest = name[1:].strip(" -")
    shift = {"sharp": 1, "#": 1, "\u266f": 1, "flat": -1, "b": -1, "\u266d": -1, "": 0}.get(rest)
    return None if shift is None else (_STEPS[name[0]] + shift) % 12


def _music(body: str, evidence: Evidence) -> list[str]:
    music = evidence.music
    out = []
    key: set[tuple[int | None, str]] = set()
    chords: set[tuple[int | None, str]] = set()
    if music and music.tonic and music.mode:
        key.add((_pitch_class(music.tonic), music.mode))
    for chord in music.chords if music else ():
        root, _, mode = chord.partition(" ")
        chords.add((_pitch_class(root), mode or "major"))
    for m in _KEY.finditer(body):
        stated = (_pitch_class(f"{m[1]}{m[2] or ''}"), m[3].lower())
        of_piece = re.search(r"\bkey(?: signature)?(?: of| is|:)?\s+$", body[: m.start()])
        if stated not in (key if of_piece else key | chords):
            out.append(f"{m.group()!r} is not the key")
    for m in _MODE.finditer(body):
        if not (music and music.mode == m[1].lower()):
            out.append(f"{m.group()!r} is not in the evidence")
    labels = [s.label for s in evidence.sounds]
    claims = music_claims(body, (), music.bpm if music else None)
    for word in sorted(claims["tempo"] & {*_WRONG_TEMPO}):
        low, high = _WRONG_TEMPO[word]
        bpm = music.bpm if music else None
        wrong = bpm is None or low <= bpm <= high
        wrong = wrong or (word == "medium" and bpm is not None and bpm > _TOO_FAST_FOR_MEDIUM)
        of_voice = any(word in value.lower() for value in evidence.fields.values())
        if wrong and not of_voice and not any(word in label for label in labels):
            out.append(f"the tempo is not known to be {word}")
    return out


def _people(body: str, evidence: Evidence) -> list[str]:
    fields = dict(evidence.fields)
    if "gender" in fields or "age" in fields:
        fields.pop("summary", None)  # it may not speak against the field itself
    values = " ".join((*fields.values(), *(s.label for s in evidence.sounds))).lower()
    known = set(normalize_words(values)) | {label_key(word) for word in normalize_words(values)}
    out = []
    for m in re.finditer(r"[A-Za-z]+(?:-[a-z]+)?", body):
        word = m.group().lower()
        if word in _PEOPLE and not any(
            value in known or any(k.startswith(value) and value in _STEMS for k in known)
            for value in _PEOPLE[word]
        ):
            out.append(f"{m.group()!r}: gender or age is not in the evidence")
        elif word in _FEELINGS and label_key(word) not in {label_key(k) for k in known}:
            out.append(f"{m.group()!r} is not in the evidence")
    language = LANGUAGES.get((evidence.language or "").split("-")[0])
    for m in re.finditer(r"\b[A-Z][a-z]+\b", body):
        name = m.group()
        if name.lower() in known or name == language:
            continue
        if name in LANGUAGES.values():
            out.append(f"{name!r} is not known to be the language")
        elif name.lower() in _ACCENTS:
            out.append(f"{name!r} is not in the evidence")
    return out


def _voice(body: str, evidence: Evidence) -> list[str]:
    out = []
    for field, noun in _NOUNS.items():
        value = evidence.fields.get(field, "").lower()
        for pattern in (
            rf"\b{_ADJECTIVES}[\s-]+(?:and\s+\w+\s+)?{noun}\b",
            rf"\b{noun}\s+(?:is|was|sounds|seems|stays|remains)\s+(?:\w+ly\s+|rather\s+|very\s+)?"
            rf"{_ADJECTIVES}\b",
            rf"\b{_ADJECTIVES}\s+in\s+{noun}\b",
        ):
            for m in re.finditer(pattern, body, re.IGNORECASE):
                word = m[1].lower()
                other = any(word in v.lower() for v in evidence.fields.values())
                if not value and not other:
                    out.append(f"{m.group()!r}: the {field} is not known")
                elif value and word not in value and _against(word, value, field, other):
                    out.append(f"{m.group()!r}: the {field} is {value!r}")
    return out


def _against(word: str, value: str, field: str, elsewhere: bool) -> bool:
    """Whether a word contradicts a field's value; another field may bear it out."""
    if any(other in value for other in _OPPOSITES[field].get(word, ())):
        return True
    middle = any(w in value for w in ("medium", "moderate", "normal", "average"))
    return middle and not elsewhere and word not in ("medium", "moderate", "normal")

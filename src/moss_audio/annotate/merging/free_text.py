"""What a caption may say besides the evidence itself: words that claim nothing.

Closed lists, not an understanding of English: a sound, a quality of a voice or of music from the
lists is a claim, and must be in the evidence. A sound, mood or place in other words passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain

from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.phrases import language_name
from moss_audio.annotate.merging.sound_names import forms, other_sounds
from moss_audio.annotate.words import words
from moss_audio.metrics.caption_claims import stated_counts
from moss_audio.metrics.mentions import Mention, find_mentions, label_key
from moss_audio.metrics.numbers import find_numbers
from moss_audio.text import normalize_words

_SPEECH, _MUSIC, _SINGING = "speech", "music", "sing"  # keys, as `label_key` writes them
_QUOTES = re.compile('["\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u300c-\u300f\uff02]')
_ORDER = re.compile(
    r"\b(?:then|next|after|afterwards|before|beforehand|while|whilst|meanwhile|during|later|earlier"
    r"|subsequently|followed|following|follows?|preceded|precedes?|preceding|firstly|lastly|finally"
    r"|eventually|simultaneously|throughout|until|at first|at last|at the (?:end|beginning|start)"
    r"|at the same time|(?:begin|open|start|end|close|conclude|finish)(?:s|es|ing)? with)\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\b(?:no|not|without|never|nobody|nothing|none|neither|nor|cannot)\b|n['\u2019]t\b", re.I
)
_DENIED = re.compile(r"\b(?:no|not|without|never)\s+(?:an?\s+|any\s+)?$", re.IGNORECASE)
_MANY = re.compile(r"\b(?:hundreds?|thousands?|dozens?|thrice|couple|pair|half)\b", re.I)
# A form that names a sound whatever its word is: "a flurble is heard".
_HEARD = re.compile(
    r"\b(?:an?|some|another|the sounds? of)\s+((?:[a-z-]+\s+){1,3}?)"
    r"(?:is|are|was|were|can be)\s+(?:also\s+|clearly\s+|briefly\s+)?heard\b",
    re.IGNORECASE,
)
_OF_RECORDING = re.compile(r"\bthe recording is \w+", re.IGNORECASE)  # not of the voice
_WORD = re.compile(r"[A-Za-z]+(?:-[a-z]+)?")


def outside_faults(text: str, evidence: Evidence, shown: Iterable[str]) -> list[str]:
    """What the words between a caption's slots may not say: numbers, quotations, words of order,
    denials, and claims that none of the texts `shown` to the writer supports."""
    out = []
    if re.search(r"\d", text):
        out.append("digits outside a slot")
    if _QUOTES.search(text):
        out.append("a quotation outside a slot")
    numbers = [text[n.start : n.end].strip() for n in find_numbers(text)]
    numbers = [n for n in numbers if n.lower() != "one" and not n.isdigit()]
    out += [f"the number {word!r} outside a slot" for word in (*numbers, *_MANY.findall(text))]
    out += [f"{word!r}: order is told by a slot" for word in _ORDER.findall(text)]
    out += [f"{word!r}: what is absent is not told" for word in _DENIAL.findall(text)]
    out += _sound_faults(text, _mentions(text, evidence), evidence)
    claims = words("claims")
    graded = " ".join([*chain(*claims["opposites"].values()), claims["degrees"]]).split()
    return out + _quality_faults(text, evidence, graded, shown)


def contradictions(text: str, evidence: Evidence) -> list[str]:
    """What in another tool's sentence contradicts the evidence or does not follow from it."""
    mentions = _mentions(text, evidence)
    out = _sound_faults(text, mentions, evidence)
    out += _quality_faults(_without(text, _literal(text, evidence)), evidence)
    if _QUOTES.search(text):
        out.append("a quotation")
    for label, numbers in stated_counts(text, mentions).items():
        true = sum(label_key(sound.label) == label for sound in evidence.sure_sounds)
        out += [f"{label!r} is not heard {n} times" for n in numbers if n not in (1, true)]
    for number in find_numbers(text):
        named = any(m.start <= number.start < m.end for m in mentions)
        if not named and number.unit != "times" and text[number.start : number.end] != "one":
            out.append(f"the number {text[number.start : number.end]!r}")
    said = {m.group().lower() for m in _WORD.finditer(_OF_RECORDING.sub("", text))}
    for field, sides in words("claims")["opposites"].items():
        value = set(evidence.fields.get(field, "").lower().split())
        for mine, other in (sides, sides[::-1]):
            if said & {*mine.split()} and value & {*other.split()} and not value & {*mine.split()}:
                out.append(f"the {field} is {evidence.fields[field]!r}")
    return out


def _heard_keys(evidence: Evidence) -> set[str]:
    """Keys, as in mentions, of all that may be named."""
    labels = [sound.label for sound in evidence.sounds]
    music = evidence.music
    keys = {label_key(label) for label in (*labels, *(music.instruments if music else ()))}
    keys |= {_SPEECH} if evidence.speaks else set()
    keys |= {_SINGING, _SPEECH} if evidence.sings else set()  # a voice sings
    if music or any("music" in label.lower().split() for label in labels):
        keys.add(_MUSIC)
    return keys


def _mentions(text: str, evidence: Evidence) -> list[Mention]:
    """Where a sound of the evidence or of the known ones is named; where a phrase fits several,
    it stands for those that are heard."""
    names = {name: tuple(others) for name, others in words("claims")["names"].items()}
    mine = [sound.label for sound in evidence.sounds]
    mine += evidence.music.instruments if evidence.music else ()
    labels = dict.fromkeys((*mine, *names, *other_sounds()))
    for label in mine:
        names[label] = (*names.get(label, ()), *forms(label))
    heard = _heard_keys(evidence)
    literal = _literal(text, evidence)
    found = find_mentions(_without(text, literal), labels, names)
    settled = [Mention(m.labels & heard or m.labels, m.start, m.end, m.negated) for m in found]
    return sorted((*literal, *settled), key=lambda m: m.start)


def _literal(text: str, evidence: Evidence) -> list[Mention]:
    """Sounds of the evidence named letter for letter, whatever their names contain."""
    found: list[Mention] = []
    for label in sorted({sound.label for sound in evidence.sounds}, key=len, reverse=True):
        for m in re.finditer(rf"(?<!\w){re.escape(label)}(?!\w)", text, re.IGNORECASE):
            if not any(one.start < m.end() and m.start() < one.end for one in found):
                denied = bool(_DENIED.search(text[: m.start()]))
                found.append(Mention(frozenset((label_key(label),)), *m.span(), denied))
    return found


def _without(text: str, mentions: Iterable[Mention]) -> str:
    for m in mentions:
        text = text[: m.start] + " " * (m.end - m.start) + text[m.end :]
    return text


def _sound_faults(text: str, mentions: Iterable[Mention], evidence: Evidence) -> list[str]:
    heard = _heard_keys(evidence)
    # The words of a field are not those of a sound: "a warm voice".
    values = " ".join(v for k, v in evidence.fields.items() if k != "summary").lower()
    out = []
    for m in mentions:
        phrase = text[m.start : m.end]
        if m.negated and m.labels <= heard:
            out.append(f"{phrase!r} is denied, but was heard")
        elif not m.negated and not m.labels & heard and phrase.lower() not in values:
            out.append(f"{phrase!r} is not in the evidence")
    for match in _HEARD.finditer(text):
        known = any(m.start < match.end() and match.start() < m.end for m in mentions)
        if not known and {*match[1].lower().split()} - {*words("claims")["neutral"].split()}:
            out.append(f"{match[1].strip()!r} is not in the evidence")
    return out


def _quality_faults(
    text: str,
    evidence: Evidence,
    graded: Sequence[str] = (),
    shown: Iterable[str] = (),
) -> list[str]:
    """Words for people, feelings, origins and (`graded`) degrees that nothing supports."""
    fields = dict(evidence.fields)
    if "gender" in fields or "age" in fields:
        fields.pop("summary", None)  # it may not speak against the field itself
    told = [*fields.values(), *(sound.label for sound in evidence.sounds), *shown]
    known = {*normalize_words(" ".join(told)), *" ".join(told).lower().split()}
    known.add(language_name(evidence.language).lower())
    stems = {label_key(word) for word in known}
    claims = words("claims")
    origins = [*map(str.lower, words("languages").values()), *claims["places"].split()]
    sided = [*claims["feelings"].split(), *graded]
    out = []
    for match in _WORD.finditer(text):
        word = match.group().lower()
        lines = [{*line.split()} for line in claims["people"] if word in line.split()]
        if lines and not any(line & known for line in lines):
            out.append(f"{match.group()!r}: gender or age is not in the evidence")
        elif word in sided:
            borne_out = label_key(word.removesuffix("-pitched")) in stems
            out += [] if borne_out else [f"{word!r} is not in the evidence"]
        elif match.group()[0].isupper() and word in origins and word not in known:
            out.append(f"{match.group()!r} is not in the evidence")
    return out

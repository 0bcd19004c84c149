# ruff: noqa: SIM905  (word lists read best as running text)
"""A caption taken apart: quotations, what is named where, and what of it nobody heard."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from moss_audio.annotate.merging.evidence import Evidence, Utterance, joined
from moss_audio.annotate.merging.vocabulary import (
    MUSIC,
    MUSIC_NAMES,
    PEOPLE_NAMES,
    SINGING,
    SINGING_NAMES,
    SPEECH,
    SPEECH_NAMES,
    forms,
    other_sounds,
)
from moss_audio.metrics.caption_claims import quotations
from moss_audio.metrics.mentions import Mention, find_mentions, label_key, sentences
from moss_audio.text import is_cjk, normalize_words

Spans = tuple[tuple[float, float], ...]

# A form that names a sound whatever its word is: "a flurble is heard".
_HEARD = re.compile(
    r"\b(?:an?|some|the sounds? of|another)\s+((?:[a-z-]+\s+){1,3}?)"
    r"(?:is|are|was|were|can be|could be|may be)\s+(?:also\s+|clearly\s+|briefly\s+)?heard\b",
    re.IGNORECASE,
)
_THE_SOUND_OF = re.compile(r"\bsounds? of\s+(?:an?\s+|the\s+)?([a-z-]+(?:\s+[a-z-]+)?)", re.I)
_NOBODY = re.compile(
    r"\b(?:nobody|no[ -]one|nothing|none|does not|do not|doesn't|don't|is not|isn't|never)"
    r"(?:\s+\w+)?\s+$",
    re.IGNORECASE,
)
_OR = re.compile(r"\s*(?:,\s*|\s)(?:or|nor|and no)\s+(?:an?\s+|any\s+)?", re.IGNORECASE)
_A_THING = re.compile(r"\b(?:an?|some)\s+([a-z-]+(?:\s+[a-z-]+)?)", re.IGNORECASE)
_TIMED = re.compile(
    r"\bthere\s+(?:is|are|was|were)\s+(?:also\s+)?(?:an?\s+|some\s+|the\s+)?"
    r"((?:[a-z-]+\s+){1,3}?)(?:at|from|between)\s+(?:about\s+|around\s+)?\d",
    re.IGNORECASE,
)
# Words that stand there without naming a sound of their own.
_NEUTRAL = frozenset(
    "voice sound sounds noise noises recording clip audio piece music speech moment event burst"
    " series sequence pause silence single short long brief loud quiet soft sudden second third"
    " first last final faint distant close new different another one few couple more male female"
    " and or of in to the that this it its single repeated steady from at between for until with is"
    " was by on as second ring sentence word question answer reply remark".split()
)


@dataclass(frozen=True)
class Quote:
    """A quotation: where it stands, and the utterances it was taken from."""

    start: int
    end: int
    text: str
    sources: tuple[Utterance, ...]
    speaker: str | None  # whom the caption gives it to


@dataclass(frozen=True)
class Reading:
    """`body` is the text with quotations blanked; positions stay the same.

    `silent`: spans of the body whose digits belong to a name. `spans`: when each key sounds.
    """

    body: str
    sentences: tuple[tuple[int, int], ...]
    quotes: tuple[Quote, ...]
    mentions: tuple[Mention, ...]
    spans: dict[str, Spans]
    silent: tuple[tuple[int, int], ...]
    wrong_words: tuple[str, ...]
    wrong_events: tuple[str, ...]


def read(text: str, evidence: Evidence) -> Reading:
    """Takes a caption apart against the evidence."""
    found = quotations(text)
    body = _blanked(text, found)
    cuts = tuple(sentences(body))
    named_speakers, strangers = _speakers(body, evidence)
    quotes, wrong_words = _quotes(found, named_speakers, cuts, evidence)
    spans = _spans(evidence)
    literal = _literal(body, spans, evidence)
    masked = body
    fields = [
        m.span()
        for name, value in evidence.fields.items()
        if name != "summary"  # a text of its own, which is read like any other
        for m in re.finditer(re.escape(value), body, re.IGNORECASE)
    ]
    for start, end in (*(m[:2] for m in literal), *(s[:2] for s in named_speakers)):
        masked = masked[:start] + " " * (end - start) + masked[end:]
    labels, names = _names(spans, evidence)
    mentions = [Mention(frozenset((key,)), a, b, _denied(body, a)) for a, b, key in literal]
    mentions += [_settled(m, spans) for m in find_mentions(masked, labels, names)]
    mentions += [Mention(frozenset((SPEECH,)), a, b) for a, b, _ in named_speakers]
    mentions = _with_denials(body, sorted(mentions, key=lambda m: (m.start, m.end)))
    wrong_events = [f"{name!r} is not known to speak" for name in strangers]
    wrong_events += _wrong(masked, mentions, spans, fields)
    return Reading(
        body=body,
        sentences=cuts,
        quotes=tuple(quotes),
        mentions=tuple(mentions),
        spans=spans,
        silent=(*((a, b) for a, b, _ in literal), *(s[:2] for s in named_speakers), *fields),
        wrong_words=tuple(wrong_words),
        wrong_events=tuple(wrong_events),
    )


def _blanked(text: str, found: Iterable[tuple[int, int, str]]) -> str:
    """Quotations become blanks; one that ends a sentence leaves its full stop."""
    for start, end, inside in found:
        rest = text[end : end + 3].lstrip()
        stop = inside.rstrip()[-1:] in tuple(".!?\u3002\uff01\uff1f") and (
            not rest
            or rest[0].isupper()
            or (not rest[0].isalnum() and rest[0] not in ",;:\u2014-(")
        )
        text = text[:start] + " " * (end - start - 1) + ("." if stop else " ") + text[end:]
    return text


# ------------------------------------------------------------------------------- quotations


def _speakers(body: str, evidence: Evidence) -> tuple[list[tuple[int, int, str]], list[str]]:
    """Where known speakers are named, and names in the form of a speaker's that nobody has."""
    known = {u.speaker for u in evidence.spoken if u.speaker}
    known |= {" ".join(turn.label.split()) for turn in evidence.turns}
    found: list[tuple[int, int, str]] = []
    for name in sorted(known, key=len, reverse=True):
        for m in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", body, re.IGNORECASE):
            if not any(a <= m.start() < b for a, b, _ in found):
                found.append((m.start(), m.end(), name))
    strangers = [
        m.group()
        for m in re.finditer(r"\bspeaker\s+(?:\d+|[A-Z])\b", body, re.IGNORECASE)
        if not any(a <= m.start() < b for a, b, _ in found)
    ]
    return sorted(found), strangers


def _quotes(
    found: Sequence[tuple[int, int, str]],
    speakers: Sequence[tuple[int, int, str]],
    cuts: Sequence[tuple[int, int]],
    evidence: Evidence,
) -> tuple[list[Quote], list[str]]:
    quotes: list[Quote] = []
    wrong: list[str] = []
    names = {label_key(s.label) for s in evidence.sounds}
    names |= {label_key(value) for value in evidence.fields.values()}
    for start, end, inside in found:
        sources: list[Utterance] = []
        for piece in re.split(r"\.\.\.|\u2026", inside):
            words = normalize_words(piece)
            if not words:
                continue
            taken = _taken(words, evidence.utterances, _said)
            if taken is None and any(is_cjk(char) for char in inside):
                # In such a text digits stay digits, so the parts of a quotation read otherwise.
                taken = _taken(_characters(piece), evidence.utterances, _characters)
            if taken is None and label_key(inside) not in names:
                wrong.append(f"nobody says {piece.strip()[:80]!r}")
            sources += taken or ()
        given = _given_to(start, speakers, cuts)
        said_by = {one.speaker for one in sources if one.speaker}
        if given and said_by and given not in said_by:
            wrong.append(f"{inside.strip()[:60]!r} is not said by {given}")
        quotes.append(Quote(start, end, inside, tuple(sources), given))
    return quotes, wrong


def _given_to(
    start: int, speakers: Sequence[tuple[int, int, str]], cuts: Sequence[tuple[int, int]]
) -> str | None:
    sentence = next(((a, b) for a, b in cuts if a <= start < b), None)
    if sentence is None:
        return None
    before = [name for a, _, name in speakers if sentence[0] <= a < start]
    after = [name for a, _, name in speakers if start < a < sentence[1]]
    return before[-1] if before else (after[0] if after else None)


@lru_cache(maxsize=4096)
def _said(text: str) -> tuple[str, ...]:
    return tuple(normalize_words(text))


def _characters(text: str) -> tuple[str, ...]:
    spaced = "".join(f" {char} " if is_cjk(char) else char for char in text.casefold())
    return tuple(re.findall(r"[^\W_]+", spaced))


def _taken(
    words: Sequence[str],
    utterances: Sequence[Utterance],
    tokens: Callable[[str], tuple[str, ...]],
) -> tuple[Utterance, ...] | None:
    """All utterances in which the words stand in a row, over borders too; None if nowhere."""
    streams: dict[str, list[Utterance]] = {"": list(utterances)}
    for one in utterances:
        streams.setdefault(f"by {one.speaker} {one.sung}", []).append(one)
    found: dict[int, Utterance] = {}
    for stream in streams.values():
        said = [(word, one) for one in stream for word in tokens(one.text)]
        line = [word for word, _ in said]
        first = words[0]
        for at in range(len(line) - len(words) + 1):
            if line[at] == first and line[at : at + len(words)] == list(words):
                found.update((id(one), one) for _, one in said[at : at + len(words)])
    order = [one for one in utterances if id(one) in found]
    return tuple(order) or None


# --------------------------------------------------------------------------- what is named


def _spans(evidence: Evidence) -> dict[str, Spans]:
    """When each thing that may be named sounds; keys as in mentions."""
    out: dict[str, list[tuple[float, float]]] = {}
    whole = (0.0, evidence.duration_s)
    sure = {label_key(sound.label) for sound in evidence.sure_sounds}
    for sound in evidence.sounds:
        if not sound.sure and label_key(sound.label) in sure:
            continue
        out.setdefault(label_key(sound.label), []).append((sound.start_s, sound.end_s))
        if "music" in sound.label.lower().split():
            out.setdefault(MUSIC, []).append((sound.start_s, sound.end_s))
    said = [(u.start_s, u.end_s) for u in evidence.spoken if u.start_s is not None and u.end_s]
    if evidence.speaks:
        out[SPEECH] = [*said, *evidence.speech, *((t.start_s, t.end_s) for t in evidence.turns)]
        out[SPEECH] = out[SPEECH] or [whole]
    sung = [(u.start_s, u.end_s) for u in evidence.sung if u.start_s is not None and u.end_s]
    if evidence.sings:
        out[SINGING] = [*sung, *evidence.singing] or [whole]
    music = evidence.music
    if music is not None:
        when = [*out.get(MUSIC, ()), *music.spans]
        parts = [(s.start_s, s.end_s) for s in (*music.sections, *music.dynamics)]
        out[MUSIC] = [*when, *parts] or [whole]
        for name in music.instruments:
            out.setdefault(label_key(name), []).extend(when or [whole])
        for section in music.sections:
            key = f"section {section.label.lower()}"
            out.setdefault(key, []).append((section.start_s, section.end_s))
        for level in music.dynamics:
            key = f"level {level.label.lower()}"
            out.setdefault(key, []).append((level.start_s, level.end_s))
    return {key: tuple(sorted({*spans, *joined(spans)})) for key, spans in out.items()}


def _literal(body: str, spans: dict[str, Spans], evidence: Evidence) -> list[tuple[int, int, str]]:
    """Names that stand there letter for letter, sections by their letter, levels of loudness."""
    names = {s.label: label_key(s.label) for s in evidence.sounds}
    found: list[tuple[int, int, str]] = []

    def add(start: int, end: int, key: str) -> None:
        if not any(a < end and start < b for a, b, _ in found):
            found.append((start, end, key))

    for name in sorted(names, key=len, reverse=True):
        edge = (r"(?<!\w)" if name[0].isalnum() else "", r"(?!\w)" if name[-1].isalnum() else "")
        for m in re.finditer(edge[0] + re.escape(name) + edge[1], body, re.IGNORECASE):
            add(m.start(), m.end(), names[name])
    for m in re.finditer(r"\b(?:section|part)\s+([A-Z])\b|\b([A-Z])[ -]section\b", body):
        key = f"section {(m[1] or m[2]).lower()}"
        if key in spans:
            add(m.start(), m.end(), key)
    if evidence.music and evidence.music.dynamics:
        for a, b in sentences(body):
            if re.search(r"\b(?:loudness|dynamics?|volume|level)\b", body[a:b], re.IGNORECASE):
                for m in re.finditer(r"\b(quiet|medium|loud|soft)\b", body[a:b], re.IGNORECASE):
                    if (key := f"level {m[1].lower()}") in spans:
                        add(a + m.start(), a + m.end(), key)
    return sorted(found)


def _names(
    spans: dict[str, Spans], evidence: Evidence
) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Labels to look for, true and untrue ones, and their other wordings."""
    names: dict[str, tuple[str, ...]] = {
        SPEECH: SPEECH_NAMES, MUSIC: MUSIC_NAMES, SINGING: SINGING_NAMES,
    }  # fmt: skip
    if evidence.speaks:
        names[SPEECH] = (*SPEECH_NAMES, *PEOPLE_NAMES)
    mine = [s.label for s in evidence.sounds]
    if evidence.music:
        mine += evidence.music.instruments
    for label in mine:
        names[label] = (*names.get(label, ()), *forms(label))
    labels = dict.fromkeys((*mine, SPEECH, MUSIC, SINGING, *other_sounds()))
    return list(labels), names


def _settled(mention: Mention, spans: dict[str, Spans]) -> Mention:
    true = frozenset(label for label in mention.labels if label in spans)
    return Mention(true or mention.labels, mention.start, mention.end, mention.negated)


def _denied(body: str, at: int) -> bool:
    return bool(re.search(r"\b(?:no|not|without|never)\s+(?:an?\s+|any\s+)?$", body[:at], re.I))


def _with_denials(body: str, mentions: Sequence[Mention]) -> list[Mention]:
    """Mentions with the denials that stand further off: "nobody speaks", "no voice or music"."""
    out: list[Mention] = []
    for m in mentions:
        voice = out and m.labels == {SINGING} and out[-1].labels == {SPEECH}
        if voice and len(body[out[-1].end : m.start].split()) < 2:
            out.pop()  # "a voice sings" says nothing of speech
        denied = bool(_NOBODY.search(body[: m.start]))
        between = body[out[-1].end : m.start] if out and out[-1].negated else None
        if between is not None and (
            _OR.fullmatch(between) or (m.labels == out[-1].labels and len(between.split()) < 2)
        ):
            denied = True  # "no voice or music", "nobody says a word"
        out.append(Mention(m.labels, m.start, m.end, m.negated or denied))
    return out


def _wrong(
    masked: str,
    mentions: Sequence[Mention],
    spans: dict[str, Spans],
    fields: Sequence[tuple[int, int]],
) -> list[str]:
    """Sounds that nobody heard, and sounds that are denied though they were."""
    out = []
    for m in mentions:
        phrase = masked[m.start : m.end].strip() or next(iter(m.labels))
        true = m.labels & {*spans}
        if any(a <= m.start and m.end <= b for a, b in fields):
            continue  # the word of a field: "a warm voice"
        if m.negated and true and len(true) == len(m.labels):
            out.append(f"{phrase!r} is denied, but was heard")
        elif not m.negated and not true and not (m.labels == {SPEECH} and SINGING in spans):
            out.append(f"{phrase!r} is not in the evidence")
    for pattern in (_HEARD, _THE_SOUND_OF, _TIMED):
        for match in pattern.finditer(masked):
            known = any(m.start < match.end() and match.start() < m.end for m in mentions)
            words = {word.lower() for word in match[1].split()}
            if not known and words - _NEUTRAL and masked[match.start(1) : match.end(1)].strip():
                out.append(f"{match[1].strip()!r} is not in the evidence")
    for start, end in sentences(masked):
        # A sentence that gives a time and names nothing known is about something unknown.
        inside = any(start <= m.start < end for m in mentions)
        if inside or not re.search(r"\d\.\d|\d\s+s", masked[start:end]):
            continue
        for match in _A_THING.finditer(masked, start, end):
            if not {word.lower() for word in match[1].split()} & _NEUTRAL:
                out.append(f"{match[1]!r} is not in the evidence")
    return list(dict.fromkeys(out))

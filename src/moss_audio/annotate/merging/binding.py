"""Which time of a caption is said of what, and whether it is true of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from moss_audio.annotate.merging.claims import Claim
from moss_audio.annotate.merging.evidence import Evidence, Utterance
from moss_audio.annotate.merging.reading import Quote, Reading, Spans
from moss_audio.annotate.merging.vocabulary import MUSIC, SINGING, SPEECH

_TIMES = ("range", "moment", "start", "end", "length", "gap")
_CLAUSE = re.compile(
    r";|:\s|\s(?:then|while|followed by|before|after|whereas|but|as|with)\s|,\s(?:and\s)?"
    r"|\sand\s(?=at\b|from\b|between\b|then\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Named:
    """Something a caption names at a place: a mention or a quotation."""

    start: int
    end: int
    name: str  # as the caption has it
    key: str
    spans: Spans
    general: bool = False  # "speech" or "music" at large


@dataclass(frozen=True)
class Bound:
    """All that is named in order, the time that is said of each, and what is wrong."""

    named: tuple[Named, ...]
    starts: Mapping[int, float]  # index of named -> start said of it
    faults: tuple[str, ...]


def bind(reading: Reading, claims: Sequence[Claim], evidence: Evidence) -> Bound:
    """Binds each time to what its sentence names.

    English puts times behind ("a bell from 1 to 2 s") or in front ("from 1 to 2 s a bell"), by
    the sentence or by the clause. A sentence is right if it is right under one such reading.
    """
    named: list[Named] = []
    starts: dict[int, float] = {}
    faults: list[str] = []
    last: list[Named] = []
    anything = _anything(reading, evidence)
    for begin, end in reading.sentences:
        inside = _named(reading, begin, end)
        offset = len(named)
        named += inside
        said = [c for c in claims if begin <= c.at < end and c.kind in _TIMES]
        said = [c for c in said if not _of_whole(c, reading, evidence)]
        if not said:
            last = inside or last
            continue
        if not inside:
            refers = re.match(r"\s*(?:it|they|this|these|both)\b", reading.body[begin:end], re.I)
            pool = last if refers and last else [anything]
            for claim in said:
                if not any(_fits(claim, one, evidence) for one in (*pool, _whole(evidence))):
                    faults.append(_message(claim, reading, pool[-1].name))
            last = inside or last
            continue
        best: tuple[list[str], dict[int, float]] | None = None
        for pairs in _bindings(inside, said, reading.body, begin):
            wrong = [
                _message(claim, reading, inside[k].name)
                for claim, k in pairs
                if not _fits(claim, inside[k], evidence)
            ]
            found: dict[int, float] = {}
            for claim, k in pairs:
                if claim.kind in ("range", "start", "moment"):
                    found.setdefault(offset + k, claim.value)
            if best is None or len(wrong) < len(best[0]):
                best = (wrong, found)
            if not wrong:
                break
        if best:
            faults += best[0]
            starts |= best[1]
        last = inside
    return Bound(tuple(named), starts, tuple(faults))


def _named(reading: Reading, begin: int, end: int) -> list[Named]:
    quotes = [q for q in reading.quotes if begin <= q.start < end]
    whole: Spans = ()
    introduced = [m for m in reading.mentions if SPEECH in m.labels and begin <= m.start < end]
    if len(quotes) > 1 and introduced and introduced[0].start < quotes[0].start:
        # "Speech from 1 to 9 s: ... and then ...": the time is that of all quotations together.
        timed = [span for q in quotes for span in _of_quote(q)]
        whole = ((min(s for s, _ in timed), max(e for _, e in timed)),) if timed else ()
    out = [
        Named(
            q.start,
            q.end,
            f"the quotation {q.text[:40]!r}",
            f"quote {q.start}",
            (*_of_quote(q), *(whole if q is quotes[0] else ())),
        )
        for q in quotes
    ]
    for m in reading.mentions:
        if not begin <= m.start < end or m.negated:
            continue
        true = sorted(label for label in m.labels if label in reading.spans)
        general = bool({SPEECH, SINGING} & m.labels)
        if not true or (general and quotes):
            continue  # "a voice says" and what it says are one thing
        spans = tuple(sorted({span for label in true for span in reading.spans[label]}))
        name = " ".join(reading.body[m.start : m.end].split()) or true[0]
        out.append(Named(m.start, m.end, name, true[0], spans, general or MUSIC in true))
    return sorted(out, key=lambda one: one.start)


def _of_quote(quote: Quote) -> Spans:
    timed: list[Utterance] = [u for u in quote.sources if u.start_s is not None]
    return tuple((u.start_s or 0.0, u.end_s or 0.0) for u in timed)


def _bindings(
    inside: Sequence[Named], said: Sequence[Claim], body: str, begin: int
) -> Iterable[list[tuple[Claim, int]]]:
    front = said[0].at < inside[0].start
    behind = inside[0].end <= said[-1].at
    if behind:
        yield [(c, _before(inside, c) if _before(inside, c) is not None else 0) for c in said]  # type: ignore[misc]
    if front:
        top = len(inside) - 1
        yield [(c, k if (k := _after(inside, c)) is not None else top) for c in said]
    yield _by_clause(inside, said, body, begin)


def _before(inside: Sequence[Named], claim: Claim) -> int | None:
    found = [k for k, one in enumerate(inside) if one.end <= claim.at]
    return found[-1] if found else None


def _after(inside: Sequence[Named], claim: Claim) -> int | None:
    return next((k for k, one in enumerate(inside) if one.start >= claim.until), None)


def _by_clause(
    inside: Sequence[Named], said: Sequence[Claim], body: str, begin: int
) -> list[tuple[Claim, int]]:
    """Clause by clause; one that names nothing goes with the clause before it."""
    last = max(inside[-1].end, said[-1].until)
    cuts = [begin, *(m.start() for m in _CLAUSE.finditer(body, begin, last)), last + 1]
    pairs: list[tuple[Claim, int]] = []
    waiting: list[Claim] = []
    current: int | None = None
    for low, high in pairwise(cuts):
        here = [k for k, one in enumerate(inside) if low <= one.start < high]
        claims = [c for c in said if low <= c.at < high]
        if here:
            pairs += [(c, here[0]) for c in waiting]
            waiting = []
            for c in claims:
                before = [k for k in here if inside[k].end <= c.at]
                pairs.append((c, before[-1] if before else here[0]))
            current = here[-1]
        elif current is None:
            waiting += claims
        else:
            pairs += [(c, current) for c in claims]
    return sorted(pairs, key=lambda pair: pair[0].at)


# ---------------------------------------------------------------------------------- truth


def _fits(claim: Claim, named: Named, evidence: Evidence) -> bool:
    """Whether the claim is true of one occurrence, or of several in a row."""
    spans, slack = named.spans, claim.slack + 1e-6
    if not spans:
        return True  # its times are not known
    starts, ends = [s for s, _ in spans], [e for _, e in spans]
    if claim.kind == "range":
        other = claim.other or 0.0
        if claim.pause:
            edges = _edges(evidence)
            return any(abs(claim.value - e) <= slack for _, e in edges) and any(
                abs(other - s) <= slack for s, _ in edges
            )
        return any(abs(claim.value - s) <= slack for s in starts) and any(
            abs(claim.value - s) <= slack and abs(other - e) <= slack and e >= s
            for s in starts
            for e in ends
        )
    if claim.kind == "length":
        lengths = [e - s for s, e in spans] + [max(ends) - min(starts), evidence.duration_s]
        lengths += [sum(e - s for s, e in spans), *_gaps(evidence)]
        return any(abs(claim.value - length) <= 2 * slack for length in lengths)
    if claim.kind == "gap":
        return any(abs(claim.value - gap) <= 2 * slack for gap in _gaps(evidence))
    near_start = any(abs(claim.value - s) <= slack for s in starts)
    near_end = any(abs(claim.value - e) <= slack for e in ends)
    if claim.kind == "start":
        return near_start
    if claim.kind == "end":
        return near_end
    inside = any(s - slack <= claim.value <= e + slack for s, e in spans)
    return near_start or near_end or inside


def _edges(evidence: Evidence) -> list[tuple[float, float]]:
    """Start and end of everything that sounds; the segment's own ends first."""
    spans = [(evidence.duration_s, 0.0)]
    spans += [(s.start_s, s.end_s) for s in evidence.sounds]
    spans += [
        (u.start_s, u.end_s) for u in evidence.utterances if u.start_s is not None and u.end_s
    ]
    spans += evidence.speech
    if evidence.music:
        spans += evidence.music.spans
    return spans


def _gaps(evidence: Evidence) -> list[float]:
    """Times between any two starts, and between an end and a later start."""
    spans = [(0.0, 0.0), *_edges(evidence)[1:]]
    out = []
    for a_start, a_end in spans:
        for b_start, _ in spans:
            out += [b_start - x for x in (a_start, a_end) if b_start > x]
    return out


def _whole(evidence: Evidence) -> Named:
    return Named(0, 0, "the recording", "", ((0.0, evidence.duration_s),))


def _of_whole(claim: Claim, reading: Reading, evidence: Evidence) -> bool:
    """A length that is the recording's own, said of it."""
    if claim.kind != "length" or abs(claim.value - evidence.duration_s) > claim.slack + 1e-6:
        return False
    around = reading.body[max(0, claim.at - 60) : claim.until + 40].lower()
    return bool(re.search(r"recording|clip|audio|segment|track|excerpt|sample|these", around))


def _anything(reading: Reading, evidence: Evidence) -> Named:
    spans = {span for spans in reading.spans.values() for span in spans}
    return Named(0, 0, "anything", "", tuple(sorted(spans or {(0.0, evidence.duration_s)})))


def _message(claim: Claim, reading: Reading, name: str) -> str:
    written = " ".join(reading.body[claim.at : claim.until].split())
    return f"{written!r} is no time of {name}"

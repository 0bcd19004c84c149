"""Whether the words of order in a caption agree with the times of what they stand between."""

from __future__ import annotations

import re
from itertools import pairwise

from moss_audio.annotate.merging.binding import Bound, Named
from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.reading import Reading

# What starts closer together than this has no order.
CLEAR_S = 0.3
_AFTER_A_WHILE = re.compile(
    r"\bafter(?:wards)?\s+(?:that|which|this|an?\s+(?:\w+\s+)?(?:pause|gap|moment|while|silence|break"
    r"|second)|some time|about|around|roughly|\d|a few)",
    re.IGNORECASE,
)
_AFTER_SO_MUCH_OF = re.compile(
    r"\bafter\s+(?:about\s+|around\s+|some\s+)?[\w.]+[\s-]seconds?\s+of\b", re.IGNORECASE
)
_EARLIER = re.compile(r"\b(?:before (?:that|this|it)|earlier)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[,;.]|\bthen\b|\band\b", re.IGNORECASE)
_FORWARD = re.compile(
    r"\b(?:then|afterwards?|after (?:that|which|this)|next|followed by|later|subsequently|finally"
    r"|before|precedes?|preceding|gives? way to|leads? (?:in)?to|ends? with|lastly)\b",
    re.IGNORECASE,
)
_REVERSED = re.compile(r"\b(?:after|follows|preceded by)\b|(?<!the )\bfollowing\b", re.IGNORECASE)
_TOGETHER = re.compile(
    r"\b(?:while|during|meanwhile|simultaneously|at the same time|overlap\w*|on top of)\b", re.I
)
_FIRST = re.compile(
    r"(?:\b(?:begins?|opens?|starts?|beginning|opening|starting)\s+(?:off\s+)?with\b|\bat first\b"
    r"|\binitially\b|\bfirst,)",
    re.IGNORECASE,
)
_LAST = re.compile(
    r"\b(?:ends?|closes?|concludes?|finish(?:es)?|ending|closing|concluding)\s+with\b|\bfinally\b"
    r"|\blastly\b|\bat last\b",
    re.IGNORECASE,
)
_ALL_ALONG = re.compile(r"\b(?:throughout|all along|the whole time|the entire time)\b", re.I)
_ALONG_SHARE = 0.6


def order_faults(reading: Reading, bound: Bound, evidence: Evidence) -> list[str]:
    """What is told in another order than it happened."""
    out: list[str] = []
    body = reading.body
    known = [(k, one) for k, one in enumerate(bound.named) if one.spans]
    for (i, a), (j, b) in pairwise(known):
        if b.start < a.end or a.key == b.key:
            continue
        between = body[a.end : b.start]
        sentence = next((s for s in reading.sentences if s[0] <= b.start < s[1]), (0, 0))
        same = sentence[0] <= a.start
        opening = body[sentence[0] : a.start] if same else ""
        a_s, b_s = _starts(i, a, bound), _starts(j, b, bound)
        soft = _AFTER_A_WHILE.search(between)
        if _AFTER_SO_MUCH_OF.search(between):
            soft = None  # "after 3 seconds of rain" is after the rain
        forward = bool(soft or _FORWARD.search(between))
        earlier = _EARLIER.search(between)
        backward = bool(_REVERSED.search(between)) and not soft and same
        if earlier:
            forward, backward = False, True
        first_word = re.match(r"\s*(\w+)", opening)
        if first_word and same and _is_first(a, bound, sentence):
            word = first_word[1].lower()
            if word in ("after", "following", "once") and not _AFTER_A_WHILE.match(opening.strip()):
                forward = True
            elif word == "before" and not forward and not _EARLIER.match(opening.strip()):
                backward = True
        if re.search(r"\bbefore\b", between, re.I) and re.search(r"\bafter\b", between, re.I):
            continue  # a detour that cannot be read safely
        if forward and not backward and min(a_s) > max(b_s) + CLEAR_S:
            out.append(f"{a.name} does not come before {b.name}")
        elif backward and not forward:
            # "A over B, after C" may be said of A: of what stands in the clause, one suffices.
            clause = [
                (k, n)
                for k, n in known[: known.index((i, a)) + 1]
                if n.start >= _clause_start(body, a.start, sentence[0] if same else a.start)
            ]
            if all(max(_starts(k, n, bound)) < min(b_s) - CLEAR_S for k, n in clause):
                out.append(f"{a.name} does not come after {b.name}")
        elif _TOGETHER.search(between) and not _overlap(a, b):
            out.append(f"{a.name} and {b.name} do not sound together")
        elif first_word and same and _is_first(a, bound, sentence):
            begun = _TOGETHER.match(opening.strip())
            if re.match(r"during (?:this|that|it|all)\b", opening.strip(), re.IGNORECASE):
                begun = None  # it speaks of the sentence before
            if begun and not forward and not _overlap(a, b):
                out.append(f"{a.name} and {b.name} do not sound together")
    return out + _edges(reading, bound, evidence)


def _clause_start(body: str, at: int, begin: int) -> int:
    cuts = [m.end() for m in _CLAUSE.finditer(body, begin, at)]
    return cuts[-1] if cuts else begin


def _starts(index: int, one: Named, bound: Bound) -> list[float]:
    said = bound.starts.get(index)
    return [said] if said is not None else [start for start, _ in one.spans]


def _is_first(one: Named, bound: Bound, sentence: tuple[int, int]) -> bool:
    inside = [n for n in bound.named if sentence[0] <= n.start < sentence[1]]
    return bool(inside) and inside[0] is one


def _overlap(a: Named, b: Named) -> bool:
    return any(s <= f + CLEAR_S and t <= e + CLEAR_S for s, e in a.spans for t, f in b.spans)


def _edges(reading: Reading, bound: Bound, evidence: Evidence) -> list[str]:
    """What is said to come first, last, or all the time."""
    out: list[str] = []
    heard = [(s.start_s, s.end_s) for s in evidence.sure_sounds]
    heard += [*evidence.speech, *evidence.singing]
    if evidence.music:
        heard += evidence.music.spans
    if not heard:
        return out
    body = reading.body
    for begin, end in reading.sentences:
        inside = [n for n in bound.named if begin <= n.start < end and n.spans]
        for match in _FIRST.finditer(body, begin, end):
            after = [n for n in inside if n.start >= match.end()]
            first = min(start for start, _ in heard)
            if after and min(s for s, _ in after[0].spans) > first + CLEAR_S:
                out.append(f"{after[0].name} does not come first")
        for match in _LAST.finditer(body, begin, end):
            after = [n for n in inside if n.start >= match.end()]
            if after and not (
                max(s for s, _ in after[0].spans) >= max(s for s, _ in heard) - CLEAR_S
                or max(e for _, e in after[0].spans) >= max(e for _, e in heard) - CLEAR_S
            ):
                out.append(f"{after[0].name} does not come last")
        for match in _ALL_ALONG.finditer(body, begin, end):
            near = sorted(inside, key=lambda n: abs(n.start - match.start()))[:2]
            shares = [sum(e - s for s, e in n.spans) / (evidence.duration_s or 1.0) for n in near]
            if near and max(shares) < _ALONG_SHARE:
                out.append(f"{near[0].name} is not heard throughout")
    return out

"""Questions of when, what, in which order, how long and how often, each with one certain answer.

A sound is asked about only if its name can mean no other sound of the segment, doubtful ones
included; an order only where it is clear; a count only where nothing doubtful could change it.
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

from moss_audio.annotate.english import capital, seconds, times_word
from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.phrases import key_text
from moss_audio.annotate.merging.sound_names import related
from moss_audio.annotate.sft.talk import Talk
from moss_audio.annotate.sft.timed import heard
from moss_audio.annotate.words import words as word_table
from moss_audio.metrics.mentions import label_key
from moss_audio.metrics.qa import count_correct, interval_iou, order_correct, time_correct
from moss_audio.result import Event
from moss_audio.text import join_words, normalize_words

# Two sounds that begin closer than this have no clear order.
CLEAR_S = 0.5
_EDGE_S = 0.25  # away from every border, so that a rounded time still lies inside
# A time's answer has one decimal.
_ROUNDING_S = 0.0501
_MOST_WORDS = 60


def questions(evidence: Evidence, *, words: bool) -> list[tuple[str, Talk]]:
    """All questions that have one certain answer, with their kinds, worded in every way.

    `words`: whether the transcript is good enough to be asked about.
    """
    found = _about_times(heard(evidence), evidence)
    if evidence.music and evidence.music.bpm:
        bpm = round(evidence.music.bpm)
        found.append(("tempo", {}, f"About {bpm} bpm.", bpm))
    if evidence.music and evidence.music.tonic and evidence.music.mode:
        key = key_text(evidence.music.tonic, evidence.music.mode)
        found.append(("key", {}, f"In {key}.", key))
    if words:
        found += _about_words(evidence)
    return [
        (kind, Talk("qa", wording.format(**slots), answer, truth))
        for kind, slots, answer, truth in found
        if _certain(kind, answer, truth)
        for wording in word_table("questions")[kind]
    ]


Found = tuple[str, dict[str, str], str, Any]


def unmistakable(event: Event, evidence: Evidence, events: list[Event]) -> bool:
    """Whether the event's name can mean no other sound of the segment."""
    others = [e.label for e in events if e is not event]
    others += [s.label for s in evidence.sounds if not s.sure]
    return bool(normalize_words(event.label)) and not any(related(event.label, o) for o in others)


def _about_times(events: list[Event], evidence: Evidence) -> list[Found]:
    found: list[Found] = []
    doubtful = [s for s in evidence.sounds if not s.sure]
    clear = {id(e) for e in events if unmistakable(e, evidence, events)}
    for event in events:
        slots = {"label": event.label}
        start, end = seconds(event.start), seconds(event.end)
        if id(event) not in clear or end == start:
            continue
        found += [
            ("when", slots, f"At {start} seconds.", event.start),
            ("end", slots, f"At {end} seconds.", event.end),
            ("interval", slots, f"From {start} to {end} seconds.", (event.start, event.end)),
            ("duration", slots, f"For {seconds(event.end - event.start)} seconds.",
             event.end - event.start),
        ]  # fmt: skip
        at = (event.start + event.end) / 2
        spans = [(e.start, e.end) for e in events if e is not event]
        spans += [(s.start_s, s.end_s) for s in doubtful]
        alone = not any(a - _EDGE_S <= at <= b + _EDGE_S for a, b in spans)
        if alone and event.end - event.start > 2 * _EDGE_S:
            found.append(("at", {"at": seconds(at)}, f"{capital(event.label)}.", event.label))
    found += _counts(events, evidence)
    if not doubtful:
        found += _orders(events, clear)
    return found


def _counts(events: list[Event], evidence: Evidence) -> list[Found]:
    found: list[Found] = []
    groups: dict[str, list[Event]] = {}
    for event in events:
        groups.setdefault(label_key(event.label), []).append(event)
    for key, group in groups.items():
        other = [e.label for e in events if label_key(e.label) != key]
        other += [s.label for s in evidence.sounds if not s.sure]
        # Speech and music have no parts that everybody would count alike.
        if key in ("speech", "music", "sing") or any(related(group[0].label, o) for o in other):
            continue
        if len(group) > 1 or group[0].end - group[0].start < 3.0:
            answer = f"{capital(times_word(len(group)))}."
            found.append(("count", {"label": group[0].label}, answer, len(group)))
    return found


def _orders(events: list[Event], clear: set[int]) -> list[Found]:
    found: list[Found] = []
    gaps = [b.start - a.start for a, b in pairwise(events)]
    certain = [gap >= CLEAR_S for gap in gaps]
    if gaps and certain[0] and id(events[0]) in clear:
        found.append(("first", {}, f"{capital(events[0].label)}.", events[0].label))
    if gaps and certain[-1] and id(events[-1]) in clear:
        found.append(("last", {}, f"{capital(events[-1].label)}.", events[-1].label))
    named = [(k, event) for k, event in enumerate(events) if id(event) in clear]
    for (i, a), (j, b) in pairwise(named):
        if b.start - a.start < CLEAR_S:
            continue
        if j == i + 1 and (j == len(gaps) or certain[j]):
            found.append(("after", {"a": a.label}, f"{capital(b.label)}.", b.label))
        turned = round(a.start * 10) % 2
        pair = (b.label, a.label) if turned else (a.label, b.label)
        answer = f"First the {a.label}, then the {b.label}."
        found.append(("order", {"a": pair[0], "b": pair[1]}, answer, (a.label, b.label)))
    return found


def _about_words(evidence: Evidence) -> list[Found]:
    spoken = evidence.spoken
    text = join_words([one.text for one in spoken])
    found: list[Found] = []
    if spoken and len(text.split()) <= _MOST_WORDS:
        found.append(("said", {}, text, text))
    for one in spoken if len(spoken) > 1 else ():
        if one.span is None:
            continue
        start, end = one.span
        others = [u.span for u in spoken if u is not one and u.span]
        alone = all(b <= start + 0.05 or a >= end - 0.05 for a, b in others)
        if alone and seconds(start) != seconds(end):
            slots = {"start": seconds(start), "end": seconds(end)}
            found.append(("said at", slots, one.text, one.text))
    return found


def _certain(kind: str, answer: str, truth: Any) -> bool:
    """Whether the answer reads back as its truth, by the readers that evaluation uses."""
    if kind in ("when", "end", "duration"):
        return bool(time_correct(answer, truth, 2 * _ROUNDING_S).correct)
    if kind == "interval":
        length = max(truth[1] - truth[0], 0.1)
        return (interval_iou(answer, *truth) or 0.0) >= 1 - min(0.9, 2.1 * _ROUNDING_S / length)
    if kind == "count":
        return bool(count_correct(answer, truth).correct)
    if kind == "order":
        return bool(order_correct(answer, truth).correct)
    return bool(answer.strip())


def draw(found: list[tuple[str, Talk]], count: int, rng: random.Random) -> list[Talk]:
    """So many of them, of different kinds as long as there are any."""
    by_kind: dict[str, list[Talk]] = {}
    for kind, talk in found:
        by_kind.setdefault(kind, []).append(talk)
    out: list[Talk] = []
    used: set[tuple[str, Any]] = set()
    while len(out) < count and by_kind:
        for kind in rng.sample(sorted(by_kind), len(by_kind)):
            talk = by_kind[kind].pop(rng.randrange(len(by_kind[kind])))
            if not by_kind[kind]:
                del by_kind[kind]
            # One wording of a question is enough.
            if (kind, talk.answer) not in used and len(out) < count:
                used.add((kind, talk.answer))
                out.append(talk)
    return out

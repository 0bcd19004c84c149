"""Multiple choice: the right answer among others that are near in kind and not also true."""

from __future__ import annotations

import random
from collections.abc import Iterator

from moss_audio.annotate.english import seconds
from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.phrases import key_text
from moss_audio.annotate.merging.sound_names import near
from moss_audio.annotate.sft.questions import questions
from moss_audio.annotate.sft.talk import Talk
from moss_audio.annotate.sft.timed import heard
from moss_audio.metrics.choice import parse_choice
from moss_audio.tasks.choices import choice_question, lettered
from moss_audio.text import normalize_words

_CHOICES = 4
# A wrong time is so far off that nobody can take it for the right one.
_LEAST_SHIFT_S = 1.0
_TONICS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_FACTORS = (0.55, 0.65, 0.75, 1.3, 1.45, 1.6)  # of the tempo: neither near nor its double or half


def choices(evidence: Evidence, rng: random.Random, *, words: bool) -> list[tuple[str, Talk]]:
    """All multiple-choice questions that can be made, with their kinds."""
    out: list[tuple[str, Talk]] = []
    for kind, right, wrong, question in _made(evidence, rng, words):
        distinct = [w for w in dict.fromkeys(wrong) if normalize_words(w) != normalize_words(right)]
        if len(distinct) < _CHOICES - 1:
            continue
        options = [right, *rng.sample(distinct, _CHOICES - 1)]
        rng.shuffle(options)
        at = options.index(right)
        answer = lettered(options)[at]
        if parse_choice(answer, options) == at:
            prompt = choice_question(question, options)
            out.append((kind, Talk("multiple_choice", prompt, answer, right)))
    return out


def _made(
    evidence: Evidence, rng: random.Random, words: bool
) -> Iterator[tuple[str, str, list[str], str]]:
    events = heard(evidence)
    names = [e.label for e in events] + [s.label for s in evidence.sounds]
    if evidence.music:
        names += evidence.music.instruments
    seen: set[tuple[str, str]] = set()
    for kind, talk in questions(evidence, words=words):
        if (kind, talk.answer) in seen:
            continue
        seen.add((kind, talk.answer))
        question, truth = talk.question, talk.truth
        if kind == "at":
            # Nothing but this sound is heard then, so what is heard at other times is wrong too.
            here = [n for n in dict.fromkeys(names) if n != truth]
            others = [n for n in here if normalize_words(n) != normalize_words(truth)]
            yield kind, truth, [*others, *near(truth, names)], question
        elif kind in ("first", "last", "after"):
            others = [e.label for e in events if e.label != truth and e.label not in question]
            yield kind, truth, [*others, *near(truth, names)], question
        elif kind in ("when", "end"):
            yield kind, f"{seconds(truth)} seconds", _times(truth, evidence, rng), question
        elif kind == "count":
            near_by = [n for n in range(max(0, truth - 3), truth + 5) if n != truth]
            yield kind, str(truth), [str(n) for n in near_by if n > 0], question
        elif kind == "tempo":
            others = [f"{round(truth * factor)} bpm" for factor in _FACTORS]
            yield kind, f"{truth} bpm", others, "What is the tempo of the music?"
        elif kind == "key":
            others = [key_text(t, m) for t in _TONICS for m in ("major", "minor")]
            yield kind, truth, _other_keys(truth, others), question
        elif kind == "said at":
            spoken = [u.text for u in evidence.spoken if u.text != truth]
            yield kind, truth, spoken, question
    yield from _present(evidence, names, rng)


def _times(truth: float, evidence: Evidence, rng: random.Random) -> list[str]:
    """Other times of the segment, first those at which something else begins or ends."""
    edges = [t for e in heard(evidence) for t in (e.start, e.end)]
    edges += [rng.uniform(0.0, evidence.duration_s) for _ in range(8)]
    kept: list[float] = []
    for edge in edges:
        if all(abs(edge - other) >= _LEAST_SHIFT_S for other in (truth, *kept)):
            kept.append(edge)
    return [f"{seconds(edge)} seconds" for edge in kept]


def _other_keys(truth: str, others: list[str]) -> list[str]:
    """Keys that are neither the true one by another name nor its relative, which sound alike."""
    tonic, minor = _pitch(truth), truth.endswith("minor")
    relative = (tonic + 3) % 12 if minor else (tonic - 3) % 12
    return [
        other for other in others
        if (_pitch(other), other.endswith("minor")) not in ((tonic, minor), (relative, not minor))
    ]  # fmt: skip


def _pitch(key: str) -> int:
    return ("C D EF G A B".index(key[0]) + (" sharp" in key) - (" flat" in key)) % 12


def _present(
    evidence: Evidence, names: list[str], rng: random.Random
) -> Iterator[tuple[str, str, list[str], str]]:
    """Which of these sounds is heard: one that is, and others of its family that are not."""
    for sound in {s.label: s for s in evidence.sure_sounds}.values():
        others = near(sound.label, names)
        question = rng.choice(
            ("Which of these sounds is heard?", "Which of the following can be heard?")
        )
        yield "present", sound.label, others, question

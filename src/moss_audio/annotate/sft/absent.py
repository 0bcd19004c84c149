"""Questions about what is not there. The answer says so.

Asked only where the tools that would have heard it listened and found nothing, not even doubtful.
"""

from __future__ import annotations

import random

from moss_audio.annotate.english import be, noun
from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.sound_names import families, near, related
from moss_audio.annotate.records import AudioSegment
from moss_audio.annotate.sft.talk import Talk
from moss_audio.annotate.words import words
from moss_audio.text import normalize_words

_LEAST_DOUBT = 0.3


def absent(evidence: Evidence, segment: AudioSegment, rng: random.Random) -> list[tuple[str, Talk]]:
    """All such questions, with their kinds."""
    out: list[tuple[str, Talk]] = []
    asked = words("absent")
    for label in _sounds_not_there(evidence, segment, rng):
        question = rng.choice(asked["sound"]).format(label=label)
        answers = (
            f"There {be(label)} no {label} in this recording.",
            f"No {label} can be heard in this recording.",
        )
        out.append(("sound", Talk("unanswerable", question, rng.choice(answers), label)))
        presence = f"Is there {noun(label)} in this recording?"
        if be(label) == "is":
            answer = f"No, there is no {label}."
            out.append(("presence", Talk("unanswerable", presence, answer, label)))
    if _nobody_speaks(evidence, segment):
        answer = rng.choice(("Nobody speaks in this recording.", "There is no speech."))
        out.append(("speech", Talk("unanswerable", rng.choice(asked["speech"]), answer, "speech")))
    if _no_music(evidence, segment):
        answer = rng.choice(("There is no music in this recording.", "No music is heard."))
        out.append(("music", Talk("unanswerable", rng.choice(asked["music"]), answer, "music")))
    return out


def _sounds_not_there(evidence: Evidence, segment: AudioSegment, rng: random.Random) -> list[str]:
    """First those near in kind to what is heard: far ones are no test."""
    if not segment.find("events"):
        return []
    told = [s.label for r in segment.find("events") for s in r.spans]
    told += [s.label for r in segment.find("activity") for s in r.spans]
    told += [*(evidence.music.instruments if evidence.music else ()), *evidence.fields.values()]
    texts = f"{evidence.anchor} {evidence.description}"
    told += normalize_words(texts)
    classes = words("absent")["classes"]
    candidates = [n for s in evidence.sure_sounds for n in near(s.label, told)]
    for family, names in families().items():
        if float(segment.profile.get(classes[family], 0.0)) < _LEAST_DOUBT:
            candidates += names
    # A class that the profile doubts may be the very sound asked about.
    doubtful = {
        n for family, names in families().items() for n in names
        if float(segment.profile.get(classes[family], 0.0)) >= _LEAST_DOUBT
        and not any(n in near(s.label, ()) for s in evidence.sure_sounds)
    }  # fmt: skip
    free = [
        n for n in dict.fromkeys(candidates)
        if n not in doubtful and not any(related(n, other) for other in told)
    ]  # fmt: skip
    if evidence.speaks:  # a voice may well breathe, sigh or laugh without an event saying so
        free = [n for n in free if n not in families()["human"]]
    if evidence.music is not None:
        free = [n for n in free if n not in families()["instrument"]]
    return rng.sample(free, min(4, len(free)))


def _nobody_speaks(evidence: Evidence, segment: AudioSegment) -> bool:
    listened = segment.find("activity") or segment.find("transcript") or segment.find("agreement")
    return bool(
        listened
        and not evidence.speaks
        and not evidence.sings
        and not evidence.turns
        and not any(one.text.strip() for one in segment.find("transcript"))
        and float(segment.profile.get("speech", 0.0)) < _LEAST_DOUBT
    )


def _no_music(evidence: Evidence, segment: AudioSegment) -> bool:
    listened = segment.find("activity") or segment.find("tempo")
    played = any("music" in normalize_words(s.label) for s in evidence.sounds)
    instruments = {*families()["instrument"]}
    return bool(
        listened
        and evidence.music is None
        and not evidence.sings
        and not played
        and not any(s.label in instruments for s in evidence.sounds)
        and float(segment.profile.get("music", 0.0)) < _LEAST_DOUBT
        and float(segment.profile.get("singing", 0.0)) < _LEAST_DOUBT
    )

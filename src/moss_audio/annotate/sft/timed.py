"""Answers with times: transcripts at three levels, and the timeline of all that is heard."""

from __future__ import annotations

from collections.abc import Sequence

from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.sft.talk import Talk
from moss_audio.metrics.events import event_based
from moss_audio.metrics.mentions import label_key
from moss_audio.result import Event, Segment, Timeline, Transcript, Word
from moss_audio.tasks.events import Events
from moss_audio.tasks.transcribe import Level, Transcribe
from moss_audio.text import join_words, normalize_words


def heard(evidence: Evidence) -> list[Event]:
    """Sure events by start; speech is one from its first to its last word without a pause."""
    out = [Event(s.label, s.start_s, s.end_s) for s in evidence.sure_sounds]
    out += [Event("speech", start, end) for start, end in evidence.speech]
    out += [Event("singing", start, end) for start, end in evidence.singing]
    if evidence.music and not any("music" in label_key(s.label).split() for s in evidence.sounds):
        out += [Event("music", start, end) for start, end in evidence.music.spans]
    return sorted(out, key=lambda e: (e.start, e.end, e.label))


def timelines(evidence: Evidence) -> list[Talk]:
    """One timeline, if there is an event and none of them is doubtful."""
    if any(not sound.sure for sound in evidence.sounds):
        return []  # what is left out would be taught as silence
    events = heard(evidence)
    if not events:
        return []
    task = Events()
    truth = Timeline(tuple(events), evidence.duration_s)
    answer = task.render_answer(truth)
    read = task.parse(answer, evidence.duration_s)
    if read.warnings or event_based(truth, read).hits < len(events):
        return []
    return [Talk("events", task.prompt, answer, truth)]


# Times are written in hundredths of a second.
_ROUNDING_S = 0.0051


def transcripts(
    evidence: Evidence, level: Level | None, *, flagged: bool, most_words: int
) -> list[Talk]:
    """The transcript at one level, if recognisers agreed on it and it reads back as it was.

    `flagged`: also where they agreed in part. `most_words`: longer ones get no word times.
    """
    spoken = evidence.spoken
    trusted = ("keep", "flag") if flagged else ("keep",)
    if not spoken or evidence.decision not in trusted:
        return []
    truth = _truth(evidence, level)
    if truth is None or (level == "word" and len(truth.words) > most_words):
        return []
    task = Transcribe(level)
    answer = task.render_answer(truth)
    if not _reads_back(task, answer, truth, evidence.duration_s):
        return []
    return [Talk(task.name, task.prompt, answer, truth)]


def _truth(evidence: Evidence, level: Level | None) -> Transcript | None:
    spoken = evidence.spoken
    text = join_words([one.text for one in spoken])
    segments = tuple(Segment(one.text, *one.span) for one in spoken if one.span)
    if level == "sentence" and len(segments) < len(spoken):
        return None
    if level == "word" and (
        normalize_words(" ".join(word.text for word in evidence.words)) != normalize_words(text)
    ):
        return None  # the aligner lost or split words: its times are not of this text
    return Transcript(text, segments, evidence.words, evidence.duration_s)


def _reads_back(task: Transcribe, answer: str, truth: Transcript, duration_s: float) -> bool:
    read = task.parse(answer, duration_s)
    if read.warnings or normalize_words(read.text) != normalize_words(truth.text):
        return False
    if task.timestamps is None:
        return bool(answer)
    words = task.timestamps == "word"
    wanted: Sequence[Segment | Word] = truth.words if words else truth.segments
    found: Sequence[Segment | Word] = read.words if words else read.segments
    return len(wanted) == len(found) and all(
        abs(a.start - b.start) <= _ROUNDING_S and abs(a.end - b.end) <= _ROUNDING_S
        for a, b in zip(wanted, found, strict=True)
    )

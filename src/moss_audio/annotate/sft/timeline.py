"""The timeline of all that is heard, speech, singing and music among it."""

from __future__ import annotations

from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.sft.talk import Talk
from moss_audio.metrics.events import event_based
from moss_audio.metrics.mentions import label_key
from moss_audio.result import Event, Timeline
from moss_audio.tasks.events import Events


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

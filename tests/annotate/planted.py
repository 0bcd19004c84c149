"""Captions with one error planted in each, five kinds; and correct captions worded by hand."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

from moss_audio.annotate.records import Segment, Span, ToolResult
from tests.annotate.cases import agreed, result, segment

Plant = Callable[[str, Segment, random.Random], str | None]

# Sounds nobody heard; several are in no list of the package.
_STRANGERS = (
    "a chainsaw", "a parrot squawking", "a church organ", "a lawn mower", "a kettle whistling",
    "a baby crying", "fireworks", "an ambulance", "a typewriter", "a sheep bleating",
    "a bagpipe", "a vacuum cleaner", "a tennis racket", "an espresso machine", "a hawk",
    "a popping cork", "a rattling chain", "a squeaking hinge",
)  # fmt: skip
_INSERTED = (
    "{x} is heard from {a:.1f} to {b:.1f} seconds.", "In the background, {x} can be heard.",
    "There is {x} at {a:.1f} seconds.", "The sound of {x} comes in at {a:.1f} seconds.",
    "{x} is also heard.", "At {a:.1f} seconds, {x} sets in and lasts until {b:.1f} seconds.",
)  # fmt: skip
_ORDER = (
    "{b} is heard, and then {a} follows.", "After {b}, there is {a}.", "{b} is followed by {a}.",
    "{a} comes after {b}.", "Before {a} there is {b}.", "The recording opens with {b}.",
    "Finally, {a} is heard.", "{b} precedes {a}.",
)  # fmt: skip


def wrong_time(text: str, seg: Segment, rng: random.Random) -> str | None:
    """One time moved by 0.4 to 4 s, to where nothing begins or ends."""
    found = [m for m in re.finditer(r"\d+\.\d", _masked(text)) if not _is_length(text, m.start())]
    if not found:
        return None
    hit = rng.choice(found)
    edges = [t for r in seg.results for s in r.spans for t in (s.start_s, s.end_s)]
    for _ in range(40):
        value = float(hit[0]) + rng.choice((-1, 1)) * rng.uniform(0.4, 4.0)
        if value > 0 and all(abs(value - edge) > 0.2 for edge in edges):
            return f"{text[: hit.start()]}{value:.1f}{text[hit.end() :]}"
    return None


def swapped_order(text: str, seg: Segment, rng: random.Random) -> str | None:
    """Two sounds that exchange places: in the writer's text, or in words without times."""
    events = sorted((s for r in seg.results if r.kind == "events" for s in r.spans
                     if s.score is None or s.score >= 0.5), key=lambda s: s.start_s)  # fmt: skip
    labels = [s.label for s in events]
    single = [s for s in events if labels.count(s.label) == 1]
    pairs = [(a, b) for a in single for b in single if b.start_s - a.start_s > 0.6]
    if not pairs:
        return None
    a, b = rng.choice(pairs)
    if rng.random() < 0.5:
        there = text.split(a.label), text.split(b.label)
        if len(there[0]) != 2 or len(there[1]) != 2 or a.label in b.label or b.label in a.label:
            return None
        return text.replace(a.label, "\0").replace(b.label, a.label).replace("\0", b.label)
    wording = rng.choice(_ORDER)
    if "opens" in wording or "Finally" in wording:
        speaks = [s.start_s for r in seg.results for s in r.spans]
        if min(speaks) < a.start_s - 0.1 or max(speaks) > b.start_s + 0.1 or b is not events[-1]:
            return None
        if any(s.end_s > a.end_s + 0.6 for s in events) is False:
            return None
    said = wording.format(a=f"the {a.label}", b=f"the {b.label}")
    return f"{text} {said[0].upper()}{said[1:]}"


def invented_event(text: str, seg: Segment, rng: random.Random) -> str | None:
    """A sentence about a sound that nobody heard."""
    stranger = rng.choice(_STRANGERS)
    start = rng.uniform(0, seg.duration_s / 2)
    said = rng.choice(_INSERTED).format(x=stranger, a=start, b=start + 1.0)
    return f"{text} {said[0].upper()}{said[1:]}"


def wrong_number(text: str, seg: Segment, rng: random.Random) -> str | None:
    """A count, length, tempo or measure that is another."""
    body = _masked(text)
    found = [*re.finditer(
        r"\b(?:twice|(?:\d+|three|four|five) times|\d+(?= bpm)|\d+(?= words a)|\d+(?= Hz)"
        r"|(?:two|three|four)(?= speakers)|(?<=[Ss]peaker )\d+)", body)]  # fmt: skip
    found += [m for m in re.finditer(r"\d+\.\d", body) if _is_length(text, m.start())]
    if not found:
        return None
    hit = rng.choice(found)
    old = hit[0]
    if old == "twice" or old.endswith("times"):
        new = "seven times" if old != "7 times" else "twice"
    elif old.isalpha():
        new = {"two": "three", "three": "four", "four": "two"}[old]
    elif "." in old:
        new = f"{float(old) + rng.uniform(1, 20):.1f}"
    else:
        new = str(int(old) + rng.randint(4, 40))
    return text[: hit.start()] + new + text[hit.end() :]


def changed_word(text: str, seg: Segment, rng: random.Random) -> str | None:
    """A word of a quotation, the mode of the key or the tempo that is another."""
    quotes = [m for m in re.finditer("“([^”]*)”", text) if len(m[1].split()) > 1]
    if (swap := re.search(r"\b(major|minor)\b(?=[.,])", text)) and rng.random() < 0.5:
        other = {"major": "minor", "minor": "major"}[swap[1]]
        return text[: swap.start()] + other + text[swap.end() :]
    if not quotes:
        return None
    hit = rng.choice(quotes)
    words = hit[1].split()
    at = rng.choice([i for i, w in enumerate(words) if re.search(r"\w", w)])
    words[at] = rng.choice(("elephant", "nobody", "forty", "weekend", "purple"))
    return f"{text[: hit.start()]}“{' '.join(words)}”{text[hit.end() :]}"


PLANTS: dict[str, Plant] = {
    "wrong time": wrong_time, "swapped order": swapped_order, "invented event": invented_event,
    "wrong number": wrong_number, "changed word": changed_word,
}  # fmt: skip


def planted(
    kind: str, captions: Sequence[tuple[str, Segment]], count: int, seed: int = 7
) -> Iterator[tuple[str, Segment]]:
    """`count` captions with an error of this kind."""
    rng = random.Random(f"{kind} {seed}")
    done = 0
    for _ in range(20 * count):
        text, seg = rng.choice(captions)
        wrong = PLANTS[kind](text, seg, rng)
        if wrong is not None and wrong != text:
            yield wrong, seg
            done += 1
            if done == count:
                return
    raise AssertionError(f"only {done} errors of kind {kind!r} could be planted")


def _masked(text: str) -> str:
    return re.sub("“[^”]*”", lambda m: " " * len(m[0]), text)


def _is_length(text: str, at: int) -> bool:
    before = text[:at].rstrip()
    return before.endswith(("recording of", "these"))


# ------------------------------------------------------------------- correct, by hand


def _events(*spans: tuple[str, float, float]) -> ToolResult:
    return result("events", spans=tuple(Span(*s, 0.9) for s in spans))


def _speech(*said: tuple[str, float, float, str]) -> list[ToolResult]:
    spans = tuple(Span(t, a, b) for t, a, b, _ in said)
    turns = tuple(Span(who, a, b) for _, a, b, who in said)
    count = len({t.label for t in turns})
    return [
        agreed(" ".join(s.label for s in spans)),
        result("sentences", "speech", spans=spans),
        result("speakers", "speech", spans=turns, values={"count": count}),
    ]


def _known(**fields: object) -> ToolResult:
    return result("speech_fields", "speech", values=fields)


STREET = segment("street", 12.0, [
    _events(("dog barking", 1.2, 2.0), ("dog barking", 4.1, 4.9), ("siren", 5.5, 9.8),
            ("rain", 0.0, 12.0)),
])  # fmt: skip
HOUSE = segment("house", 20.0, [
    _events(("knocking", 2.0, 3.1), ("door closing", 6.4, 7.0), ("phone ringing", 10.2, 15.9),
            ("footsteps", 3.5, 6.2)),
    *_speech(("Who is there?", 3.3, 4.4, "speaker 1"), ("It's only me.", 7.6, 8.8, "speaker 2"),
             ("Somebody answer that, please.", 12.5, 14.6, "speaker 1")),
])  # fmt: skip
SONG = segment("song", 30.0, [
    result("tempo", "music", values={"bpm": 120.4}, score=0.9),
    result("key", "music", values={"tonic": "F#", "mode": "minor"}, score=0.9),
    result("sections", "music", spans=(Span("A", 0, 10), Span("B", 10, 20), Span("A", 20, 30))),
    result("instruments", "music", spans=(Span("piano", 0, 30), Span("drums", 10, 30))),
    result("activity", "segment", spans=(Span("music", 0.0, 30.0),)),
    _events(("applause", 27.0, 30.0)),
])  # fmt: skip
TALK = segment("talk", 8.0, [
    *_speech(("The meeting starts at nine.", 0.5, 2.6, "speaker 1"),
             ("Bring 3 copies of the plan.", 3.1, 5.2, "speaker 1")),
    _known(gender="female", pitch="high", volume="quiet", speed="fast", emotion="calm",
           measured={"words_per_minute": 171.6, "pitch_hz": 221.3}),
])  # fmt: skip
QUIET = segment("quiet", 5.0, [_events()])

CORRECT: tuple[tuple[Segment, str], ...] = (
    (STREET, "Rain falls throughout the recording. A dog barks twice, at 1.2 and 4.1 seconds, and "
             "after the second bark a siren sets in at 5.5 seconds and lasts until 9.8 seconds."),
    (STREET, "Against steady rain, a barking dog is heard from 1.2 to 2.0 seconds and again from "
             "4.1 to 4.9 seconds, before a siren passes between 5.5 and 9.8 seconds."),
    (STREET, "It is raining for the whole 12 seconds of this recording. At about one second a dog "
             "starts barking. A siren follows at 5.5 seconds."),
    (STREET, "The clip opens with rainfall. Two dog barks come next, followed by a siren that "
             "sounds for 4.3 seconds."),
    (STREET, "While it rains, a dog barks two times; then, from 5.5 s to 9.8 s, there is a siren."),
    (STREET, "From 5.5 to 9.8 seconds a siren wails over the rain, after a dog has barked at 1.2 "
             "and at 4.1 seconds. No one speaks."),
    (STREET, "Rain can be heard from 0.0 to 12.0 seconds. During the rain, a dog barks from 1.2 to "
             "2.0 seconds and a siren sounds 4.3 seconds later than that."),
    (HOUSE, "Somebody knocks from 2.0 to 3.1 seconds. Speaker 1 asks, \"Who is there?\" while "
            "footsteps approach from 3.5 to 6.2 seconds. A door closes at 6.4 seconds, and speaker "
            "2 replies, \"It's only me.\" Later a phone rings from 10.2 to 15.9 seconds, and "
            "speaker 1 says, \"Somebody answer that, please.\""),
    (HOUSE, "Two speakers are heard. After a knock at 2.0 seconds, the first question is “Who is "
            "there?”, with footsteps underneath. The door shuts at 6.4 seconds. “It's only me,” "
            "says speaker 2 from 7.6 to 8.8 seconds, and a telephone rings from 10.2 seconds on."),
    (HOUSE, "Knocking opens this recording of 20 seconds, then there are footsteps from 3.5 to 6.2 "
            "seconds and a door closing at 6.4 seconds. The telephone rings from 10.2 to 15.9 "
            "seconds. In between two people talk."),
    (HOUSE, "From 12.5 to 14.6 seconds speaker 1 says “Somebody answer that, please” while the "
            "phone is ringing. Before that there is knocking from 2.0 to 3.1 seconds, footsteps, "
            "and a door that closes at about 6 seconds."),
    (HOUSE, "A conversation between two speakers. Knocking (2.0–3.1 s), footsteps (3.5–6.2 s), a "
            "door closing (6.4–7.0 s) and a phone ringing (10.2–15.9 s) accompany it."),
    (HOUSE, "Footsteps start at 3.5 seconds, after knocking that ends at 3.1 seconds. At 6.4 "
            "seconds a door is closed. Someone says “only me” and a phone starts to ring at 10.2 "
            "seconds."),
    (HOUSE, "The knocking at 2.0 seconds is followed by footsteps. The door closing at 6.4 seconds "
            "comes before the phone ringing at 10.2 seconds. Speaker 2 says “It's only me.” from "
            "7.6 to 8.8 seconds."),
    (SONG, "A piece of music in F sharp minor at 120 bpm, played on piano and drums. Its first "
           "section lasts 10 seconds. Applause breaks out at 27.0 seconds."),
    (SONG, "The music is in F# minor with a tempo of about 120 beats per minute. Piano and drums "
           "play from 0.0 to 30.0 seconds; section B runs from 10.0 to 20.0 seconds. Applause is "
           "heard from 27.0 to 30.0 seconds."),
    (SONG, "An instrumental with piano and drums: section A from 0.0 to 10.0 seconds, section B "
           "from 10.0 to 20.0 seconds and section A again from 20.0 to 30.0 seconds. It ends with "
           "applause."),
    (SONG, "The song is in a minor key. There are three sections, and at the end, from 27.0 to "
           "30.0 seconds, people clap: applause."),
    (SONG, "Music plays throughout, in G flat minor, at a moderate tempo of 120 bpm, and clapping "
           "is heard from 27 seconds on."),
    (SONG, "In this 30-second track the piano is joined by drums. The tempo is 120 bpm. Applause "
           "closes the recording."),
    (TALK, "A woman says, \"The meeting starts at nine. Bring 3 copies of the plan.\" Her voice is "
           "quiet and high-pitched, and she speaks fast, at about 172 words per minute."),
    (TALK, "From 0.5 to 2.6 seconds a female voice says “The meeting starts at nine.” After a "
           "short pause, from 3.1 to 5.2 seconds, it goes on: “Bring 3 copies of the plan.”"),
    (TALK, "One speaker is heard in these 8.0 seconds. The pitch is high, the pace is fast and the "
           "volume is quiet. “Bring 3 copies of the plan,” she says from 3.1 to 5.2 seconds."),
    (TALK, "Calm and quiet, the speaker announces that “the meeting starts at nine” and asks to "
           "“bring 3 copies of the plan”."),
    (TALK, "Speech is heard from 0.5 to 5.2 seconds: “The meeting starts at nine” and then, 0.5 "
           "seconds later, “Bring 3 copies of the plan”. The voice has a high pitch of 221 Hz."),
    (TALK, "The only voice is that of a woman with a fast pace. She says: “The meeting starts at "
           "nine. Bring 3 copies…” There is no music."),
    (QUIET, "Nothing can be heard in this recording of 5 seconds: no speech, no music."),
    (QUIET, "Five seconds of near silence, without any voice or music."),
    (QUIET, "The recording is quiet; no sound stands out in its 5.0 seconds."),
    (QUIET, "No one speaks and no music plays during these 5.0 seconds."),
)  # fmt: skip

"""Tool results -> evidence.

Nothing is added to what the tools say. What they contradict each other on, or are unsure of, is
left out, and `notes` says so. The second step of specification 3.4 ("normalised to one interface").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from moss_audio.annotate.merging.evidence import Evidence, HeardSound, Music, SaidText, joined
from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.metrics.judge import FIELDS
from moss_audio.metrics.mentions import label_key
from moss_audio.result import Word
from moss_audio.tasks.transcribe import segments_from_words
from moss_audio.text import normalize_words, single_line

SPEECH_LABELS = frozenset(
    ("speech", "speaking", "talking", "voice", "voices", "conversation", "narration", "monologue")
)
MUSIC_LABELS = frozenset(("music", "background music", "musical instrument", "song"))
SINGING_LABELS = frozenset(("singing", "vocal music", "singing voice"))
# Two tools that hear the same sound at about the same time heard it once.
SAME_EVENT_IOU = 0.5
_MARKS = str.maketrans(dict.fromkeys('"\u201c\u201d\u201e\u00ab\u00bb', None))


def gather(
    segment: AudioSegment,
    *,
    strong_score: float = 0.5,
    weak_score: float = 0.3,
    flagged: bool = True,
) -> Evidence:
    """The evidence of a segment.

    Args:
        segment: with the results of all branches.
        strong_score: from this score on a finding must be named; without a score it is sure.
        weak_score: below this score an event is no evidence at all.
        flagged: whether words on which recognisers disagree somewhat count (as unsure).
    """
    notes: list[str] = []
    duration = max(0.0, segment.duration_s)
    decision, text = _agreed(segment)
    turns = _turns(segment, duration)
    words = _words(segment, duration) if decision in ("keep", "flag") else ()
    spoken: list[SaidText] = []
    if decision == "drop":
        notes.append("the recognisers disagree: the words are left out")
    elif decision == "flag" and not flagged:
        notes.append("the recognisers disagree in part: the words are left out")
    elif decision:
        spoken = _spoken(segment, text, words, turns, decision == "keep", duration, notes)
    if not spoken:
        words = ()
    sounds, heard = _sounds(segment, duration, strong_score, weak_score, notes)
    sung = _sung(segment, duration)
    fields, measured = _fields(segment)
    activity = _activity(segment, duration, strong_score)
    speech = [(u.start_s, u.end_s) for u in spoken if u.start_s is not None and u.end_s is not None]
    return Evidence(
        duration_s=duration,
        utterances=tuple(sorted([*spoken, *sung], key=_when)),
        words=words,
        decision=decision,
        language=_language(segment) if spoken else None,
        speech=joined(
            speech or [*activity["speech"], *heard["speech"]] or [_pair(t) for t in turns]
        ),
        singing=joined([*activity["singing"], *heard["singing"]]),
        speakers=_speakers(segment, turns),
        turns=turns,
        fields=fields,
        measured=measured,
        sounds=sounds,
        music=_music(segment, duration, [*activity["music"], *heard["music"]], strong_score),
        anchor=_best_text(segment, "anchor"),
        description=_best_text(segment, "description"),
        notes=tuple(dict.fromkeys(notes)),
    )


def clean_label(label: str) -> str:
    """A label as a caption can print it: one line, no quotation marks, no full stop; empty if it
    holds no word."""
    label = single_line(label).translate(_MARKS).strip(" .,;:!?-")
    return " ".join(label.split()) if label_key(label) else ""


def _when(one: SaidText) -> tuple[bool, float]:
    return one.start_s is None, one.start_s or 0.0


def _pair(span: Span) -> tuple[float, float]:
    return span.start_s, span.end_s


def _inside(spans: Iterable[Span], duration: float) -> list[Span]:
    """Spans clipped to the segment; those outside of it go."""
    out = []
    for span in spans:
        start, end = max(0.0, span.start_s), min(duration, span.end_s)
        if end >= start and span.start_s <= duration and span.end_s >= 0:
            out.append(Span(span.label, start, end, span.score, span.attributes))
    return sorted(out, key=lambda s: (s.start_s, s.end_s, s.label))


def _agreed(segment: AudioSegment) -> tuple[str, str]:
    """The decision on the transcript, and its text. A lone recogniser was never contradicted, and
    never confirmed: it is flagged."""
    if agreements := segment.find("agreement"):
        last = agreements[-1]
        decision = str(last.values.get("decision", "drop"))
        return (decision, last.text) if decision in ("keep", "flag") else ("drop", "")
    transcripts = [one for one in segment.find("transcript") if one.text.strip()]
    return ("flag", transcripts[0].text) if transcripts else ("", "")


def _turns(segment: AudioSegment, duration: float) -> tuple[Span, ...]:
    found = segment.find("speakers")
    return tuple(_inside(found[-1].spans, duration)) if found else ()


def _speakers(segment: AudioSegment, turns: Sequence[Span]) -> int | None:
    found = segment.find("speakers")
    if not found:
        return None
    count = found[-1].values.get("count")
    if isinstance(count, int) and not isinstance(count, bool) and count > 0:
        return count
    return len({turn.label for turn in turns}) or None


def _words(segment: AudioSegment, duration: float) -> tuple[Word, ...]:
    found = segment.find("words")
    if not found:
        return ()
    spans = _inside(found[-1].spans, duration)
    words = [Word(single_line(s.label), s.start_s, s.end_s) for s in spans]
    return tuple(word for word in words if word.text)


def _spoken(
    segment: AudioSegment,
    text: str,
    words: tuple[Word, ...],
    turns: Sequence[Span],
    sure: bool,
    duration: float,
    notes: list[str],
) -> list[SaidText]:
    found = segment.find("sentences")
    timed: list[tuple[str, float | None, float | None]] = []
    if found and found[-1].spans:
        timed = [(s.label, s.start_s, s.end_s) for s in _inside(found[-1].spans, duration)]
    elif words:
        timed = [(s.text, s.start, s.end) for s in segments_from_words(words)]
    elif text.strip():
        timed = [(text, None, None)]
    out = []
    for said, start, end in timed:
        said = single_line(said)
        if not normalize_words(said):
            notes.append("a sentence without any word was left out")
            continue
        out.append(SaidText(said, start, end, _speaker(start, end, turns), sure))
    return out


def _speaker(start: float | None, end: float | None, turns: Sequence[Span]) -> str | None:
    """Whose turns cover most of the time; None if nobody's, or two cover it about alike."""
    if start is None or end is None:
        return None
    shares: dict[str, float] = {}
    for turn in turns:
        shared = min(end, turn.end_s) - max(start, turn.start_s)
        if shared > 0:
            shares[turn.label] = shares.get(turn.label, 0.0) + shared
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    if not ranked or (len(ranked) > 1 and ranked[1][1] > 0.8 * ranked[0][1]):
        return None
    return single_line(ranked[0][0]).translate(_MARKS)


def _language(segment: AudioSegment) -> str | None:
    chosen = [one.values.get("chosen") for one in segment.find("agreement")]
    results = sorted(segment.find("transcript"), key=lambda one: one.tool not in chosen)
    for one in results:
        if isinstance(language := one.values.get("language"), str) and language:
            return language.lower()
    return None


def _sung(segment: AudioSegment, duration: float) -> list[SaidText]:
    out = []
    for result in segment.find("lyrics")[-1:]:
        spans = _inside(result.spans, duration)
        parts: list[tuple[str, float | None, float | None]] = [
            (s.label, s.start_s, s.end_s) for s in spans
        ]
        for text, start, end in parts or [(result.text, None, None)]:
            if normalize_words(text):
                out.append(SaidText(single_line(text), start, end, sung=True))
    return out


def _kind_of(label: str) -> str | None:
    name = " ".join(normalize_words(label))
    for kind, names in (
        ("speech", SPEECH_LABELS),
        ("singing", SINGING_LABELS),
        ("music", MUSIC_LABELS),
    ):
        if name in names:
            return kind
    return None


def _activity(
    segment: AudioSegment, duration: float, strong: float
) -> dict[str, list[tuple[float, float]]]:
    out: dict[str, list[tuple[float, float]]] = {"speech": [], "singing": [], "music": []}
    for result in segment.find("activity"):
        for span in _inside(result.spans, duration):
            kind = _kind_of(span.label)
            if kind and (span.score is None or span.score >= strong) and span.end_s > span.start_s:
                out[kind].append(_pair(span))
    return out


def _sounds(
    segment: AudioSegment, duration: float, strong: float, weak: float, notes: list[str]
) -> tuple[tuple[HeardSound, ...], dict[str, list[tuple[float, float]]]]:
    """HeardSound events, each once; and the events that only say speech, singing or music."""
    heard: dict[str, list[tuple[float, float]]] = {"speech": [], "singing": [], "music": []}
    kept: list[HeardSound] = []
    for result in segment.find("events"):
        before = len(kept)  # only another tool hears the same event again
        for span in _inside(result.spans, duration):
            label = clean_label(span.label)
            score = 1.0 if span.score is None else float(span.score)
            if not label:
                notes.append(f"an event without a name was left out ({span.label!r})")
            elif score < weak:
                continue
            elif kind := _kind_of(label):
                if score >= strong:
                    heard[kind].append(_pair(span))
            else:
                sound = HeardSound(label, span.start_s, span.end_s, score, score >= strong)
                _add(kept, sound, before)
    kept.sort(key=lambda s: (s.start_s, s.end_s, s.label))
    return tuple(kept), heard


def _add(kept: list[HeardSound], new: HeardSound, before: int) -> None:
    for index, old in enumerate(kept[:before]):
        shared = min(old.end_s, new.end_s) - max(old.start_s, new.start_s)
        union = max(old.end_s, new.end_s) - min(old.start_s, new.start_s)
        same = shared >= SAME_EVENT_IOU * union if union > 0 else True
        if same and label_key(old.label) == label_key(new.label):
            kept[index] = max(old, new, key=lambda s: s.score)
            return
    kept.append(new)


def _fields(segment: AudioSegment) -> tuple[dict[str, str], dict[str, float]]:
    fields: dict[str, str] = {}
    measured: dict[str, float] = {}
    for result in segment.find("speech_fields"):
        for name in FIELDS:
            value = result.values.get(name)
            if isinstance(value, str) and normalize_words(value):
                fields[name] = single_line(value).translate(_MARKS).strip(" .")
        numbers: Any = result.values.get("measured")
        if isinstance(numbers, Mapping):
            measured |= {
                str(name): float(value)
                for name, value in numbers.items()
                if isinstance(value, int | float) and not isinstance(value, bool)
            }
    return {name: fields[name] for name in FIELDS if name in fields}, measured


def _best(segment: AudioSegment, kind: str, strong: float) -> ToolResult | None:
    found = [one for one in segment.find(kind) if one.score is None or one.score >= strong]
    return max(found, key=lambda one: 1.0 if one.score is None else one.score) if found else None


def _best_text(segment: AudioSegment, kind: str) -> str:
    found = [single_line(one.text) for one in segment.find(kind) if one.text.strip()]
    return found[-1] if found else ""


def _music(
    segment: AudioSegment, duration: float, heard: Sequence[tuple[float, float]], strong: float
) -> Music | None:
    tempo, key = _best(segment, "tempo", strong), _best(segment, "key", strong)
    bpm = tempo.values.get("bpm") if tempo else None
    tonic, mode = (key.values.get("tonic"), key.values.get("mode")) if key else (None, None)
    known = isinstance(tonic, str) and mode in ("major", "minor")

    def last(kind: str) -> list[Span]:
        found = segment.find(kind)
        return _inside(found[-1].spans, duration) if found else []

    instruments = [
        clean_label(s.label) for s in last("instruments") if s.score is None or s.score >= strong
    ]
    chords = [single_line(s.label) for s in last("chords") if s.label not in ("N", "")]
    music = Music(
        spans=joined(heard),
        bpm=float(bpm) if isinstance(bpm, int | float) and bpm > 0 else None,
        tonic=str(tonic) if known else None,
        mode=str(mode) if known else None,
        sections=tuple(last("sections")),
        chords=tuple(dict.fromkeys(chords)),
        dynamics=tuple(last("dynamics")),
        instruments=tuple(dict.fromkeys(name for name in instruments if name)),
    )
    return None if music == Music() else music

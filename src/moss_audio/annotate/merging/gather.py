"""Tool results -> evidence.

Nothing is added to what the tools say. What they contradict each other on, or are unsure of, is
left out, and `notes` says so. The second step of specification 3.4 ("normalised to one interface").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from moss_audio.annotate.merging.evidence import Evidence, HeardSound, Music, SaidText, joined
from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.words import words
from moss_audio.errors import MossAudioError
from moss_audio.metrics.judge import FIELDS
from moss_audio.metrics.mentions import label_key
from moss_audio.result import Word
from moss_audio.tasks.transcribe import segments_from_words
from moss_audio.text import normalize_words, single_line

# Two tools that hear the same sound at about the same time heard it once.
_SAME_EVENT_IOU = 0.5
_OF_MUSIC = ("tempo", "key", "chords", "sections", "dynamics")
_MOSTLY = 0.5  # of a segment
_LEAST_PART_S = 1.0  # of music, when its edge falls into it
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
    return _Gathering(segment, strong_score, weak_score, flagged).evidence()


def in_order(weak_score: float, strong_score: float) -> None:
    """Raises MossAudioError where the weaker bound of scores is the higher one."""
    if weak_score > strong_score:
        raise MossAudioError(f"weak_score {weak_score!r} is above strong_score {strong_score!r}")


class _Gathering:
    """One segment's results on their way to evidence."""

    def __init__(self, segment: AudioSegment, strong: float, weak: float, flagged: bool) -> None:
        self.segment, self.strong, self.weak, self.flagged = segment, strong, weak, flagged
        self.duration = max(0.0, segment.duration_s)
        self.turns = tuple(self._last("speakers"))
        self.notes: list[str] = []
        # When detectors and events say that there is speech, singing, music.
        self.active: dict[str, list[tuple[float, float]]] = {
            name: [] for name in words("activities")
        }

    def evidence(self) -> Evidence:
        decision, text = self._agreed()
        spoken = self._spoken(decision, text)
        self._activity()
        sounds = self._sounds()
        fields, measured = self._fields()
        said = [one.span for one in spoken if one.span]
        speech = said or self.active["speech"] or [_pair(turn) for turn in self.turns]
        return Evidence(
            duration_s=self.duration,
            utterances=tuple(sorted([*spoken, *self._sung()], key=_when)),
            words=self._words() if spoken else (),
            decision=decision,
            language=self._language() if spoken else None,
            speech=joined(speech),
            singing=joined(self.active["singing"]),
            speakers=self._speakers(),
            turns=self.turns,
            fields=fields,
            measured=measured,
            sounds=sounds,
            music=self._music(),
            anchor=self._text("anchor"),
            description=self._text("description"),
            notes=tuple(dict.fromkeys(self.notes)),
        )

    def _last(self, kind: str) -> list[Span]:
        """Spans of the last result of a kind."""
        found = self.segment.last(kind)
        return self._inside(found.spans) if found else []

    def _inside(self, spans: Iterable[Span]) -> list[Span]:
        """Spans in order, clipped to the segment; those outside of it go."""
        out = []
        for span in spans:
            start, end = max(0.0, span.start_s), min(self.duration, span.end_s)
            if end >= start and span.start_s <= self.duration and span.end_s >= 0:
                out.append(replace(span, start_s=start, end_s=end))
        return sorted(out, key=lambda s: (s.start_s, s.end_s, s.label))

    # ------------------------------------------------------------------------------- speech

    def _agreed(self) -> tuple[str, str]:
        """The decision on the transcript, and its text. A lone recogniser was never contradicted,
        and never confirmed: it is flagged."""
        if last := self.segment.last("agreement"):
            decision = str(last.values.get("decision", "drop"))
            return (decision, last.text) if decision in ("keep", "flag") else ("drop", "")
        texts = [one.text for one in self.segment.find("transcript") if one.text.strip()]
        return ("flag", texts[0]) if texts else ("", "")

    def _spoken(self, decision: str, text: str) -> list[SaidText]:
        if decision == "drop" or (decision == "flag" and not self.flagged):
            part = "" if decision == "drop" else " in part"
            self.notes.append(f"the recognisers disagree{part}: the words are left out")
            return []
        if not decision:
            return []
        timed: list[tuple[str, float | None, float | None]]
        found = self.segment.last("sentences")
        if found and found.spans:
            timed = [(s.label, s.start_s, s.end_s) for s in self._last("sentences")]
        elif words := self._words():
            timed = [(s.text, s.start, s.end) for s in segments_from_words(words)]
        else:
            timed = [(text, None, None)] if text.strip() else []
        out = []
        for label, start, end in timed:
            said = single_line(label)
            if normalize_words(said):
                out.append(
                    SaidText(said, start, end, self._speaker(start, end), decision == "keep")
                )
            else:
                self.notes.append("a sentence without any word was left out")
        return out

    def _words(self) -> tuple[Word, ...]:
        words = (Word(single_line(s.label), s.start_s, s.end_s) for s in self._last("words"))
        return tuple(word for word in words if word.text)

    def _sung(self) -> list[SaidText]:
        timed: list[tuple[str, float | None, float | None]]
        timed = [(s.label, s.start_s, s.end_s) for s in self._last("lyrics")]
        timed = timed or [(one.text, None, None) for one in self.segment.find("lyrics")[-1:]]
        return [
            SaidText(single_line(text), start, end, sung=True)
            for text, start, end in timed
            if normalize_words(text)
        ]

    def _speaker(self, start: float | None, end: float | None) -> str | None:
        """Whose turns cover most of the time; None if nobody's, or two cover it about alike."""
        if start is None or end is None:
            return None
        shares: dict[str, float] = {}
        for turn in self.turns:
            shared = min(end, turn.end_s) - max(start, turn.start_s)
            if shared > 0:
                shares[turn.label] = shares.get(turn.label, 0.0) + shared
        ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
        if not ranked or (len(ranked) > 1 and ranked[1][1] > 0.8 * ranked[0][1]):
            return None
        return single_line(ranked[0][0]).translate(_MARKS)

    def _speakers(self) -> int | None:
        found = self.segment.last("speakers")
        count = found.values.get("count") if found else None
        if isinstance(count, int) and not isinstance(count, bool) and count > 0:
            return count
        return len({turn.label for turn in self.turns}) or None

    def _language(self) -> str | None:
        chosen = [one.values.get("chosen") for one in self.segment.find("agreement")]
        for one in sorted(self.segment.find("transcript"), key=lambda one: one.tool not in chosen):
            if isinstance(language := one.values.get("language"), str) and language:
                return language.lower()
        return None

    def _fields(self) -> tuple[dict[str, str], dict[str, float]]:
        fields: dict[str, str] = {}
        measured: dict[str, float] = {}
        for result in self.segment.find("speech_fields"):
            for name in FIELDS:
                value = result.values.get(name)
                if isinstance(value, str) and normalize_words(value):
                    fields[name] = single_line(value).translate(_MARKS).strip(" .")
            numbers: Any = result.values.get("measured")
            for name, value in numbers.items() if isinstance(numbers, Mapping) else ():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    measured[str(name)] = float(value)
        return {name: fields[name] for name in FIELDS if name in fields}, measured

    # -------------------------------------------------------------------- sounds and music

    def _activity(self) -> None:
        """What detectors heard, but for what the events found too disputed or too brief."""
        events = (span for result in self.segment.find("events") for span in result.spans)
        marked = [one for one in events if {"disputed", "brief"} & {*one.attributes}]
        doubted = [one for one in marked if not self._sure(one)]
        for result in self.segment.find("activity"):
            for span in self._inside(result.spans):
                kind = _activity_of(span.label)
                if any(kind == _activity_of(one.label) and _within(span, one) for one in doubted):
                    continue
                if kind and self._sure(span) and span.end_s > span.start_s:
                    self.active[kind].append(_pair(span))

    def _sure(self, one: Span | ToolResult) -> bool:
        return one.score is None or one.score >= self.strong

    def _sounds(self) -> tuple[HeardSound, ...]:
        """Sound events, each once. Those that only say speech, singing or music are activity."""
        kept: list[HeardSound] = []
        for result in self.segment.find("events"):
            before = len(kept)  # only another tool hears the same event again
            for span in self._inside(result.spans):
                label = clean_label(span.label)
                score = 1.0 if span.score is None else float(span.score)
                if not label:
                    self.notes.append(f"an event without a name was left out ({span.label!r})")
                elif score < self.weak:
                    continue
                elif kind := _activity_of(label):
                    if self._sure(span):
                        self.active[kind].append(_pair(span))
                else:
                    sound = HeardSound(label, span.start_s, span.end_s, score, self._sure(span))
                    _add(kept, sound, before)
        return tuple(sorted(kept, key=lambda s: (s.start_s, s.end_s, s.label)))

    def _best(self, kind: str) -> Mapping[str, Any]:
        """Values of the surest result of a kind."""
        found = [one for one in self.segment.find(kind) if self._sure(one)]
        best = max(found, key=lambda one: 1.0 if one.score is None else one.score, default=None)
        return best.values if best else {}

    def _text(self, kind: str) -> str:
        found = [one.text for one in self.segment.find(kind) if one.text.strip()]
        return single_line(found[-1]) if found else ""

    def _listened(self) -> bool:
        """Whether a detector that knows music listened."""
        told = self.segment.find("activity")
        return any(one.values.get("vocabulary") != "sound" for one in told)

    def _sung_mostly(self, sung: tuple[tuple[float, float], ...]) -> bool:
        """Whether singing alone makes a piece of music of the segment."""
        return sum(end - start for start, end in sung) >= _MOSTLY * self.duration > 0

    def _of_music(self, kind: str, spans: tuple[tuple[float, float], ...]) -> Iterator[Span]:
        """What was found of the whole segment, as far as music plays, where that is known."""
        first, end = (spans[0][0], spans[-1][1]) if spans else (0.0, self.duration)
        for span in self._last(kind):
            cut = replace(span, start_s=max(first, span.start_s), end_s=min(end, span.end_s))
            if cut == span or cut.end_s - cut.start_s >= _LEAST_PART_S:
                yield cut

    def _music(self) -> Music | None:
        key = self._best("key")
        bpm, tonic, mode = self._best("tempo").get("bpm"), key.get("tonic"), key.get("mode")
        known = isinstance(tonic, str) and mode in ("major", "minor")
        spans, sung = joined(self.active["music"]), joined(self.active["singing"])
        if not spans and not self._sung_mostly(sung) and self._listened():
            if any(self.segment.find(kind) for kind in _OF_MUSIC):
                self.notes.append("no music is sure: what was measured of it is left out")
            return None
        instruments = [clean_label(s.label) for s in self._last("instruments") if self._sure(s)]
        chords = [single_line(s.label) for s in self._last("chords") if s.label not in ("N", "")]
        music = Music(
            spans=spans,
            bpm=float(bpm) if isinstance(bpm, int | float) and bpm > 0 else None,
            tonic=str(tonic) if known else None,
            mode=str(mode) if known else None,
            sections=tuple(self._of_music("sections", spans or sung)),
            chords=tuple(dict.fromkeys(chords)),
            dynamics=tuple(self._of_music("dynamics", spans or sung)),
            instruments=tuple(dict.fromkeys(name for name in instruments if name)),
        )
        return None if music == Music() else music


def clean_label(label: str) -> str:
    """A label as a caption can print it: one line, no quotation marks, no full stop; empty if it
    holds no word."""
    label = single_line(label).translate(_MARKS).strip(" .,;:!?-")
    return " ".join(label.split()) if label_key(label) else ""


def _when(one: SaidText) -> tuple[bool, float]:
    return one.start_s is None, one.start_s or 0.0


def _pair(span: Span) -> tuple[float, float]:
    return span.start_s, span.end_s


def _within(one: Span, other: Span) -> bool:
    return other.start_s <= one.start_s and one.end_s <= other.end_s


def _activity_of(label: str) -> str | None:
    name = " ".join(normalize_words(label))
    return next((kind for kind, names in words("activities").items() if name in names), None)


def _add(kept: list[HeardSound], new: HeardSound, before: int) -> None:
    for index, old in enumerate(kept[:before]):
        shared = min(old.end_s, new.end_s) - max(old.start_s, new.start_s)
        union = max(old.end_s, new.end_s) - min(old.start_s, new.start_s)
        same = shared >= _SAME_EVENT_IOU * union if union > 0 else True
        if same and label_key(old.label) == label_key(new.label):
            kept[index] = max(old, new, key=lambda s: s.score)
            return
    kept.append(new)

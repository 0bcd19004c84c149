"""Boundaries and profile of the data engine's segments, on long recordings of known truth.

    moss-audio scenes make benchmarks/annotate_scenes.yaml data/annotate-scenes
    python benchmarks/annotate_segment.py data/annotate-scenes --seed 1 --sung 40
    python benchmarks/annotate_segment.py data/scenes --split train --seed 2    what was tuned on

Every clip of the split is used once, in random order, at random levels, with random pauses, over
a faint noise that goes on throughout. In every second recording a louder steady noise lasts for
more than a minute, over several scenes: it must not stop the cutting. With `--crowded` the
clips lie in two layers, and sound over each other. Known events are the sentences, sounds and
pieces of music of the scenes, and the phrases that `--sung` adds. An event is cut if a boundary
lies inside it, however close to its edge.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from annotate_singing import VOICES, sing

from moss_audio.annotate.classes import coarse_classes
from moss_audio.annotate.profile import ProfileConfig, ProfileStage
from moss_audio.annotate.records import AudioSegment, Recording
from moss_audio.annotate.segment import SegmentConfig, Segmenter, levels
from moss_audio.errors import MossAudioError
from moss_audio.metrics.counts import ratio
from moss_audio.result import Event
from moss_audio.scenes.reader import Scene, load_scenes
from moss_audio.units import SAMPLE_RATE

PIECE_S = (
    3.0  # an instrument that plays for so long makes a segment music; a shorter note is a sound
)
HEARD_S = 0.1  # of an event inside a segment
CLASSES = ("speech", "singing", "music", "other")


@dataclass(frozen=True)
class Known:
    """A recording with the events in it."""

    samples: np.ndarray
    events: tuple[Event, ...]

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True)
class Clip:
    """What recordings are made of: sound, read when it is asked for, and its events."""

    samples: Callable[[], np.ndarray]  # float32
    events: tuple[Event, ...]


def clip_of(scene: Scene) -> Clip:
    """A composed scene; its sentences are events."""
    events = [Event(e.label, e.start, e.end) for e in scene.events]
    events += [Event("speech", s.start, s.end) for s in scene.sentences]
    return Clip(lambda: scene.samples().astype(np.float32) / 32768, tuple(events))


def sung(count: int, rng: np.random.Generator) -> list[Clip]:
    """Sung phrases, of each voice as many."""
    out = []
    for number in range(count):
        samples = sing(rng, VOICES[number % len(VOICES)])
        event = Event("singing", 0.0, len(samples) / SAMPLE_RATE)
        out.append(Clip(lambda samples=samples: samples, (event,)))  # type: ignore[misc]
    return out


def compose(clips: Sequence[Clip], rng: np.random.Generator, minutes: float) -> list[Known]:
    """Recordings of about `minutes` of all clips, each once."""
    out: list[Known] = []
    parts: list[np.ndarray] = []
    events: list[Event] = []
    at = 0
    order = [clips[i] for i in rng.permutation(len(clips))]
    for number, clip in enumerate(order):
        pause = int(SAMPLE_RATE * min(6.0, 0.15 + rng.exponential(1.2)))
        parts.append(np.zeros(pause, np.float32))
        at += pause
        sound = clip.samples() * np.float32(10 ** (rng.uniform(-8, 2) / 20))
        ramp = min(len(sound) // 2, SAMPLE_RATE // 50)  # 20 ms: a clip's own noise has no click
        sound[:ramp] *= np.linspace(0, 1, ramp, dtype=np.float32)
        sound[len(sound) - ramp :] *= np.linspace(1, 0, ramp, dtype=np.float32)
        events += [e.shifted(at / SAMPLE_RATE) for e in clip.events]
        parts.append(sound)
        at += len(sound)
        if at >= minutes * 60 * SAMPLE_RATE or number == len(order) - 1:
            samples = np.concatenate(parts) + _noise(at, rng) * 10 ** (rng.uniform(-75, -55) / 20)
            if len(out) % 2:
                _lay_under(samples, rng)
            out.append(Known(samples, tuple(events)))
            parts, events, at = [], [], 0
    return [_finished(known) for known in out]


def crowded(clips: Sequence[Clip], rng: np.random.Generator, minutes: float) -> list[Known]:
    """Like `compose`, with every clip in one of two layers that sound together."""
    order = [clips[i] for i in rng.permutation(len(clips))]
    layers = [compose(order[k::2], rng, minutes) for k in range(2)]
    out = []
    for one, two in zip(*layers, strict=False):
        samples = np.zeros(max(len(one.samples), len(two.samples)), np.float32)
        samples[: len(one.samples)] += one.samples
        samples[: len(two.samples)] += two.samples
        out.append(_finished(Known(samples, one.events + two.events)))
    return out


def _finished(known: Known) -> Known:
    events = sorted(known.events, key=lambda e: (e.start, e.end, e.label))
    return Known(np.clip(known.samples, -1, 1).astype(np.float32), tuple(events))


def _noise(n: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of RMS one, falling by about 3 dB an octave."""
    white = rng.standard_normal(n).astype(np.float32)
    out = white + 2 * np.convolve(white, np.full(16, 1 / 16, np.float32), "same")
    return (out / np.sqrt(np.mean(out**2))).astype(np.float32)


def _lay_under(samples: np.ndarray, rng: np.random.Generator) -> None:
    """A steady noise of 65 to 120 s somewhere, which begins and ends within half a second."""
    length = min(len(samples), int(SAMPLE_RATE * rng.uniform(65, 120)))
    start = int(rng.integers(0, len(samples) - length + 1))
    bed = _noise(length, rng) * 10 ** (rng.uniform(-45, -38) / 20)
    ramp = SAMPLE_RATE // 2
    bed[:ramp] *= np.linspace(0, 1, ramp, dtype=np.float32)
    bed[-ramp:] *= np.linspace(1, 0, ramp, dtype=np.float32)
    samples[start : start + length] += bed


def fixed(known: Known, length_s: float) -> list[float]:
    """Boundaries of windows of one length."""
    return [*np.arange(0, known.duration_s, length_s).tolist(), known.duration_s]


def at_silences(known: Known, config: SegmentConfig) -> list[float]:
    """The usual way: silence is what lies 40 dB below the loudest for 0.3 s; cut in the last
    silence that keeps the longest length, else at that length."""
    level = levels(known.samples)
    quiet = level < level.max() - 40
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
    pauses = [(a + b) / 200 for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= 30]
    out = [0.0]
    while known.duration_s - out[-1] > config.longest_s:
        low, high = out[-1] + config.shortest_s, out[-1] + config.longest_s
        inside = [p for p in pauses if low <= p <= high]
        out.append(inside[-1] if inside else high)
    return [*out, known.duration_s]


def cut_events(known: Known, edges: Sequence[float]) -> list[Event]:
    """Events that have a boundary inside."""
    inner = np.array(edges[1:-1])
    return [e for e in known.events if np.any((inner > e.start) & (inner < e.end))]


def truth(known: Known, segment: AudioSegment, piece_s: float) -> set[str]:
    """Which of speech, music and other sounds a segment holds."""
    found = set()
    for event in known.events:
        inside = min(event.end, segment.end_s) - max(event.start, segment.start_s)
        if inside < min(HEARD_S, 0.5 * (event.end - event.start)):
            continue
        if event.label in ("speech", "singing"):
            found.add(event.label)
        elif "music" in coarse_classes(event.label, "text") and inside >= piece_s:
            found.add("music")
        else:
            found.add("other")
    return found


def heard(segment: AudioSegment) -> set[str]:
    """What the profile says, at one half; every class beside the three is another sound."""
    named = {"speech", "singing", "music"}
    return {name if name in named else "other" for name, p in segment.profile.items() if p >= 0.5}


def f1_row(
    pairs: Sequence[tuple[set[str], set[str]]], name: str
) -> tuple[int, float, float, float]:
    """Segments that truly hold the class; precision, recall, F1."""
    hits = sum(name in t and name in h for t, h in pairs)
    real, said = (sum(name in pair[k] for pair in pairs) for k in (0, 1))
    f1 = 2 * hits / (real + said) if real + said else 1.0
    return real, ratio(hits, said) or 0.0, ratio(hits, real) or 0.0, f1


def cut_all(
    recordings: Sequence[Known], config: SegmentConfig
) -> tuple[list[list[AudioSegment]], float]:
    """The segments of each recording, and the processor seconds that cutting all took."""
    segmenter = Segmenter(config)
    segmenter.setup()
    began = time.process_time()
    segments = [
        segmenter.segment(Recording(f"r{i:03d}", "", k.duration_s, SAMPLE_RATE, 1), k.samples)
        for i, k in enumerate(recordings)
    ]
    return segments, time.process_time() - began


def main() -> int:
    """Compose, cut, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", nargs="+", help="folders of scenes")
    parser.add_argument("--split", default="test-unseen")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=8.0, help="of a recording (default: 8)")
    parser.add_argument("--most-minutes", type=float, default=0, help="of scenes; 0: all")
    parser.add_argument("--sung", type=int, default=0, help="add so many phrases sung by festival")
    parser.add_argument("--crowded", action="store_true", help="two layers that sound together")
    parser.add_argument("--show-cut", action="store_true", help="list the events that ours cuts")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    try:
        scenes = [s for folder in given.scenes for s in load_scenes(folder, given.split)]
    except MossAudioError as error:
        parser.error(str(error))
    if given.most_minutes:
        kept, total = [], 0.0
        for index in rng.permutation(len(scenes)):
            if total < given.most_minutes * 60:
                kept.append(scenes[index])
                total += scenes[index].duration_s
        scenes = kept
    clips = [clip_of(scene) for scene in scenes] + sung(given.sung, rng)
    recordings = (crowded if given.crowded else compose)(clips, rng, given.minutes)
    n_events = sum(len(k.events) for k in recordings)
    hours = sum(k.duration_s for k in recordings) / 3600
    print(
        f"{len(clips)} clips of {given.split}: {len(recordings)} recordings, {hours:.2f} h, "
        f"{n_events} known events"
    )
    config = SegmentConfig()
    ours, spent = cut_all(recordings, config)
    ways = {
        "at event boundaries": [[0.0, *(s.end_s for s in one)] for one in ours],
        "every 10 s": [fixed(k, 10.0) for k in recordings],
        "every 30 s": [fixed(k, 30.0) for k in recordings],
        "at silences": [at_silences(k, config) for k in recordings],
    }
    print("\n| cut | segments | median s | events cut | share | within bounds |")
    print("|---|---|---|---|---|---|")
    for way, edges in ways.items():
        lengths = np.concatenate([np.diff(e) for e in edges])
        cut = sum(len(cut_events(k, e)) for k, e in zip(recordings, edges, strict=True))
        within = np.mean(
            (lengths >= config.shortest_s - 1e-3) & (lengths <= config.longest_s + 1e-3)
        )
        print(
            f"| {way} | {len(lengths)} | {np.median(lengths):.1f} | {cut} | {cut / n_events:.2%} | "
            f"{within:.1%} |"
        )
    if given.show_cut:
        for known, cuts in zip(recordings, ways["at event boundaries"], strict=True):
            for event in cut_events(known, cuts):
                at = next(e for e in cuts if event.start < e < event.end)
                print(f"  {event.label}: {event.start:.2f} - {event.end:.2f}, cut at {at:.2f}")
    flagged = sum(bool(s.flags) for one in ours for s in one)
    print(f"\n{flagged} flagged; {hours * 3600 / spent:.0f} h of sound an hour of one core")
    stage = ProfileStage(ProfileConfig())
    profiled = [[replace(s, profile=stage.profile(s.results)) for s in one] for one in ours]
    for piece_s, what in ((PIECE_S, f"music: {PIECE_S:g} s of an instrument"), (0.0, "any note")):
        pairs = [
            (truth(k, s, piece_s), heard(s))
            for k, one in zip(recordings, profiled, strict=True)
            for s in one
        ]
        print(f"\n| class ({what}) | segments | precision | recall | F1 |\n|---|---|---|---|---|")
        f1s = []
        for name in CLASSES:
            real, precision, recall, f1 = f1_row(pairs, name)
            if real:
                f1s.append(f1)
                print(f"| {name} | {real} | {precision:.3f} | {recall:.3f} | {f1:.3f} |")
            else:
                wrong = sum(name in h for _, h in pairs)
                print(f"| {name} | 0 | said of {wrong} segments | | not measured |")
        print(f"| mean of {len(f1s)} | {len(pairs)} | | | {np.mean(f1s):.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

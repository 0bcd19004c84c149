"""Scores of simple music whose tempo, key, meter, instruments and form are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from moss_audio.scenes.records import MusicFacts, MusicSection

# General MIDI program numbers, from 0.
INSTRUMENTS = {
    "piano": 0, "electric piano": 4, "music box": 10, "marimba": 12, "organ": 19, "accordion": 21,
    "guitar": 24, "violin": 40, "cello": 42, "harp": 46, "strings": 48, "choir": 52, "trumpet": 56,
    "saxophone": 65, "clarinet": 71, "flute": 73,
}  # fmt: skip
TEMPOS = {"slow": (58, 84), "medium": (94, 124), "fast": (140, 180)}
KEYS = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
PROGRESSIONS = ((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 5, 3), (0, 3, 0, 4), (0, 5, 1, 4))
# A letter a section; equal letters have the same chords and the same tune.
FORMS = ("AABA", "ABAB", "ABA", "AABB", "ABAC", "ABACA", "AAB")
SHORTEST_FORM_S, LONGEST_FORM_S = 30.0, 90.0
DRUM_CHANNEL = 9  # General MIDI's
_BASS = 32  # acoustic bass
_KICK, _SNARE, _HI_HAT = 36, 38, 42  # General MIDI's keys of the drum channel
# Part -> the key its degree 0 is played on, and how loud it is, in a piece with a form.
_PARTS = {"melody": (60, 98), "chord": (48, 56), "bass": (36, 74)}


@dataclass(frozen=True)
class Note:
    """One note: seconds, MIDI channel, key and velocity."""

    start: float
    end: float
    channel: int
    key: int
    velocity: int


@dataclass(frozen=True)
class MusicScore:
    """What is true of a piece, its notes, and the General MIDI program of each channel."""

    facts: MusicFacts
    notes: tuple[Note, ...]
    programs: dict[int, int]
    seconds: float


@dataclass(frozen=True)
class MusicKey:
    """A tonic, in semitones above C, and a mode of `SCALES`."""

    tonic: int
    mode: str

    def pitch(self, degree: int, base: int = 0) -> int:
        """The MIDI key of a degree of the scale, from 0, above the C that `base` is."""
        return base + self.tonic + SCALES[self.mode][degree % 7] + 12 * (degree // 7)


def compose_piece(rng: np.random.Generator, seconds: float) -> MusicScore:
    """Melody, chords and perhaps drums of about `seconds`, one instrument throughout."""
    instrument = list(INSTRUMENTS)[int(rng.integers(len(INSTRUMENTS)))]
    facts, key, beats = _setting(rng, instrument, drums_share=0.3)
    beat_s = 60.0 / facts.tempo_bpm
    progression = PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))]

    def first(root: int) -> int:
        return _chord_tone(rng, root)

    notes: list[Note] = []
    bar, t = 0, 0.0
    while t < seconds - beats * beat_s * 0.5:
        root = progression[bar % 4]
        chord_end = t + beats * beat_s * 0.95
        notes += [Note(t, chord_end, 1, key.pitch(root + d, 48), 62) for d in (0, 2, 4)]
        for at, length, degree in walk(rng, beats, (0.5, 1.0, 1.0, 2.0), root, first, 5, 14):
            start = t + at * beat_s
            end = start + length * beat_s * 0.92
            notes.append(Note(start, end, 0, key.pitch(degree, 60), 95))
        if facts.drums:
            notes += _drums(t, beats, beats, beat_s)
        t += beats * beat_s
        bar += 1
    program = INSTRUMENTS[instrument]
    return MusicScore(facts, tuple(notes), {0: program, 1: program}, seconds)


def compose_form(rng: np.random.Generator, seconds: float) -> MusicScore:
    """A piece of about `seconds`, made of whole sections that come back, such as A A B A."""
    facts, key, beats = _setting(rng, "", drums_share=0.4)
    form = FORMS[int(rng.integers(len(FORMS)))]
    names = list(INSTRUMENTS)
    lead, chords, second = (names[i] for i in rng.choice(len(names), 3, replace=False))
    bpm, bar_s = facts.tempo_bpm, beats * 60.0 / facts.tempo_bpm
    # Whole phrases of four bars; the piece comes out as near to `seconds` as they allow.
    bars = 4 * max(1, round(seconds / (len(form) * 4 * bar_s)))
    letters = sorted(set(form))
    progressions = rng.permutation(len(PROGRESSIONS))
    themes = {
        letter: _theme(rng, bars, beats, PROGRESSIONS[int(progressions[i])], letter != "A")
        for i, letter in enumerate(letters)
    }
    notes: list[Note] = []
    sections = []
    for index, letter in enumerate(form):
        at, end = index * bars * bar_s, (index + 1) * bars * bar_s
        sections.append(MusicSection(letter, at, end, lead if letter == "A" else second))
        channels = {"melody": 0 if letter == "A" else 2, "chord": 1, "bass": 3}
        for start, length, degree, part in themes[letter]:
            base, velocity = _PARTS[part]
            begin = at + start * 60.0 / bpm
            stop = begin + length * 60.0 / bpm
            notes.append(Note(begin, stop, channels[part], key.pitch(degree, base), velocity))
        if facts.drums:
            notes += _drums(at, bars * beats, beats, 60.0 / bpm)
    heard = [lead, chords, *([second] if len(letters) > 1 else []), "bass"]
    heard += ["drums"] if facts.drums else []
    facts = replace(
        facts,
        instrument=lead,
        form=" ".join(form),
        sections=tuple(sections),
        instruments=tuple(heard),
    )
    programs = {0: INSTRUMENTS[lead], 1: INSTRUMENTS[chords], 2: INSTRUMENTS[second], 3: _BASS}
    return MusicScore(facts, tuple(notes), programs, sections[-1].end + 0.4)


def walk(
    rng: np.random.Generator,
    beats: int,
    steps: tuple[float, ...],
    root: int,
    first: Callable[[int], int],
    lowest: int,
    highest: int,
) -> Iterator[tuple[float, float, int]]:
    """A bar of melody that moves by up to two degrees: start and length in beats, and degree.

    Lengths are drawn from `steps`; `first` gives the degree of the first beat over the bar's root.
    """
    at, degree = 0.0, 0
    while at < beats:
        length = min(float(rng.choice(steps)), beats - at)
        if at == 0:
            degree = first(root)
        else:
            degree = int(np.clip(degree + rng.integers(-2, 3), lowest, highest))
        yield at, length, degree
        at += length


def _setting(
    rng: np.random.Generator, instrument: str, drums_share: float
) -> tuple[MusicFacts, MusicKey, int]:
    """The facts of a piece, its key, and its beats a bar."""
    tempo = list(TEMPOS)[int(rng.integers(3))]
    bpm = int(rng.integers(TEMPOS[tempo][0], TEMPOS[tempo][1] + 1))
    key = MusicKey(int(rng.integers(12)), "major" if rng.random() < 0.5 else "minor")
    beats = 4 if rng.random() < 0.7 else 3
    drums = bool(rng.random() < drums_share)
    name = f"{KEYS[key.tonic]} {key.mode}"
    return MusicFacts(instrument, tempo, bpm, name, f"{beats}/4", drums), key, beats


def _chord_tone(rng: np.random.Generator, root: int) -> int:
    return root + 7 + int(rng.choice((0, 2, 4)))


def _theme(
    rng: np.random.Generator, bars: int, beats: int, progression: tuple[int, ...], high: bool
) -> list[tuple[float, float, int, str]]:
    """(start and length in beats, degree of the scale, part) of one section's notes."""
    steps, lowest, highest = ((0.5, 0.5, 1.0), 6, 15) if high else ((1.0, 1.0, 2.0), 4, 12)

    def first(root: int) -> int:
        degree = _chord_tone(rng, root)
        rng.integers(-2, 3)  # drawn and not used: pieces stay as they have always been
        return int(np.clip(degree, lowest, highest))

    out: list[tuple[float, float, int, str]] = []
    for bar in range(bars):
        root, t = progression[bar % 4], float(bar * beats)
        out += [(t, beats * 0.95, root + d, "chord") for d in (0, 2, 4)]
        out.append((t, beats * 0.9, root, "bass"))
        tune = walk(rng, beats, steps, root, first, lowest, highest)
        out += [(t + at, length * 0.92, degree, "melody") for at, length, degree in tune]
    return out


def _drums(at: float, count: int, beats: int, beat_s: float) -> list[Note]:
    """`count` beats from `at` seconds on: bass and snare drum in turn, a hi-hat twice a beat."""
    out = []
    for b in range(count):
        start = at + b * beat_s
        drum = _KICK if b % beats % 2 == 0 else _SNARE
        out.append(Note(start, start + 0.1, DRUM_CHANNEL, drum, 90))
        for half in (start + 0.0 * beat_s, start + 0.5 * beat_s):
            out.append(Note(half, half + 0.1, DRUM_CHANNEL, _HI_HAT, 60))
    return out

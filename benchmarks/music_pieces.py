"""Pieces of music whose tempo, key, chords and form are known, for `annotate_music.py`.

A generator of its own, unlike the composed scenes': every key and the whole range of tempos come
evenly, sections differ in chords, instruments, pattern, register and loudness, and the playing
is a little uneven, as a person's is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moss_audio.scenes.music import DRUM_CHANNEL, INSTRUMENTS, MusicKey, Note, walk

SLOWEST_BPM, FASTEST_BPM = 60.0, 180.0
SHORTEST_SECTION_S, LONGEST_SECTION_S = 8.0, 20.0
FORMS = ("ABAB", "AABA", "ABAC", "ABCA", "AABB", "ABA", "ABCB")
PITCH_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
# Degrees of the scale, from 0. In minor a fifth degree has its major third three times of four.
_PROGRESSIONS = {
    "major": ((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 5, 3), (0, 5, 1, 4), (3, 4, 2, 5), (0, 2, 3, 4)),
    "minor": ((0, 3, 4, 0), (0, 5, 2, 6), (0, 6, 5, 4), (0, 5, 3, 4), (5, 6, 0, 0), (0, 2, 3, 4)),
}
_LEADS = ("piano", "violin", "trumpet", "saxophone", "clarinet", "flute", "music box", "choir")
_CHORDS = ("piano", "electric piano", "organ", "accordion", "guitar", "harp", "strings", "marimba")
_BASSES = (32, 33, 38)  # General MIDI: acoustic, fingered and synthetic bass
_BASS_CHANNEL = 8
_JITTER_S = 0.008  # standard deviation of when a note is played


@dataclass(frozen=True)
class Part:
    """A stretch of a piece: a section's letter or a chord such as "C:maj"."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Piece:
    """What is true of a piece, and how it is played."""

    bpm: float
    tonic: str
    mode: str
    beats_per_bar: int
    form: str
    sections: tuple[Part, ...]
    chords: tuple[Part, ...]
    beats_s: tuple[float, ...]
    notes: tuple[Note, ...]
    programs: dict[int, int]  # MIDI channel -> General MIDI program
    duration_s: float


@dataclass(frozen=True)
class _Style:
    """How one letter of the form sounds."""

    progression: tuple[int, ...]
    lead_channel: int
    chord_channel: int
    pattern: str
    steps: tuple[float, ...]  # lengths of the tune's notes, in beats
    octave: int
    drums: str
    loudness: float


def compose(seed: int, count: int) -> list[Piece]:
    """`count` pieces; the same seed gives the same pieces."""
    rng = np.random.default_rng([seed, count])
    keys = np.concatenate([rng.permutation(24) for _ in range(-(-count // 24))])[:count]
    strata = (rng.permutation(count) + rng.random(count)) / count
    tempos = SLOWEST_BPM + (FASTEST_BPM - SLOWEST_BPM) * strata
    return [
        _compose_one(np.random.default_rng([seed, count, i]), int(keys[i]), float(tempos[i]))
        for i in range(count)
    ]


def _compose_one(rng: np.random.Generator, key: int, bpm: float) -> Piece:
    tonic, mode = key % 12, ("major", "minor")[key // 12]
    own_key = MusicKey(tonic, mode)
    meter = 4 if rng.random() < 0.7 else 3
    beat_s = 60.0 / bpm
    lengths = [
        bars
        for bars in range(2, 25, 2)
        if SHORTEST_SECTION_S <= bars * meter * beat_s <= LONGEST_SECTION_S
    ]
    bars = int(rng.choice([n for n in lengths if n % 4 == 0] or lengths))
    form = str(rng.choice(FORMS))
    styles, programs = _styles(rng, sorted(set(form)), mode)
    themes = {letter: _theme(rng, style, bars, meter, own_key) for letter, style in styles.items()}
    notes: list[Note] = []
    sections, chords = [], []
    for index, letter in enumerate(form):
        first = index * bars * meter  # beats before this section
        sections.append(
            Part(letter, first * beat_s, (first + bars * meter) * beat_s),
        )
        for bar in range(bars):
            degree = styles[letter].progression[bar % 4]
            at = first + bar * meter
            pitches = _triad(degree, own_key)
            third = (pitches[1] - pitches[0]) % 12
            fifth = (pitches[2] - pitches[0]) % 12
            quality = "maj" if third == 4 else ("min" if fifth == 7 else "dim")
            name = f"{PITCH_NAMES[pitches[0] % 12]}:{quality}"
            chords.append(Part(name, at * beat_s, (at + meter) * beat_s))
        for offset, length, channel, pitch, loud in themes[letter]:
            begin = (first + offset) * beat_s + rng.normal(0, _JITTER_S)
            velocity = int(np.clip(loud * styles[letter].loudness + rng.normal(0, 5), 20, 120))
            begin = max(0.0, begin)
            notes.append(Note(begin, begin + length * beat_s * 0.93, channel, pitch, velocity))
        notes += _drums(rng, styles[letter].drums, first, bars, meter, beat_s)
    total = len(form) * bars * meter
    return Piece(
        bpm, PITCH_NAMES[tonic], mode, meter, form, tuple(sections), tuple(chords),
        tuple(i * beat_s for i in range(total)), tuple(notes), programs, total * beat_s + 1.0,
    )  # fmt: skip


def _styles(
    rng: np.random.Generator, letters: list[str], mode: str
) -> tuple[dict[str, _Style], dict[int, int]]:
    """A style a letter, no two with the same chords or instruments; channel -> program."""
    progressions = rng.permutation(len(_PROGRESSIONS[mode]))
    leads, chords = rng.permutation(len(_LEADS)), rng.permutation(len(_CHORDS))
    patterns = rng.permutation(["block", "arpeggio", "beats"])
    drums = rng.permutation(["rock", "light", "none"]) if rng.random() < 0.6 else ["none"] * 3
    programs = {_BASS_CHANNEL: int(rng.choice(_BASSES))}
    styles = {}
    for i, letter in enumerate(letters):
        programs[2 * i] = INSTRUMENTS[_LEADS[leads[i]]]
        programs[2 * i + 1] = INSTRUMENTS[_CHORDS[chords[i]]]
        fast = bool(rng.random() < 0.5)
        styles[letter] = _Style(
            _PROGRESSIONS[mode][int(progressions[i])],
            2 * i,
            2 * i + 1,
            str(patterns[i]),
            (0.5, 0.5, 1.0) if fast else (1.0, 1.0, 2.0),
            int(rng.integers(0, 2)),
            str(drums[i]),
            float(rng.choice((0.75, 0.9, 1.05))),
        )
    return styles, programs


def _triad(degree: int, key: MusicKey) -> list[int]:
    """Root, third and fifth; the dominant of a minor key is major."""
    pitches = [key.pitch(degree + d) for d in (0, 2, 4)]
    if key.mode == "minor" and degree == 4:
        pitches[1] += 1
    return pitches


def _theme(
    rng: np.random.Generator, style: _Style, bars: int, meter: int, key: MusicKey
) -> list[tuple[float, float, int, int, float]]:
    """(beat, length in beats, channel, pitch, velocity) of a section's tune, chords and bass."""
    out: list[tuple[float, float, int, int, float]] = []
    degree = 7

    def nearest(root: int) -> int:
        """The first beat of a bar is a note of its chord."""
        return min((root + d for d in (0, 2, 4, 7, 9)), key=lambda d: abs(d - degree))

    for bar in range(bars):
        root, first = style.progression[bar % 4], bar * meter
        triad = _triad(root, key)
        for at, step, degree in walk(rng, meter, style.steps, root, nearest, 2, 13):
            pitch = key.pitch(degree)
            if (pitch - triad[1]) % 12 == 11:  # no minor third against a major chord
                pitch += 1
            out.append((first + at, step, style.lead_channel, 60 + 12 * style.octave + pitch, 98))
        if style.pattern == "block":
            out += [(first, meter, style.chord_channel, 48 + p, 64) for p in triad]
        elif style.pattern == "beats":
            out += [
                (first + b, 0.6, style.chord_channel, 48 + p, 66)
                for b in range(1, meter)
                for p in triad
            ]
        else:
            order = (0, 1, 2, 1)
            out += [
                (first + h / 2, 0.6, style.chord_channel, 48 + triad[order[h % 4]], 74)
                for h in range(2 * meter)
            ]
        out.append((first, meter * 0.6, _BASS_CHANNEL, 36 + triad[0], 84))
        if style.pattern != "block":
            out.append((first + meter // 2, 0.9, _BASS_CHANNEL, 36 + triad[0], 72))
    return out


def _drums(
    rng: np.random.Generator, kind: str, first: int, bars: int, meter: int, beat_s: float
) -> list[Note]:
    """Bass and snare drum with a hi-hat, a hi-hat alone, or nothing."""
    hits: list[tuple[float, int, int]] = []
    for beat in range(bars * meter if kind != "none" else 0):
        at = first + beat
        hits.append((at, 42, 55))
        if kind == "rock":
            hits.append((at + 0.5, 42, 45))
            strong = beat % meter == 0 or (meter == 4 and beat % meter == 2)
            hits.append((at, 36 if strong else 38, 88))
    out = []
    for when, key, velocity in hits:
        begin = max(0.0, when * beat_s + rng.normal(0, _JITTER_S))
        out.append(Note(begin, begin + 0.1, DRUM_CHANNEL, key, velocity))
    return out

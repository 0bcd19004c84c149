"""The music branch on rendered pieces of known tempo, key, chords and form.

    python benchmarks/annotate_music.py --pieces 60 --seed 7

Needs Debian's libfluidsynth3 and fluid-soundfont-gm, and the packages mir_eval and librosa. The
pieces are those of `music_pieces.py`, or with `--source scenes` the longer pieces that composed
scenes have. Renders are kept in the system's temporary folder. Defaults of the tools were chosen
on seeds from 101 on: report others.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from music_pieces import PITCH_NAMES, Part, Piece, compose

AIMS = {"tempo, octave-tolerant": 0.85, "key, mir_eval score": 0.7, "boundaries, F1 at 3 s": 0.5}
_TEMPO_TOLERANCE = 0.04
_BOUNDARY_S = 3.0


@dataclass(frozen=True)
class Scores:
    """Of one piece: name -> value from 0 to 1, NaN where there is nothing to compare; what was
    found, in words; its length and the seconds of one core that it took."""

    values: dict[str, float]
    line: str
    duration_s: float
    took_s: float


def main() -> int:
    """Render, annotate, compare, print; 1 where an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pieces", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--source", choices=("own", "scenes"), default="own")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="a line a piece")
    given = parser.parse_args()
    make = pieces_of_scenes if given.source == "scenes" else compose
    pieces = make(given.seed, given.pieces)
    folder = Path(tempfile.gettempdir()) / "moss-audio-music-pieces"
    name = f"{given.source}-{given.seed}-{given.pieces}"
    _render_missing(pieces, folder, name)
    work = partial(score_piece, folder=folder, name=name)
    if given.workers > 1:
        with ProcessPoolExecutor(given.workers) as pool:
            scores = list(pool.map(work, range(len(pieces)), pieces, chunksize=4))
    else:
        scores = [work(i, piece) for i, piece in enumerate(pieces)]
    if given.verbose:
        print("\n".join(one.line for one in scores))
    return report(scores, f"{given.pieces} pieces of seed {given.seed} ({given.source})")


def report(scores: list[Scores], title: str) -> int:
    """A table of the means; 1 where an aim is missed."""
    print(f"{title}, {sum(one.duration_s for one in scores) / 60:.0f} minutes")
    print(f"{'':34s}  mean   aim")
    missed = False
    for name in scores[0].values:
        known = [one.values[name] for one in scores if not np.isnan(one.values[name])]
        mean = float(np.mean(known)) if known else float("nan")
        aim = AIMS.get(name)
        missed |= aim is not None and mean < aim
        print(f"{name:34s} {mean:5.3f}  {'' if aim is None else aim}")
    took = sum(one.took_s for one in scores[1:])
    if took:
        heard = sum(one.duration_s for one in scores[1:])
        print(f"{'audio seconds a second and core':34s} {heard / took:5.0f}")
    return int(missed)


def score_piece(index: int, piece: Piece, folder: Path, name: str) -> Scores:
    """Annotates one rendered piece as the data engine would, and compares."""
    from moss_audio.annotate.branches.music import music_branch
    from moss_audio.annotate.records import AudioSegment, Recording
    from moss_audio.annotate.stage import StageItem

    samples = np.load(_path(folder, name, index))
    recording = Recording(f"piece-{index}", "", piece.duration_s, 16_000, 1)
    segment = AudioSegment(
        f"piece-{index}", recording, 0.0, samples.size / 16_000, profile={"music": 1.0}
    )
    stage = music_branch()
    stage.setup()
    began = time.process_time()
    [found] = stage.process_batch([StageItem(segment, lambda: samples)])
    took_s = time.process_time() - began
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="mir_eval")  # of pieces without a boundary
        values = compare(piece, found)
    tempo, key, form = found.find("tempo"), found.find("key"), found.find("sections")
    line = (
        f"{index:3d} {piece.bpm:6.1f} "
        f"{tempo[0].values['bpm'] if tempo else 0:6.1f} ({tempo[0].score if tempo else 0:.2f})  "
        f"{piece.tonic + ' ' + piece.mode:9s} "
        f"{key[0].values['tonic'] + ' ' + key[0].values['mode'] if key else '-':9s} "
        f"({key[0].score if key else 0:.2f})  {piece.form:6s} {form[0].values['form']:14s} "
        f"F {values['boundaries, F1 at 3 s']:.2f}"
    )
    return Scores(values, line, segment.duration_s, took_s)


def compare(piece: Piece, found) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """All figures of one annotated segment. A result that is missing counts as wrong."""
    import mir_eval

    tempo, key = found.find("tempo"), found.find("key")
    bpm = tempo[0].values["bpm"] if tempo else 0.0
    beats_s = np.array([span.start_s for span in tempo[0].spans]) if tempo else np.zeros(0)
    named = f"{key[0].values['tonic']} {key[0].values['mode']}" if key else "X"
    true_key = f"{piece.tonic} {piece.mode}"
    sections = found.find("sections")[0].spans
    truth = piece.sections
    ref, est = _intervals(truth), np.array([[s.start_s, s.end_s] for s in sections])
    ref[-1, 1] = est[-1, 1]  # the last chord rings out
    detected = partial(mir_eval.segment.detection, window=_BOUNDARY_S, trim=True)
    precision, recall, f1 = detected(ref, est)
    every_15_s = np.array([*np.arange(0.0, ref[-1, 1] - 5.0, 15.0), ref[-1, 1]])
    merged = _intervals(_without_repeats(truth))
    merged[-1, 1] = est[-1, 1]
    pairwise = mir_eval.segment.pairwise(
        ref, [part.label for part in truth], est, [span.label for span in sections]
    )
    return {
        "tempo, octave-tolerant": _tempo_right(bpm, piece.bpm, (0.5, 1.0, 2.0)),
        "tempo, strict": _tempo_right(bpm, piece.bpm, (1.0,)),
        **_if_sure("tempo, strict", tempo, _tempo_right(bpm, piece.bpm, (1.0,))),
        "beats, F1 at 70 ms": mir_eval.beat.f_measure(
            mir_eval.beat.trim_beats(np.array(piece.beats_s)), mir_eval.beat.trim_beats(beats_s)
        ),
        "key, mir_eval score": mir_eval.key.weighted_score(true_key, named),
        "key, exact": float(named == true_key),
        **_if_sure("key, exact", key, float(named == true_key)),
        "chords, major and minor": _chords_right(piece, found),
        "boundaries, F1 at 3 s": f1,
        "  precision": precision,
        "  recall": recall,
        "  F1, no boundary inside A A": detected(merged, est)[2],
        "  F1 of a cut every 15 s": detected(ref, np.stack([every_15_s[:-1], every_15_s[1:]], 1))[
            2
        ],
        "section letters, pairwise F1": pairwise[2],
    }


def _if_sure(name: str, results, value: float) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """How often the tool is sure (a score of 0.8 and more), and how often it is right then."""
    sure = bool(results) and results[0].score >= 0.8
    return {
        f"  {name.split(',')[0]}: score >= 0.8": float(sure),
        f"  {name}, of these": value if sure else float("nan"),
    }


def _tempo_right(bpm: float, true_bpm: float, factors: tuple[float, ...]) -> float:
    return float(any(abs(bpm / (true_bpm * f) - 1.0) <= _TEMPO_TOLERANCE for f in factors))


def _chords_right(piece: Piece, found) -> float:  # type: ignore[no-untyped-def]
    """Share of the time with the right triad (mir_eval, majmin)."""
    import mir_eval

    if not piece.chords:
        return float("nan")

    spans = [span for one in found.find("chords") for span in one.spans]
    if not spans:
        return 0.0
    labels = [
        span.label.replace(" minor", "") + (":min" if span.label.endswith("minor") else ":maj")
        for span in spans
    ]
    ref = _intervals(piece.chords)
    est, labels = mir_eval.util.adjust_intervals(
        np.array([[span.start_s, span.end_s] for span in spans]), labels, ref.min(), ref.max(),
        "N", "N",
    )  # fmt: skip
    est, labels = _filled(est, labels)
    both, ref_labels, est_labels = mir_eval.util.merge_labeled_intervals(
        ref, [part.label for part in piece.chords], est, labels
    )
    right = mir_eval.chord.majmin(ref_labels, est_labels)
    return float(
        mir_eval.chord.weighted_accuracy(right, mir_eval.util.intervals_to_durations(both))
    )


def _filled(intervals: np.ndarray, labels: list[str]) -> tuple[np.ndarray, list[str]]:
    """With "N" between intervals that do not touch."""
    rows, names, at = [], [], intervals[0, 0]
    for (start, end), label in zip(intervals, labels, strict=True):
        if start > at:
            rows.append((at, start))
            names.append("N")
        rows.append((start, end))
        names.append(label)
        at = end
    return np.array(rows), names


def _intervals(parts) -> np.ndarray:  # type: ignore[no-untyped-def]
    return np.array([[part.start_s, part.end_s] for part in parts])


def _without_repeats(parts: Sequence[Part]) -> list[Part]:
    """Neighbours of a letter as one: nothing audible need separate them."""
    out: list[Part] = []
    for part in parts:
        if out and out[-1].label == part.label:
            out[-1] = Part(part.label, out[-1].start_s, part.end_s)
        else:
            out.append(part)
    return out


def pieces_of_scenes(seed: int, count: int) -> list[Piece]:
    """Pieces as scenes have them, about a minute each; their chords aren't told."""
    from moss_audio.scenes.music import KEYS, compose_form

    pieces = []
    for i in range(count):
        rng = np.random.default_rng([seed, count, i])
        score = compose_form(rng, 60.0)
        facts = score.facts
        sections = tuple(Part(s.label, s.start, s.end) for s in facts.sections)
        end_s = sections[-1].end_s
        tonic, mode = facts.key.rsplit(" ", 1)
        beat_s = 60.0 / facts.tempo_bpm
        pieces.append(
            Piece(
                float(facts.tempo_bpm), PITCH_NAMES[KEYS.index(tonic)], mode,
                int(facts.meter[0]), str(facts.form).replace(" ", ""), sections,
                (), tuple(np.arange(0.0, end_s - 1e-6, beat_s)),
                score.notes, score.programs, end_s + 1.0,
            )
        )  # fmt: skip
    return pieces


def _path(folder: Path, name: str, index: int) -> Path:
    return folder / f"{name}-{index}.npy"


def _render_missing(pieces: list[Piece], folder: Path, name: str) -> None:
    from moss_audio.scenes.synthesizer import MusicPlayer

    folder.mkdir(parents=True, exist_ok=True)
    player = None
    for index, piece in enumerate(pieces):
        path = _path(folder, name, index)
        if path.exists():
            continue
        player = player or MusicPlayer()
        sound = player.render(piece.notes, piece.programs, piece.duration_s)
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.save(file, np.asarray(sound, np.float32))
        part.replace(path)


if __name__ == "__main__":
    sys.exit(main())

"""The speech branch of the data engine on composed scenes with exact truth.

    python benchmarks/annotate_speech.py --scenes data/scenes
    python benchmarks/annotate_speech.py --scenes data/scenes --tune   # what defaults came from

Reports the word error rate before and after the agreement filter and the shift of aligned word
times on the split test-unseen (a voice and sentences that nothing was trained or tuned on; word
times also on the clean clips of val), and who-speaks-when on scenes of one to three voices, put
together here from clips of voices that were not tuned on. `--tune` prints the same on clips of
the split train and on the other voices, at several thresholds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.annotate.branches.speech import SpeechConfig, speech_tools
from moss_audio.annotate.records import AudioSegment, Recording, Span, ToolResult
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.speech.agreement import AgreementConfig, decide
from moss_audio.annotate.tools.speech.speakers import SpeakersConfig, SpeakersTool
from moss_audio.annotate.tools.speech.speech_measures import loud_regions
from moss_audio.annotate.tools.speech.sphinx import SphinxAligner
from moss_audio.errors import MossAudioError
from moss_audio.metrics.asr import ErrorCounts, word_errors
from moss_audio.metrics.timestamps import AasResult, aas
from moss_audio.result import Word
from moss_audio.scenes.reader import Scene, load_scenes
from moss_audio.scenes.voices.people import person_of
from moss_audio.writers import write_atomic

_RATE = 16_000
_FRAME_S = 0.01
_COLLAR_S = 0.25  # around true edges, where no error counts, as is usual for diarization
_KEEP_LIMITS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
_DISTANCES = (0.15, 0.2, 0.225, 0.25, 0.275, 0.3, 0.35, 0.4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures if a file is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, default=Path("data/scenes"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, default=80, help="for transcripts and for word times")
    parser.add_argument("--turns", type=int, default=30, help="scenes of one to three voices")
    parser.add_argument("--parts", default="transcripts,times,speakers")
    parser.add_argument("--tune", action="store_true", help="on train, at several thresholds")
    parser.add_argument("--out", type=Path, help="a JSON file of the figures")
    chosen = parser.parse_args(arguments)
    parts = {"transcripts": transcripts, "times": times, "speakers": speakers}
    figures: dict[str, Any] = {}
    for name in chosen.parts.split(","):
        if name not in parts:
            raise MossAudioError(f"--parts {name}: use {', '.join(parts)}")
        print(f"\n{name}", flush=True)
        figures[name] = parts[name](chosen)
        for row, values in figures[name].items():
            print(f"  {row:42} " + "  ".join(f"{k} {_show(v)}" for k, v in values.items()))
    if chosen.out is not None:
        write_atomic(chosen.out, json.dumps(figures, indent=1) + "\n")
    return 0


# ------------------------------------------------------------------------------- transcripts


def transcripts(chosen: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Word error rates of single recognisers, of all that was chosen, and of what was kept."""
    split = "train" if chosen.tune else "test-unseen"
    scenes = [s for s in load_scenes(chosen.scenes, split) if s.kind in ("speech", "mixed")]
    drawn = _draw([s for s in scenes if s.words], chosen.clips, chosen.seed)
    config = SpeechConfig()
    tools = speech_tools(config)[: len(config.recognisers)]
    heard = [(scene, _heard(tools, scene)) for scene in drawn]
    rows = {
        f"all, {tool.name}": _rate([(s, texts[tool.name]) for s, texts in heard]) for tool in tools
    }
    limits = _KEEP_LIMITS if chosen.tune else (config.agreement.keep_wer,)
    for limit in limits:
        flag = max(limit, config.agreement.flag_wer)
        rows |= _filtered(heard, replace(config.agreement, keep_wer=limit, flag_wer=flag))
    return rows


def _filtered(
    heard: Sequence[tuple[Scene, Mapping[str, str]]], config: AgreementConfig
) -> dict[str, dict[str, Any]]:
    verdicts = [(scene, decide(texts, config)) for scene, texts in heard]
    everything = _rate([(scene, v.text) for scene, v in verdicts])
    kept = _rate([(scene, v.text) for scene, v in verdicts if v.decision == "keep"])
    both = _rate([(scene, v.text) for scene, v in verdicts if v.decision != "drop"])
    note = f"{config.keep_wer:g}/{config.flag_wer:g}"
    return {
        f"all, chosen text ({note})": everything,
        f"kept ({note})": kept | {"of unfiltered": _ratio(kept["wer"], everything["wer"])},
        f"kept or flagged ({note})": both
        | {"of unfiltered": _ratio(both["wer"], everything["wer"])},
    }


def _heard(tools: Iterable[Tool], scene: Scene) -> dict[str, str]:
    segment, samples = _segment(scene)
    return {tool.name: tool.annotate(samples, segment)[0].text for tool in tools}


def _rate(pairs: Sequence[tuple[Scene, str]]) -> dict[str, Any]:
    counts = [word_errors(scene.text, text) for scene, text in pairs]
    total = ErrorCounts.merge(counts) if counts else ErrorCounts()
    seconds = sum(scene.duration_s for scene, _ in pairs)
    return {
        "wer": total.rate if counts else None,
        "words": total.references,
        "clips": len(pairs),
        "minutes": seconds / 60,
    }


# ---------------------------------------------------------------------------------- word times


def times(chosen: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Shifts of the word times of true transcripts on clean speech, by voice engine."""
    splits = ("train",) if chosen.tune else ("test-unseen", "val")
    aligner = SphinxAligner()
    rows: dict[str, dict[str, Any]] = {}
    for split in splits:
        clean = [
            s
            for s in load_scenes(chosen.scenes, split)
            if s.kind == "speech" and s.words and s.snr_db is None and not s.effects
        ]
        found: dict[str, list[AasResult]] = {}
        for scene in _draw(clean, chosen.clips, chosen.seed):
            voice = str(scene.voice).split("-")[0]
            engine = voice if voice.startswith("flite") else voice.split("/")[0]
            found.setdefault(engine, []).append(_aligned(aligner, scene))
        for engine, results in sorted(found.items()):
            rows[f"{split}, {engine}"] = _shifts(results)
        rows[f"{split}, all"] = _shifts([one for group in found.values() for one in group])
    return rows


def _aligned(aligner: SphinxAligner, scene: Scene) -> AasResult:
    segment, samples = _segment(scene)
    agreed = ToolResult("truth", "1", "speech", "agreement", text=scene.text)
    (found,) = aligner.annotate(samples, replace(segment, results=(agreed,)))
    words = [Word(s.label, s.start_s, s.end_s) for s in found.spans]
    return aas(scene.words, words or None)


def _shifts(results: Sequence[AasResult]) -> dict[str, Any]:
    total = AasResult.merge(list(results))
    return {
        "mae_ms": total.mean_ms,
        "p95_ms": total.percentile_ms(95),
        "matched": total.match_rate,
        "words": total.references,
        "not aligned": total.parse_failures,
    }


# ------------------------------------------------------------------------------------ speakers


@dataclass(frozen=True)
class Turns:
    """Clips of several people, one after the other."""

    samples: np.ndarray
    spans: tuple[Span, ...]


def speakers(chosen: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Counted voices and diarization error on voices that were not tuned on (or, with --tune, on
    those that were, at several thresholds)."""
    made = turns(chosen.scenes, chosen.turns, chosen.seed, tuned=chosen.tune)
    tool = SpeakersTool()
    distances = _DISTANCES if chosen.tune else (tool.config.threshold,)
    rows = {}
    for threshold in distances:
        tool.config = replace(SpeakersConfig(), threshold=threshold)
        rows[f"threshold {threshold:g}"] = _diarization(tool, made)
    return rows


def turns(root: Path, count: int, seed: int, *, tuned: bool) -> list[Turns]:
    """`count` scenes of one, two or three people; half of the people of all splits are for
    tuning, the others for reporting, and nobody is both."""
    scenes = [s for s in load_scenes(root) if s.kind == "speech" and s.words and s.voice]
    scenes = [s for s in scenes if s.snr_db is None and len(set(s.sentence_voices)) == 1]
    by_person: dict[str, list[Scene]] = {}
    for scene in scenes:
        if scene.words[-1].end - scene.words[0].start >= 2.0:
            by_person.setdefault(person_of(str(scene.voice)), []).append(scene)
    unseen = {person_of(str(s.voice)) for s in scenes if s.split == "test-unseen"}
    people = sorted(set(by_person) - unseen)
    random.Random("people").shuffle(people)  # the same halves, whatever the seed
    half = len(people) // 2
    people = people[:half] if tuned else people[half:] + sorted(unseen & set(by_person))
    rng = random.Random(seed)
    return [_turns(rng, people, by_person) for _ in range(count)]


def _turns(
    rng: random.Random, people: Sequence[str], by_person: Mapping[str, Sequence[Scene]]
) -> Turns:
    chosen = rng.sample(list(people), rng.choice((1, 2, 2, 2, 3)))
    order = [person for person in chosen for _ in range(rng.choice((1, 2)) + (len(chosen) == 1))]
    rng.shuffle(order)
    parts: list[np.ndarray] = []
    spans: list[Span] = []
    at = 0
    for person in order:
        scene = rng.choice(by_person[person])
        first = round(scene.words[0].start * _RATE)
        # At most some six seconds of a turn, cut after a word.
        last = [w.end for w in scene.words if w.end <= scene.words[0].start + 6.0]
        clip = scene.samples()[first : round(last[-1] * _RATE)].astype(np.float32) / 32768
        clip *= 0.05 / (float(np.sqrt(np.mean(clip**2))) + 1e-9)
        gap = np.zeros(round(rng.uniform(0.15, 0.6) * _RATE), np.float32)
        spans.append(Span(person, at / _RATE, (at + len(clip)) / _RATE))
        parts += [clip, gap]
        at += len(clip) + len(gap)
    samples = np.concatenate(parts)
    # No recording is silent to the last bit.
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 3e-4, len(samples))
    return Turns((samples + noise).astype(np.float32), tuple(spans))


def _diarization(tool: SpeakersTool, made: Sequence[Turns]) -> dict[str, Any]:
    right, wrong_s, total_s, off = 0, 0.0, 0.0, 0
    for one in made:
        spans = tool.turns(one.samples, loud_regions(one.samples))
        found, true = ({s.label for s in side} for side in (spans, one.spans))
        right += len(found) == len(true)
        off += abs(len(found) - len(true))
        wrong, total = _confusion(one.spans, spans, len(one.samples) / _RATE)
        wrong_s, total_s = wrong_s + wrong, total_s + total
    return {
        "der": wrong_s / max(total_s, 1e-9),
        "count right": right / len(made),
        "count off by": off / len(made),
        "scenes": len(made),
        "minutes": total_s / 60,
    }


def _confusion(
    true: Sequence[Span], found: Sequence[Span], duration_s: float
) -> tuple[float, float]:
    """Seconds of missed, false or confused speech under the best naming, and of true speech.

    There is never more than one voice at a time, here. `_COLLAR_S` around true edges is left out.
    """
    middle = (np.arange(round(duration_s / _FRAME_S)) + 0.5) * _FRAME_S
    scored = np.ones(len(middle), bool)
    for span in true:
        for edge in (span.start_s, span.end_s):
            scored &= np.abs(middle - edge) > _COLLAR_S
    left, right = _labels(true, middle)[scored], _labels(found, middle)[scored]
    names = sorted(set(left[left >= 0].tolist()))
    others = sorted(set(right[right >= 0].tolist()))
    best = 0
    wide, narrow = (others, names) if len(others) >= len(names) else (names, others)
    for order in permutations(wide, len(narrow)):
        pairs = zip(narrow, order, strict=True)
        if wide is others:
            hits = sum(int(((left == a) & (right == b)).sum()) for a, b in pairs)
        else:
            hits = sum(int(((left == b) & (right == a)).sum()) for a, b in pairs)
        best = max(best, hits)
    errors = int(((left >= 0) | (right >= 0)).sum()) - best
    return errors * _FRAME_S, int((left >= 0).sum()) * _FRAME_S


def _labels(spans: Sequence[Span], middle: np.ndarray) -> np.ndarray:
    names = sorted({span.label for span in spans})
    out = np.full(len(middle), -1)
    for span in spans:
        out[(middle >= span.start_s) & (middle < span.end_s)] = names.index(span.label)
    return out


# ---------------------------------------------------------------------------------------- both


def _segment(scene: Scene) -> tuple[AudioSegment, np.ndarray]:
    recording = Recording(scene.id, f"{scene.id}.wav", scene.duration_s, _RATE, 1)
    segment = AudioSegment(scene.id, recording, 0.0, scene.duration_s, profile={"speech": 1.0})
    return segment, scene.load().samples


def _draw(scenes: Sequence[Scene], count: int, seed: int) -> list[Scene]:
    drawn = list(scenes)
    random.Random(seed).shuffle(drawn)
    return sorted(drawn[:count], key=lambda scene: scene.id)


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def _show(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MossAudioError as error:
        sys.exit(str(error))

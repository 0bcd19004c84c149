"""Nano's held-out figures: human prompts, an unseen synthetic voice, unseen events, silence.

    python -m moss_audio.evaluate.nano MODEL --scenes data/scenes --json report.json

- human: the English prompts of Debian's asterisk-core-sounds-en-wav (one speaker, 8 kHz). Neither
  the recordings nor their sentences are in any training data. Spelling names (`letters/`,
  `phonetic/`) and files whose text describes a sound are left out; so are texts with digits or
  symbols, because what was spoken there is not what is written.
- voice, events, silence: split `test-unseen` of composed scenes: a voice, sentences and recordings
  of sounds that training never saw.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from moss_audio.api import MossAudio, load
from moss_audio.audio import load_audio
from moss_audio.errors import MossAudioError
from moss_audio.features import SAMPLE_RATE
from moss_audio.result import Event, Timeline
from moss_audio.scenes.answers import timeline
from moss_audio.scenes.reader import Scene, load_scenes
from moss_audio.tasks import get_task
from moss_audio.text import align, normalize_words

PROMPTS_DIR = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
PROMPTS_TEXT = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
_PACKAGES = "apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-wav"
WRITTEN_CLIPS = 20  # a written time costs a dozen tokens: a sample says enough
_LEFT_OUT = ("letters/", "phonetic/", "silence/")
_SPEAKABLE = re.compile(r"[A-Za-z ,.?!;:'\-]+")
_TONES = re.compile(r"tone|beep|\[|\]|monkeys|\b[A-Z]{2,}\b")  # sounds, and spelt abbreviations


def human_prompts(
    directory: Path = PROMPTS_DIR, text: Path = PROMPTS_TEXT
) -> list[tuple[Path, str]]:
    """Files and texts of the human test set."""
    if not text.is_file() or not directory.is_dir():
        raise MossAudioError(f"{directory}: the human prompts are not installed: {_PACKAGES}")
    found = []
    for line in gzip.decompress(text.read_bytes()).decode("utf-8").splitlines():
        name, colon, words = line.partition(":")
        words = words.strip()
        path = directory / f"{name.strip()}.wav"
        if not colon or line.startswith(";") or name.startswith(_LEFT_OUT) or not path.is_file():
            continue
        if _SPEAKABLE.fullmatch(words) and not _TONES.search(words):
            found.append((path, words))
    return found


def word_errors(pairs: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Word error rate over (reference, hypothesis) pairs, all words counted together."""
    errors = words = 0
    for reference, hypothesis in pairs:
        left, right = normalize_words(reference), normalize_words(hypothesis)
        matched = align(left, right)
        hits = sum(i is not None and j is not None and left[i] == right[j] for i, j in matched)
        errors += len(matched) - hits
        words += len(left)
    return {"wer": errors / max(1, words), "words": words}


def _clips(scenes: Sequence[Scene]) -> list[Any]:
    return [(s.samples().astype("float32") / 32768.0, SAMPLE_RATE) for s in scenes]


def human(model: MossAudio, limit: int | None) -> dict[str, Any]:
    """Word error on human prompts, and on those of at least four words."""
    prompts = human_prompts()[:limit]
    results: Any = model.transcribe([load_audio(path) for path, _ in prompts])
    pairs = [(text, r.text) for (_, text), r in zip(prompts, results, strict=True)]
    longer = [p for p in pairs if len(normalize_words(p[0])) >= 4]
    return {
        "clips": len(pairs),
        **word_errors(pairs),
        "wer_4_words_up": word_errors(longer)["wer"],
        "examples": pairs[:8],
    }


def unseen_voice(model: MossAudio, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Word error, and word times against the exact ones, by both ways of finding them."""
    speech = [s for s in scenes if s.kind == "speech"]
    plain: Any = model.transcribe(_clips(speech))
    report: dict[str, Any] = {
        "clips": len(speech),
        **word_errors((s.text, r.text) for s, r in zip(speech, plain, strict=True)),
    }
    for times, chosen in (("alignment", speech), ("written", speech[:WRITTEN_CLIPS])):
        report[times] = _word_times(model, chosen, times)
    return report


def _word_times(model: MossAudio, scenes: Sequence[Scene], times: str) -> dict[str, Any]:
    timed: Any = model.transcribe(_clips(scenes), timestamps="word", times=times)
    shifts: list[float] = []
    words = 0
    for scene, result in zip(scenes, timed, strict=True):
        left = [" ".join(normalize_words(w.text)) for w in scene.words]
        right = [" ".join(normalize_words(w.text)) for w in result.words]
        words += len(left)
        for i, j in align(left, right):
            if i is not None and j is not None and left[i] == right[j]:
                a, b = scene.words[i], result.words[j]
                shifts += [abs(a.start - b.start), abs(a.end - b.end)]
    return {
        "clips": len(scenes),
        "word_time_error_ms": 1000 * sum(shifts) / max(1, len(shifts)),
        "matched_words": len(shifts) / 2 / max(1, words),
        "without_words": sum(
            1 for s, r in zip(scenes, timed, strict=True) if s.words and not r.words
        ),
    }


def unseen_events(model: MossAudio, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Event-based F1 (200 ms) of the timelines, with labels and without."""
    chosen = [s for s in scenes if s.kind == "events"]
    results: Any = model.events(_clips(chosen))
    task = get_task("events")
    totals = {"labelled": [0.0, 0.0, 0.0], "unlabelled": [0.0, 0.0, 0.0]}
    for scene, result in zip(chosen, results, strict=True):
        truth = Timeline(tuple(Event(*item) for item in timeline(scene)), duration=scene.duration_s)
        for name, pair in (
            ("labelled", (result, truth)),
            ("unlabelled", tuple(_without_labels(t) for t in (result, truth))),
        ):
            scored = task.score(*pair)
            totals[name][0] += scored["precision"] * len(result.events)
            totals[name][1] += len(result.events)
            totals[name][2] += len(truth.events)
    out: dict[str, Any] = {"clips": len(chosen)}
    for name, (hits, predicted, true) in totals.items():
        out[f"f1_{name}"] = 2 * hits / max(1.0, predicted + true)
    return out


def _without_labels(timeline: Timeline) -> Timeline:
    return Timeline(
        tuple(Event("event", e.start, e.end) for e in timeline.events), duration=timeline.duration
    )


def invented_words(model: MossAudio, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Words a minute written for clips without any speech."""
    quiet = [s for s in scenes if not s.words]
    results: Any = model.transcribe(_clips(quiet))
    words = sum(len(normalize_words(r.text)) for r in results)
    minutes = sum(s.duration_s for s in quiet) / 60
    return {"clips": len(quiet), "words_a_minute": words / max(1e-9, minutes)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; prints the report and writes it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="checkpoint folder, or nano")
    parser.add_argument("--scenes", type=Path, help="composed scenes (split test-unseen)")
    parser.add_argument("--json", type=Path, help="where to write the report")
    parser.add_argument("--limit", type=int, help="at most so many clips of each kind")
    options = parser.parse_args(arguments)
    model = load(options.model)
    report: dict[str, Any] = {"human": human(model, options.limit)}
    print(json.dumps(report["human"], indent=1), flush=True)
    if options.scenes:
        scenes = load_scenes(options.scenes, "test-unseen")[: options.limit]
        for name, figure in (
            ("unseen_voice", unseen_voice),
            ("unseen_events", unseen_events),
            ("no_speech", invented_words),
        ):
            report[name] = figure(model, scenes)
            print(name, json.dumps(report[name], indent=1), flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

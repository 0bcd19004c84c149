"""Long recordings by the length of their windows, and words at the cuts beside words inside.

    python benchmarks/windows.py --data data/readings --window 15 20 30 --most 12

Readings of the test split (docs/scenes.md) are joined with pauses to recordings of a minute, and
transcribed in windows of each length. A word is at a cut where it begins or ends within a second of
one; at a pause where it does so beside a joint that is no cut, which says what of that is the end
of a sentence. Words that the transcript alone has count in the word error alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jiwer
import numpy as np

import moss_audio
from moss_audio.longform import windows
from moss_audio.metrics.asr import ErrorCounts, word_errors
from moss_audio.result import Word
from moss_audio.scenes.reader import load_scenes
from moss_audio.text import normalize_words
from moss_audio.units import SAMPLE_RATE

SPLIT, LEAST_S, PAUSE_S, NEAR_S = "test-unseen", 60.0, 0.4, 1.0


@dataclass
class Recording:
    """Samples `[n]` at 16 kHz, and the words that are spoken in them."""

    parts: list[np.ndarray] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    joints: list[float] = field(default_factory=list)

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate(self.parts)

    @property
    def seconds(self) -> float:
        return sum(map(len, self.parts)) / SAMPLE_RATE

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


def recordings(folder: Path, most: int) -> Iterator[Recording]:
    """Clips with words, joined in their order until they last a minute."""
    found, count = Recording(), 0
    for scene in load_scenes(folder, SPLIT):
        if count == most:
            return
        if not scene.words:
            continue
        begin = found.seconds
        found.words += [
            Word(word.text, begin + word.start, begin + word.end) for word in scene.words
        ]
        pause = np.zeros(round(PAUSE_S * SAMPLE_RATE), np.float32)
        found.parts += [scene.load().samples, pause]
        found.joints.append(found.seconds - PAUSE_S / 2)
        if found.seconds >= LEAST_S:
            yield found
            found, count = Recording(), count + 1


def wrong_words(recording: Recording, text: str) -> list[bool]:
    """Of each word of a recording, whether the transcript has another in its place, or none."""
    pieces = [(place, one) for place, word in enumerate(recording.words)
              for one in normalize_words(word.text)]  # fmt: skip
    said = " ".join(one for _, one in pieces)
    found = jiwer.process_words(said, " ".join(normalize_words(text)) or "-")
    wrong = [False] * len(recording.words)
    for chunk in found.alignments[0]:
        if chunk.type in ("substitute", "delete"):
            for place, _ in pieces[chunk.ref_start_idx : chunk.ref_end_idx]:
                wrong[place] = True
    return wrong


def beside(word: Word, places: Sequence[float]) -> bool:
    """Whether a word is within a second of one of these moments."""
    return any(word.start - NEAR_S < place < word.end + NEAR_S for place in places)


def main() -> None:
    """Print a line for each length of window."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of composed readings")
    parser.add_argument("--window", type=float, nargs="+", default=[15.0, 20.0, 30.0])
    parser.add_argument("--most", type=int, default=12, help="recordings (default: 12)")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    found = list(recordings(args.data, args.most))
    print(f"{len(found)} recordings, {sum(one.seconds for one in found) / 60:.1f} min")
    for window_s in args.window:
        model = moss_audio.load(args.model, window_s=window_s, threads=args.threads)
        errors = ErrorCounts()
        groups: dict[str, list[bool]] = {"at cuts": [], "at pauses": [], "elsewhere": []}
        for one in found:
            text = model.transcribe((one.samples, SAMPLE_RATE)).text
            errors += word_errors(one.text, text)
            cuts = [cut.start_s for cut in windows([one.samples], window_s)][1:]
            for word, wrong in zip(one.words, wrong_words(one, text), strict=True):
                at_pause = "at pauses" if beside(word, one.joints) else "elsewhere"
                groups["at cuts" if beside(word, cuts) else at_pause].append(wrong)
        shares = ", ".join(
            f"{name} {100 * sum(marks) / max(1, len(marks)):.1f} % of {len(marks)}"
            for name, marks in groups.items()
        )
        print(f"{window_s:g} s: word error {100 * errors.rate:.1f} %; wrong {shares}", flush=True)


if __name__ == "__main__":
    main()

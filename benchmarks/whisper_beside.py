"""Word errors of Whisper tiny.en, whose encoder nano has, on the clips of the nano suite.

    python benchmarks/whisper_beside.py --data data/scenes --limit 80

Its own decoder, by faster-whisper (int8, beam 5, higher temperatures where it repeats itself),
with the suite's clips, normalisation and count: what the encoder's features are known to carry,
beside nano's figures of `moss-audio evaluate`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from moss_audio.annotate.tools.speech.asr_whisper import WhisperConfig, load_whisper
from moss_audio.evaluate.plan import Outcome
from moss_audio.evaluate.suites import nano
from moss_audio.result import Transcript
from moss_audio.units import SAMPLE_RATE

PARTS = ("human", "voice", "voice in noise")


def main() -> None:
    """Print a line a part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the test scenes")
    parser.add_argument("--limit", type=int, help="clips of each part")
    args = parser.parse_args()
    model = load_whisper(WhisperConfig())
    plan = nano.plan(args.data)
    for name, reason in plan.absent:
        print(f"{name}: left out: {reason}")
    for part in plan.parts:
        if part.name not in PARTS:
            continue
        (measure,) = (m for m in part.measures if m.name == nano.WER)
        wrong = words = 0.0
        items = part.dataset.items[: args.limit]
        for item in items:
            audio = item.audio[0].load()
            said, _ = model.transcribe(
                audio.samples, language="en", beam_size=5, condition_on_previous_text=False
            )
            text = " ".join(s.text.strip() for s in said)
            heard = Transcript(text, duration=len(audio.samples) / SAMPLE_RATE)
            if share := measure.share(Outcome(item, heard, None, heard.duration)):
                wrong, words = wrong + share[0], words + share[1]
        print(f"{part.name}: {100 * wrong / words:.1f} % of {words:.0f} words, {len(items)} clips")


if __name__ == "__main__":
    main()

"""Word errors of small recognisers beside nano's, on the clips of the nano suite.

    python benchmarks/whisper_beside.py --data data/scenes --limit 80
    pip install --no-deps moonshine-voice==0.0.49
    python benchmarks/whisper_beside.py --data data/scenes --who whisper moonshine nano

- whisper: tiny.en, whose encoder nano has, with its own decoder, by faster-whisper (int8, beam 5,
  higher temperatures where it repeats itself);
- moonshine: Moonshine tiny (MIT) by its own library, which also looks for speech itself;
- nano: as `moss-audio evaluate` asks it (another checkpoint: --model).

All hear the suite's clips and are counted by the suite's own measures. Babble makes Whisper repeat
itself: "capped" counts at most all words of a clip as wrong.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from moss_audio.evaluate.item import Item
from moss_audio.evaluate.plan import Measure, Outcome
from moss_audio.evaluate.suites import nano
from moss_audio.result import Transcript
from moss_audio.units import SAMPLE_RATE

PARTS = (
    "human", "human in babble", "read speech", "read speech in babble", "voice", "voice in noise",
)  # fmt: skip
Recogniser = Callable[[np.ndarray], str]


def whisper() -> Recogniser:
    """Whisper tiny.en: samples at 16 kHz -> text."""
    from moss_audio.annotate.tools.speech.asr_whisper import WhisperConfig, load_whisper

    model = load_whisper(WhisperConfig())

    def hear(samples: np.ndarray) -> str:
        said, _ = model.transcribe(
            samples, language="en", beam_size=5, condition_on_previous_text=False
        )
        return " ".join(s.text.strip() for s in said)

    return hear


def moonshine() -> Recogniser:
    """Moonshine tiny: samples at 16 kHz -> text."""
    # The package's own first file asks for a microphone's library; what is needed does not.
    import importlib.util
    import sys
    import types

    spec = importlib.util.find_spec("moonshine_voice")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "moonshine is not installed: pip install --no-deps moonshine-voice==0.0.49"
        )
    folder = Path(spec.origin).parent
    package = types.ModuleType("moonshine_voice")
    package.__path__ = [str(folder)]
    sys.modules["moonshine_voice"] = package
    from moonshine_voice.moonshine_api import ModelArch
    from moonshine_voice.transcriber import Transcriber

    model = Transcriber(str(folder / "assets" / "tiny-en"), ModelArch.TINY)

    def hear(samples: np.ndarray) -> str:
        lines = model.transcribe_without_streaming(samples.tolist(), SAMPLE_RATE).lines
        return " ".join(line.text.strip() for line in lines)

    return hear


def moss(name: str) -> Recogniser:
    """A checkpoint of ours: samples at 16 kHz -> text."""
    import moss_audio

    model = moss_audio.load(name)
    return lambda samples: model.transcribe((samples, SAMPLE_RATE)).text


def measure(
    hear: Recogniser, items: Sequence[Item], measures: Sequence[Measure]
) -> list[tuple[float, float, float]]:
    """For each measure, wrong words, at most all words of a clip wrong, and words."""
    sums = [(0.0, 0.0, 0.0)] * len(measures)
    for item in items:
        samples = item.audio[0].load().samples
        seconds = len(samples) / SAMPLE_RATE
        outcome = Outcome(item, Transcript(hear(samples), duration=seconds), None, seconds)
        for i, one in enumerate(measures):
            if one.where(item) and (share := one.share(outcome)):
                wrong, words = share
                old = sums[i]
                sums[i] = (old[0] + wrong, old[1] + min(wrong, words), old[2] + words)
    return sums


def main() -> None:
    """Print a line for each part, recogniser and measure."""
    who: dict[str, Callable[[str], Recogniser]] = {
        "whisper": lambda _: whisper(), "moonshine": lambda _: moonshine(), "nano": moss,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the test scenes")
    parser.add_argument("--limit", type=int, help="clips of each part")
    parser.add_argument("--who", nargs="+", choices=list(who), default=["whisper"])
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--model", default="nano", help="in nano's place (default: nano)")
    args = parser.parse_args()
    plan = nano.plan(args.data)
    for name, reason in plan.absent:
        print(f"{name}: left out: {reason}")
    recognisers = {name: who[name](args.model) for name in args.who}
    for part in plan.parts:
        if part.name not in args.part:
            continue
        measures = [m for m in part.measures if m.name.startswith(nano.WER)]
        items = part.dataset.items[: args.limit]
        for name, hear in recognisers.items():
            began = time.process_time()
            for one, (wrong, capped, words) in zip(
                measures, measure(hear, items, measures), strict=True
            ):
                if words:
                    print(
                        f"{part.name}, {one.name}: {name} {100 * wrong / words:.1f} %, capped "
                        f"{100 * capped / words:.1f} % of {words:.0f} words", flush=True,
                    )  # fmt: skip
            spent = (time.process_time() - began) / max(1, len(items))
            print(f"{part.name}: {name} {len(items)} clips, {spent:.2f} processor s a clip")


if __name__ == "__main__":
    main()

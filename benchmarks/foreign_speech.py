"""How much of a transcript a checkpoint is sure of, in the language that it knows and in others.

    apt-get install fillets-ng-data-nl asterisk-core-sounds-it-wav asterisk-core-sounds-en-wav
    python benchmarks/foreign_speech.py \\
        --known /usr/share/asterisk/sounds/en_US_f_Allison \\
        --other /usr/share/asterisk/sounds/it_IT_m_Carlo /usr/share/games/fillets-ng/sound/*/nl

The clips below each folder (or named by a pattern that the shell expands; folders with the same
last name are one group) are joined, in an order drawn by the name of the group, to recordings of 5
to 9 s. A line for each group: of how many recordings so little is sure that a warning is given, by
the checkpoint's own threshold, and quantiles of the shares, from which to choose one.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import moss_audio
from moss_audio.engine import GenerationOptions, Request
from moss_audio.errors import AudioError
from moss_audio.recordings import load_audio
from moss_audio.recordings.folders import FoundFile, find_files
from moss_audio.tasks import get_task
from moss_audio.tasks.confidence import SureTokens
from moss_audio.units import SAMPLE_RATE

SHORTEST_S, LONGEST_S, CLIP_S, GAP_S = 5.0, 9.0, 0.4, 0.25
LEFT_OUT = ("letters", "phonetic", "digits", "silence")  # of Asterisk's: no sentences


def recordings(folders: Sequence[Path], most: int) -> Iterator[np.ndarray]:
    """Samples at 16 kHz of clips that were joined."""
    draw = random.Random(folders[0].name)
    found = [one for folder in folders for one in find_files(str(folder))]
    paths = sorted(Path(one.path) for one in found if isinstance(one, FoundFile))
    paths = [path for path in paths if not set(LEFT_OUT) & set(path.parts)]
    draw.shuffle(paths)
    parts: list[np.ndarray] = []
    count, wanted_s = 0, draw.uniform(SHORTEST_S, LONGEST_S)
    for path in paths:
        try:
            samples = load_audio(path).samples
        except AudioError:
            continue
        if len(samples) < CLIP_S * SAMPLE_RATE:
            continue
        parts += [samples, np.zeros(round(GAP_S * SAMPLE_RATE), np.float32)]
        if sum(map(len, parts)) < wanted_s * SAMPLE_RATE:
            continue
        yield np.concatenate(parts[:-1])
        parts, count, wanted_s = [], count + 1, draw.uniform(SHORTEST_S, LONGEST_S)
        if count == most:
            return


def sure_tokens(model: moss_audio.MossAudio, samples: np.ndarray) -> SureTokens:
    """Those of its transcript, as `listen` counts them for a window."""
    task, found = get_task("transcribe"), SureTokens()
    window = samples[: round(model.window_s * SAMPLE_RATE)]
    seconds = len(window) / SAMPLE_RATE
    options = GenerationOptions(
        max_new_tokens=task.answer_tokens(seconds), stop_repetition=True, logprobs=0
    )
    request = Request.question(task.prompt, window, options=options, reuse=False)
    (answer,) = model.engine.generate([request])
    told = [(one.end, one.logprob) for one in answer.logprobs or ()]
    found.add(task.parse(answer.text, seconds), told)
    return found


def main() -> None:
    """Print a line for each group."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--known", nargs="+", type=Path, default=[], metavar="FOLDER")
    parser.add_argument("--other", nargs="+", type=Path, default=[], metavar="FOLDER")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--most", type=int, default=40, help="recordings of a group (default: 40)")
    args = parser.parse_args()
    model = moss_audio.load(args.model)
    known = model.checkpoint.knows
    for kind, folders in (("known", args.known), ("other", args.other)):
        for name in dict.fromkeys(folder.name for folder in folders):
            group = [folder for folder in folders if folder.name == name]
            found = [sure_tokens(model, one) for one in recordings(group, args.most)]
            shares = [one.sure / one.all for one in found if one.all]
            warned = sum(known is not None and one.warning(known) is not None for one in found)
            marks = np.quantile(shares or [0.0], (0, 0.05, 0.5, 0.95, 1))
            print(
                f"{kind} {name}: {warned} of {len(found)} warned; shares 0/5/50/95/100 %: "
                + " ".join(f"{one:.2f}" for one in marks),
                flush=True,
            )


if __name__ == "__main__":
    main()

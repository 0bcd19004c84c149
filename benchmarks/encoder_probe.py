"""Does an encoder that was trained from scratch hear more than an untrained one?

    python benchmarks/encoder_probe.py --scenes data/scenes --steps 400

Trains the stage `encoder` on a micro model (scenes of split train), then fits a linear probe on
each encoder's frozen tokens: which sound is it (80 ms each), and with which letter does the word
begin that is being spoken. Probes are fitted on one half of split val and tested on the other;
neither was trained on. The untrained encoder is the very one that training started from.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from moss_audio.dsp.mel import log_mel
from moss_audio.model.encoder import MossAudioEncoder
from moss_audio.model.modeling import MossAudioModel
from moss_audio.scenes.reader import Scene, load_scenes
from moss_audio.settings import load_config
from moss_audio.testing.micro import write_micro
from moss_audio.train import encoder as stage
from moss_audio.units import TOKENS_PER_SECOND, num_tokens

QUIET = ""
RIDGE = 1.0  # a token of weight on every squared coefficient, features being standardised


def sounds(scene: Scene, n_tokens: int) -> list[str]:
    """Speech, the event's label, or quiet, at each token."""
    named = [(e.label, e.start, e.end) for e in scene.events]
    return _at_tokens(named + [("speech", w.start, w.end) for w in scene.words], n_tokens)


def letters(scene: Scene, n_tokens: int) -> list[str]:
    """First letter of the word at each token."""
    firsts = [(w.text.strip("\"'([")[:1].lower(), w.start, w.end) for w in scene.words]
    return _at_tokens([f for f in firsts if f[0].isalpha()], n_tokens)


def _at_tokens(spans: Sequence[tuple[str, float, float]], n_tokens: int) -> list[str]:
    found = [QUIET] * n_tokens
    for name, start, end in spans:
        first, last = (round(t * TOKENS_PER_SECOND - 0.5) for t in (start, end))
        for at in range(max(0, first), min(n_tokens, last + 1)):
            found[at] = name
    return found


def tokens(encoder: MossAudioEncoder, scenes: Sequence[Scene]) -> list[torch.Tensor]:
    """Encoder tokens `[n, width]` of each scene."""
    encoder.eval()
    found = []
    with torch.inference_mode():
        for scene in scenes:
            samples = scene.load().samples
            mel = torch.from_numpy(log_mel(samples, encoder.config.num_mel_bins))
            out = encoder(mel.unsqueeze(0), torch.tensor([mel.shape[1]]))
            found.append(out.tokens.float())
    return found


def probe(
    fit: Sequence[torch.Tensor], test: Sequence[torch.Tensor], named: Sequence[list[str]],
    asked: Sequence[list[str]],
) -> dict[str, float]:  # fmt: skip
    """Ridge regression to classes: accuracy over all tokens and mean over the classes."""
    x, z = torch.cat(list(fit)).double(), torch.cat(list(test)).double()
    mean, scale = x.mean(0), x.std(0).clamp(min=1e-6)
    x, z = ((t - mean) / scale for t in (x, z))
    x, z = (torch.cat([t, torch.ones(len(t), 1)], 1) for t in (x, z))
    labels = [n for clip in named for n in clip]
    truth = [n for clip in asked for n in clip]
    classes = sorted(set(labels))
    index = {name: i for i, name in enumerate(classes)}
    y = torch.tensor([index[n] for n in labels])
    weight = (1.0 / torch.bincount(y).double())[y]  # classes count alike
    hot = torch.nn.functional.one_hot(y, len(classes)).double()
    eye = RIDGE / len(x) * torch.eye(x.shape[1]).double()
    solved = torch.linalg.solve((x * weight[:, None]).T @ x + eye, (x * weight[:, None]).T @ hot)
    guess = [classes[i] for i in (z @ solved).argmax(1).tolist()]
    known = [(g == t, t) for g, t in zip(guess, truth, strict=True) if t in index]
    by_class = {c: [right for right, t in known if t == c] for c in {t for _, t in known}}
    return {
        "accuracy": sum(right for right, _ in known) / len(known),
        "mean_over_classes": float(np.mean([np.mean(v) for v in by_class.values()])),
        "classes": len(by_class),
    }


def compare(
    encoders: dict[str, MossAudioEncoder], scenes: Sequence[Scene], seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Probe figures by question and encoder."""
    order = list(scenes)
    random.Random(seed).shuffle(order)
    half = len(order) // 2
    halves = order[:half], order[half:]
    result: dict[str, dict[str, dict[str, float]]] = {"sounds": {}, "letters": {}}
    for name, encoder in encoders.items():
        fit, test = (tokens(encoder, part) for part in halves)
        label: Callable[[Scene, int], list[str]]
        for question, label in (("sounds", sounds), ("letters", letters)):
            named, asked = (
                [label(s, num_tokens(s.num_samples // 160)) for s in part] for part in halves
            )
            result[question][name] = probe(fit, test, named, asked)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch-audio-s", type=float, default=30.0)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--clips", type=int, default=300, help="of split val")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=Path, help="keep the run in this folder, and go on from it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(measure(options, options.run or Path(temporary)), indent=2))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Train (or go on) in `folder`, and probe."""
    micro = folder / "micro"
    if not micro.exists():
        write_micro(micro, options.seed)
    source = {"kind": "scenes", "path": str(options.scenes), "split": "train"}
    data = {"sources": [source], "batch_audio_s": options.batch_audio_s, "endless": True}
    config = folder / "encoder.yaml"
    values = {
        "model": str(micro),
        "output": str(folder / "trained"),
        "learning_rate": options.learning_rate,
        "head_width": 128,
        "data": data,
        "loop": {
            "steps": options.steps,
            "warmup_steps": min(50, options.steps // 4),
            "output_dir": str(folder / "run"),
        },
        "seed": options.seed,
    }
    config.write_text(yaml.safe_dump(values))
    scenes = load_scenes(options.scenes, "val")[: options.clips]
    if not stage.main(config):
        sys.exit(130)
    # the encoder that training started from: the same seed, data and scaling, and no step
    untrained = stage.started(load_config(config, stage.EncoderConfig))
    trained = MossAudioModel.from_pretrained(folder / "trained", dtype=torch.float32)
    encoders = {"untrained": untrained, "trained": trained.audio_encoder}
    return {"steps": options.steps, "clips": len(scenes), **compare(encoders, scenes, options.seed)}


if __name__ == "__main__":
    main()

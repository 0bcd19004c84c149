"""DAPO on a small task: which of two sounds came first?

    python benchmarks/which_first.py --out runs/which-first

A micro model first learns by `sft` to say one of two words, at random: the truths that it is given
have nothing to do with the clip. All that it then knows of listening it learns by `dapo`, from
whether its own answers are right. Told at the end: the curve of the reward, and the share of right
answers about clips that were never heard, about silence, and about other questions' clips.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np

QUESTION = "Which came first?"
WORDS = ("low", "high")  # a deep tone, and a bright one
RATE = 16_000
TRAIN, TEST = 2000, 100


def clip(first: str, rng: np.random.Generator) -> np.ndarray:
    """A second: both tones, `first` before the other, each of its own pitch, length and loudness,
    in some noise; float32 at 16 kHz."""
    samples = 0.01 * rng.standard_normal(RATE)
    order = (first, WORDS[1 - WORDS.index(first)])
    starts = (rng.uniform(0.05, 0.2), rng.uniform(0.55, 0.65))
    for word, start in zip(order, starts, strict=True):
        pitch = rng.uniform(200, 400) if word == "low" else rng.uniform(1500, 3000)
        time = np.arange(int(rng.uniform(0.2, 0.3) * RATE)) / RATE
        at = int(start * RATE)
        samples[at : at + len(time)] += rng.uniform(0.1, 0.3) * np.sin(2 * np.pi * pitch * time)
    return samples.astype(np.float32)


def hearing(folder: Path, seed: int) -> Path:
    """Draw encoder and adapter of an untrained model anew, so that every layer keeps the scale of
    its input. As they are drawn for a model that is to be loaded, what two clips differ in is a
    hundred-thousandth of what comes out, which bfloat16 cannot hold."""
    import torch
    from safetensors.torch import load_file, save_file

    path, generator = folder / "model.safetensors", torch.Generator().manual_seed(seed)
    weights = load_file(path)
    for name, tensor in weights.items():
        if tensor.ndim > 1 and name.startswith(("audio_encoder.", "audio_adapter.")):
            gain = 2.0 if tensor.ndim > 2 else 1.0  # convolutions, which half of is cut off behind
            deviation = (gain / tensor[0].numel()) ** 0.5
            weights[name] = torch.randn(tensor.shape, generator=generator) * deviation
    save_file(weights, path, metadata={"format": "pt"})
    return folder


def write_clips(folder: Path, count: int, seed: int, *, guessed: bool) -> Path:
    """Clips and a list of conversations about them; `guessed`: the answers are drawn at random."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    rng, guess = np.random.default_rng(seed), random.Random(seed)
    lines = []
    for number in range(count):
        first = WORDS[number % 2]
        soundfile.write(folder / f"{number}.wav", clip(first, rng), RATE, subtype="FLOAT")
        answer = guess.choice(WORDS) if guessed else first
        lines.append(
            {"audio": f"{number}.wav", "question": QUESTION, "text": answer, "duration": 1.0}
        )
    path = folder / "list.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def settings(out: Path, data: Path, name: str, steps: int, **more: Any) -> Path:
    """A stage's YAML."""
    import yaml

    values = {
        "output": str(out / name),
        "decoder": "full",
        "encoder": "full",
        "encoder_lr": 5e-4,
        "decoder_lr": 5e-4,
        "adapter_lr": 5e-4,
        "align_weight": 0.0,
        "data": {
            "sources": [{"kind": "jsonl", "path": str(data)}],
            "batch_audio_s": 32,
            "endless": True,
            "buckets": 1,  # else a batch has one of the two words alone
        },
        **more,
        "loop": {
            "steps": steps,
            "warmup_steps": 10,
            "log_every": 10,
            "output_dir": str(out / f"{name}.run"),
            **more.get("loop", {}),
        },
    }
    path = out / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def right(folder: Path, seed: int) -> dict[str, float]:
    """The share of right answers about unseen clips, about silence in their place, and about the
    clip of the next question but one, whose truth is the same, and of the next, whose is not."""
    import moss_audio

    model = moss_audio.load(folder, device="cpu", dtype="float32", engine="torch")
    rng = np.random.default_rng(seed)
    truths = [WORDS[number % 2] for number in range(TEST)]
    clips = [clip(truth, rng) for truth in truths]
    heard = {
        "unseen clips": clips,
        "silence": [np.zeros_like(one) for one in clips],
        "the next clip": clips[1:] + clips[:1],
    }
    return {
        name: sum(
            model.ask((one, RATE), QUESTION, max_new_tokens=8).text.strip() == truth
            for one, truth in zip(given, truths, strict=True)
        )
        / TEST
        for name, given in heard.items()
    }


def main() -> None:
    """Both stages, the curve, and the figures."""
    from moss_audio.testing.micro import write_micro
    from moss_audio.train import dapo, sft

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    guessed = write_clips(out / "guessed", TRAIN, given.seed + 1, guessed=True)
    known = write_clips(out / "known", TRAIN, given.seed + 2, guessed=False)
    start = hearing(write_micro(out / "start", given.seed), given.seed)
    # long enough that nearly every answer is one of the words: else most of what is sampled is
    # worth nothing for how it is spelt
    sft.main(settings(out, guessed, "words", 120, model=str(start), seed=given.seed))
    learnt = settings(
        out, known, "dapo", given.steps, model=str(out / "words"), seed=given.seed,
        adapter=True, mergers=True, encoder_lr=4e-4, decoder_lr=2e-4, adapter_lr=4e-4,
        sampling={"max_new_tokens": 8, "thinking": None},
        groups={"prompts_per_step": 32, "answers": 8, "max_refills": 2},
        rewards={"correct": 1.0, "reasoning": 0.0, "quality": 0.0, "format": 0.0},
        rollouts={"batch_size": 32},
        loop={"ema": 0.8},
    )  # fmt: skip
    dapo.main(learnt)
    log = (out / "dapo.run" / "log.txt").read_text(encoding="utf-8")
    for number, reward in re.findall(r"rollout ([0-9]+): .*?reward ([0-9.]+)", log)[::10]:
        print(f"rollout {number}: reward {float(reward):.2f}")
    for name, share in right(out / "dapo", given.seed + 3).items():
        print(f"{name}: {100 * share:.0f} % right")


if __name__ == "__main__":
    main()

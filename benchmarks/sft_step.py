"""Our fine-tuning step against one like the released script's, and what a run waits for its data.

    python benchmarks/sft_step.py                     an untrained micro, in about a minute
    python benchmarks/sft_step.py --model nano        nano: a padded step takes minutes on a CPU

The released script takes one example a step and pads it to 8192 positions, with an attention mask
of zeros and labels of -100 on the padding. Both sides here have the same model, examples, loss and
optimiser; what differs is the batch (ours: the stage's own packed row) and how padding is kept out.
Wherever the script does more than that, the padded side is spared it: its prompts get the same time
markers, its audio is not padded, and logits are computed only where something is learnt.

The second figure comes from a run of the stage `sft` as a user starts it, over audio files, with
worker processes that decode, augment and compute features: the share of the time in which the step
did not wait for them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from measure import CLOCKS, Row, machine, milliseconds
from sounds import speech

from moss_audio.data.batch import IGNORE, Batch
from moss_audio.data.collate import Collator
from moss_audio.data.example import Example
from moss_audio.model.device import training_device
from moss_audio.settings import load_config
from moss_audio.testing.micro import write_micro
from moss_audio.train import checkpoint, sft
from moss_audio.train.setup import load_for_training, source_folder
from moss_audio.units import SAMPLE_RATE

PADDED_TO = 8192
AIM, BUSY_AIM = 10.0, 0.95
MICRO = "micro"
_CLIPS_S = (2.0, 6.0)  # the shortest and the longest
_PROMPT = "Transcribe the audio."
_WORDS = "the small boat went out at dawn and came back with nothing but two grey birds on board"
_WARM_UP = 2  # steps of the run that are not counted: workers start


class Padded(sft.SftObjective):
    """The stage's objective, told by a mask what is padding."""

    def borders(self, batch: Batch) -> dict[str, Any]:
        return {"attention_mask": batch.attention_mask}


def examples(count: int, seed: int = 0) -> list[Example]:
    """Short clips to be transcribed; the words of the answer grow with the clip."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        seconds = float(rng.uniform(*_CLIPS_S))
        user: list[dict[str, Any]] = [{"type": "audio"}, {"type": "text", "text": _PROMPT}]
        said: list[dict[str, Any]] = [
            {"role": "user", "content": user},
            {"role": "assistant", "content": _answer(seconds)},
        ]
        made.append(Example(f"clip-{number}", said, (speech(seconds, number),)))
    return made


def _answer(seconds: float) -> str:
    return " ".join(_WORDS.split()[: round(2.5 * seconds)])


def padded(batch: Batch, pad_id: int, width: int = PADDED_TO) -> Batch:
    """One example, `[1, n]`, on the right of which padding fills a row of `width` positions."""

    def wide(row: torch.Tensor, value: int) -> torch.Tensor:
        out = row.new_full((1, width), value)
        out[:, : row.shape[1]] = row
        return out

    return replace(
        batch,
        input_ids=wide(batch.input_ids, pad_id),
        labels=wide(batch.labels, IGNORE),
        position_ids=torch.arange(width)[None],
        audio_input_mask=wide(batch.audio_input_mask, False),
        attention_mask=wide(torch.ones_like(batch.input_ids), 0),
    )


class Step:
    """Forward, backward, clipping and optimiser, on one side."""

    def __init__(
        self, objective: sft.SftObjective, attention: str, clip_norm: float, clock: str
    ) -> None:
        self.objective, self.attention, self.clip_norm = objective, attention, clip_norm
        self.now = CLOCKS[clock]
        self.optimizer = torch.optim.AdamW(objective.groups(0.0), fused=True)
        self.device = next(objective.parameters()).device

    def _forward(self, batch: Batch) -> torch.Tensor:
        # both sides share one model, and each has its own way to keep samples apart
        self.objective.model.language_model.config._attn_implementation = self.attention
        counts = torch.tensor(self.objective.counts(batch), device=self.device)
        return self.objective(batch, counts).sum()

    def loss(self, batch: Batch) -> float:
        """The loss, without a step."""
        with torch.no_grad():
            return float(self._forward(batch.to(self.device)))

    def run(self, batch: Batch) -> float:
        """Seconds that one step takes."""
        batch = batch.to(self.device)
        self._wait()
        began = self.now()
        self._forward(batch).backward()
        trained = list(self.objective.trained().values())
        torch.nn.utils.clip_grad_norm_(trained, self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._wait()
        return self.now() - began

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def measure_step(
    model_name: str, folder: Path, steps: int, batch_audio_s: float, clock: str
) -> list[Row]:
    """Samples a second on both sides, in turns."""
    source = folder / MICRO if model_name == MICRO else source_folder(model_name)
    config = load_config(_config(folder, source, batch_audio_s, workers=0, steps=1), sft.SftConfig)
    model, tokenizer, spec = load_for_training(source)
    dtype = sft.prepare(model, config, source)
    original = model.language_model.config._attn_implementation
    ours = sft.objective_of(model, spec, dtype, config, None)
    own = model.language_model.config._attn_implementation  # the stage's choice on this machine
    rows = ours.rows is not None
    peer = Padded(model, spec, dtype, ours.rates(), rows=rows, spoken=None, weight=0.0)
    clip_norm = config.loop.clip_norm
    mine = Step(ours.to(training_device()), own, clip_norm, clock)
    theirs = Step(peer.to(training_device()), original, clip_norm, clock)

    n_mels = model.config.audio_config.num_mel_bins
    packed, alone = (Collator(tokenizer, spec, n_mels, way) for way in ("packed", "padded"))
    clips = examples(200)
    pad_id = tokenizer.pad_token_id or 0
    losses = mine.loss(packed(clips[:1])), theirs.loss(padded(alone(clips[:1]), pad_id))
    same = math.isclose(*losses, rel_tol=2e-2 if dtype == torch.bfloat16 else 1e-4)
    mine.run(packed(_fill(clips, batch_audio_s)))  # warm up
    taken, pairs = 0, []
    for _ in range(steps):
        batch = _fill(clips[taken:], batch_audio_s)
        taken += len(batch)
        pairs.append((len(batch) / mine.run(packed(batch)), len(batch),
                      1 / theirs.run(padded(alone(batch[:1]), pad_id))))  # fmt: skip
    clips_in = median(n for _, n, _ in pairs)
    return [
        Row(
            f"SFT step, packed batches / one example padded to {PADDED_TO}, {model_name}",
            f"{median(rate for rate, *_ in pairs):.3g} samples/s",
            f"{median(rate for *_, rate in pairs):.3g} samples/s",
            median(our / peer for our, _, peer in pairs),
            aim=AIM,
            note=f"{'the same loss' if same else 'LOSSES DIFFER'} of one example; clips of "
            f"{_CLIPS_S[0]:g} to {_CLIPS_S[1]:g} s, {clips_in:g} in a batch of ours; {steps} steps "
            f"a side, a padded one takes {milliseconds(median(1 / rate for *_, rate in pairs))}",
        )
    ]


def _fill(clips: Sequence[Example], audio_s: float) -> list[Example]:
    """The first clips that last `audio_s` together, at least one."""
    total = 0.0
    kept: list[Example] = []
    for clip in clips:
        total += len(clip.clips[0]) / SAMPLE_RATE
        if kept and total > audio_s:
            break
        kept.append(clip)
    return kept


def measure_busy(
    model_name: str, folder: Path, steps: int, batch_audio_s: float, workers: int
) -> list[Row]:
    """A run of the stage: time in which it did not wait for data, over all its time."""
    source = folder / MICRO if model_name == MICRO else source_folder(model_name)
    path = _config(folder, source, batch_audio_s, workers, _WARM_UP + steps)
    if not sft.main(path):
        sys.exit(130)
    run = checkpoint.latest(folder / "run")
    assert run is not None  # the stage has just said that it is complete
    history = checkpoint.read_history(run)
    lines = [line for line in history if "waited" in line]
    counted = lines[_WARM_UP:]
    all_s = sum(line["step_s"] for line in counted)
    waited_s = sum(line["waited"] * line["step_s"] for line in counted)
    start_s = sum(line["waited"] * line["step_s"] for line in lines[:_WARM_UP])
    return [
        Row(
            f"time not waiting for data / all time of an SFT run, {model_name}",
            f"{all_s - waited_s:.2f} s",
            f"{all_s:.2f} s",
            (all_s - waited_s) / all_s,
            aim=BUSY_AIM,
            note=f"{len(counted)} steps of {batch_audio_s:g} s of audio, {workers} worker"
            f"{'s' * (workers != 1)}, augmented; before, {start_s:.2f} s until the workers ran",
        )
    ]


def _config(folder: Path, source: Path, batch_audio_s: float, workers: int, steps: int) -> Path:
    """A stage over audio files in `folder`, which are made if they are not there."""
    import yaml

    manifest = folder / "clips.jsonl"
    if not manifest.exists():
        _write_clips(folder, manifest)
    # as the shipped configurations have it: micro learns in full, nano by LoRA
    way = {"decoder": "full", "encoder": "frozen"} if source.name == MICRO else {}
    values = {
        "model": str(source),
        "output": str(folder / "trained"),
        "align_weight": 0.0,
        **way,
        "data": {
            "sources": [{"kind": "jsonl", "path": str(manifest)}],
            "batch_audio_s": batch_audio_s,
            "endless": True,
            "workers": workers,
            "augment": {"room_share": 0.25, "colour_share": 0.3},
        },
        "loop": {
            "steps": steps,
            "warmup_steps": 1,
            "log_every": 1,
            "output_dir": str(folder / "run"),
        },
    }
    path = folder / "sft.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def _write_clips(folder: Path, manifest: Path) -> None:
    lines = []
    for example in examples(64):
        (clip,) = example.clips
        name = f"{example.id}.wav"
        with wave.open(str(folder / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes((np.clip(clip, -1, 1) * 32767).astype("<i2").tobytes())
        lines.append(json.dumps({"audio": name, "text": _answer(len(clip) / SAMPLE_RATE)}) + "\n")
    manifest.write_text("".join(lines))


def measure(
    model_name: str = MICRO,
    clock: str = "wall",
    steps: int = 3,
    batch_audio_s: float = 60.0,
    workers: int = 1,
) -> list[Row]:
    """Both figures, in a temporary folder that is removed again."""
    with tempfile.TemporaryDirectory(prefix="moss-audio-bench-") as temporary:
        folder = Path(temporary)
        if model_name == MICRO:
            write_micro(folder / MICRO)
        return [
            *measure_step(model_name, folder, steps, batch_audio_s, clock),
            *measure_busy(model_name, folder, 20, batch_audio_s, workers),
        ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=MICRO, help="micro, nano or a folder (default: micro)")
    parser.add_argument("--steps", type=int, default=3, help="a side (default: 3)")
    parser.add_argument("--batch-audio-s", type=float, default=60.0, help="of ours (default: 60)")
    parser.add_argument("--workers", type=int, default=1, help="of the run (default: 1)")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="of the steps: cpu on a busy machine"
    )
    given = parser.parse_args()
    rows = measure(given.model, given.clock, given.steps, given.batch_audio_s, given.workers)
    for row in rows:
        print(f"{row.what}: {row.ours} / {row.peer}: {row.ratio:.2f}x (aim {row.aim_text})")
        print(f"  {row.note}")
    print(machine(torch.float32))
    return 0


if __name__ == "__main__":
    sys.exit(main())

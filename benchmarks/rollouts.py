"""What sampling for `dapo` costs: answers a processor second, and how far from training's figures.

    python benchmarks/rollouts.py                    nano, engines torch and onnx
    python benchmarks/rollouts.py --answers 4 16     answers about one clip

Answers are timelines of a clip (temperature 1, top-k 50), each as long as it gets; encoder and
prefill count. What is off are the sampler's log-probabilities from those of training, which
importance weights make up for. At last what it costs to learn from the answers: behind one prompt,
and each behind a prompt of its own. All times are the processor's, of one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from moss_audio.data.example import Example
from moss_audio.recordings import load_audio
from moss_audio.tasks import get_task

CLIP = Path(__file__).resolve().parent.parent / "examples" / "events.wav"


def asked() -> Example:
    """The events of a clip; the true answer is not needed."""
    content: list[Any] = [{"type": "audio"}, {"type": "text", "text": get_task("events").prompt}]
    said: list[Any] = [{"role": "user", "content": content}, {"role": "assistant", "content": "?"}]
    return Example("events", said, (load_audio(CLIP).samples,))


def configuration(folder: Path, model: str, batch_size: int | None) -> Any:
    """Of the stage: LoRA of the decoder learns."""
    import yaml

    from moss_audio.settings import load_config
    from moss_audio.train.dapo import DapoConfig

    values = {
        "model": model,
        "output": str(folder / "out"),
        "data": {"sources": [{"kind": "jsonl", "path": "unused"}], "batch_audio_s": 60},
        "sampling": {"max_new_tokens": 96, "thinking": None},
        "rollouts": {"batch_size": batch_size},
        "loop": {"steps": 1, "output_dir": str(folder / "run")},
    }
    path = folder / "dapo.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_config(path, DapoConfig)


def main() -> None:
    """Sample, and print a line for each engine and number of answers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--answers", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, help="answers decoded at once")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        config = configuration(Path(folder), given.model, given.batch_size)
        measure(config, given.answers, given.rounds)


def measure(config: Any, counts: list[int], rounds: int) -> None:
    """Print the lines."""
    import numpy as np
    import torch

    from moss_audio.data.collate import Collator
    from moss_audio.train.rl.groups import AnswerGroup
    from moss_audio.train.rl.pack import RolloutPacker
    from moss_audio.train.rl.policy import DapoObjective, PolicyWeights
    from moss_audio.train.rl.rollout import AskedPrompt
    from moss_audio.train.rl.rollout_engine import EngineRollouts
    from moss_audio.train.rl.runners import onnx_runners, torch_runners
    from moss_audio.train.setup import load_for_training, source_folder
    from moss_audio.train.sft import prepare, rates_of

    source = source_folder(config.model)
    model, tokenizer, spec = load_for_training(source)
    dtype = prepare(model, config, source)
    objective = DapoObjective(
        model, spec, dtype, rates_of(config), rows=False, loss=config.loss, temperature=1.0
    )
    collator = Collator(tokenizer, spec, model.config.audio_config.num_mel_bins)
    how: Any = {"thinking": None, "mask_truncated": False}
    packer = RolloutPacker(collator, **how, shared=objective.shares_prompts)
    kinds = {
        "torch": torch_runners(model, spec, dtype),
        "onnx": onnx_runners(source, continued=False, threads=1),
    }
    example = asked()
    print(f"training in {dtype}")
    for name, runners in kinds.items():
        rollouts = EngineRollouts(
            runners, tokenizer, spec, config.sampling, batch_size=config.rollouts.batch_size
        )
        began = time.process_time()
        rollouts.update(PolicyWeights(objective, 1.0))
        print(f"{name}: new weights taken in {time.process_time() - began:.2f} s")
        rollouts.sample([AskedPrompt(example, 99)], 2)  # warm up
        for n in counts:
            spent, tokens, answers = [], 0, []
            for seed in range(rounds):
                began = time.process_time()
                (answers,) = rollouts.sample([AskedPrompt(example, 100 * seed)], n)
                spent.append(time.process_time() - began)
                tokens += sum(len(one.trace.ids) for one in answers)
            nothing = np.zeros(n)
            group = AnswerGroup(example, answers, [{}] * n, nothing, nothing, spread=True)
            (batch,) = packer.batches([group], 1)
            with torch.no_grad():
                off = (objective.logprobs(batch)[0] - batch.sampled).abs()
            print(
                f"  {n:3d} answers: {np.median(spent):.2f} s, {tokens / sum(spent):.0f} tokens/s, "
                f"off by {off.mean():.4f}, at most {off.max():.3f}",
                flush=True,
            )
    for name, one in (("together", packer), ("apart", RolloutPacker(collator, **how))):
        (batch,) = one.batches([group], 1)
        items = torch.tensor(objective.counts(batch))
        began = time.process_time()
        objective(batch, items).sum().backward()
        print(f"learning from {n}, {name}: {time.process_time() - began:.2f} s")


if __name__ == "__main__":
    main()

"""How many tokens a stage learns from in a step: what two runs have to share to be compared.

    python benchmarks/learnt_tokens.py configs/nano/cold_start.yaml configs/nano/direct.yaml
    python benchmarks/learnt_tokens.py CONFIG ... --scenes FOLDER      other scenes than they name

Draws the data of each configuration as its run would (a checkpoint without think tokens is given
them) and counts the labels. `steps` is how many the configuration needs to learn from as many
tokens as the first one does in its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from moss_audio.data.loader import make_loader
from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.nano.thinking import add_think_tokens
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.settings import load_config
from moss_audio.train.cold_start import ColdStartConfig


def learnt(path: Path, scenes: str | None, batches: int, folder: Path) -> tuple[float, int]:
    """Tokens that are learnt from in a step, and the steps of the run."""
    # a control has the fields of `sft`, which the stage has, too
    config = load_config(path, ColdStartConfig)
    data = config.data
    if scenes is not None:
        data = replace(data, sources=tuple(replace(one, path=scenes) for one in data.sources))
    checkpoint = Checkpoint.open(config.model)
    source = checkpoint.folder
    if checkpoint.parts is not None and not checkpoint.can_think:
        source = folder / "thinks"
        if not source.exists():
            add_think_tokens(checkpoint.folder, source)
    processor = MossAudioProcessor.from_pretrained(source)
    n_mels = checkpoint.sizes.audio.num_mel_bins
    loader = make_loader(data, processor.tokenizer, processor.prompt_spec, n_mels)
    counts = [batch.num_items for batch in islice(loader, batches)]
    return float(np.mean(counts)) * config.loop.accumulate, config.loop.steps


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--scenes", help="folder of composed scenes, for all sources")
    parser.add_argument("--batches", type=int, default=100, help="drawn of each (default: 100)")
    given = parser.parse_args()
    whole = None
    try:
        with tempfile.TemporaryDirectory() as folder:
            for path in given.configs:
                tokens, steps = learnt(path, given.scenes, given.batches, Path(folder))
                whole = tokens * steps if whole is None else whole
                print(f"{path}: {tokens:.0f} tokens a step; {whole / tokens:.0f} steps")
    except MossAudioError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

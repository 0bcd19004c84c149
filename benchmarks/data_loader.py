"""The data loader against the training step that it feeds: may it ever be waited for?

    python benchmarks/data_loader.py --scenes FOLDER            a folder of composed scenes
    python benchmarks/data_loader.py --config data.yaml         any mixture
    python benchmarks/data_loader.py --scenes FOLDER --need 400 a step that takes 400 s of audio a s

Without `--need` the step is measured too: forward and backward of the model on the same batches,
everything trainable, without an optimizer, which would only make it slower. `busy` is the share of
the time in which the step need not wait, if the loader has cores of its own: need and supply are
measured one after the other. The loader alone is bounded by the machine's cores, however many
workers there are.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from measure import CLOCKS

WARM_UP = 2  # batches: workers start, files come into the system's cache


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--scenes", help="folder of composed scenes, of which `train` is read")
    what.add_argument("--config", help="YAML of a mixture")
    parser.add_argument("--model", default="nano", help="nano, or a folder (default: nano)")
    parser.add_argument("--need", type=float, help="seconds of audio that training takes a second")
    parser.add_argument("--batches", type=int, default=20, help="measured ones (default: 20)")
    parser.add_argument("--batch-audio-s", type=float, default=60.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu on a busy machine: without workers"
    )
    given = parser.parse_args()
    now = CLOCKS[given.clock]
    if given.clock == "cpu":
        given.workers = [0]  # the time of other processes is not this one's
    os.environ["TOKENIZERS_PARALLELISM"] = "false"

    import moss_audio
    from moss_audio.data.augment import AugmentConfig
    from moss_audio.data.config import DataConfig, SourceConfig, read_data_config
    from moss_audio.data.loader import Loader, open_sources
    from moss_audio.errors import MossAudioError
    from moss_audio.model.device import training_dtype

    try:
        if given.config:
            config = read_data_config(given.config)
        else:
            source = SourceConfig("scenes", given.scenes, split="train")
            config = DataConfig((source,), batch_audio_s=given.batch_audio_s, seed=1)
        model = moss_audio.MossAudioModel.from_pretrained(given.model, dtype=training_dtype("cpu"))
        processor = moss_audio.MossAudioProcessor.from_pretrained(given.model)
        began = time.perf_counter()
        sources = open_sources(config)
        opened_s = time.perf_counter() - began
    except MossAudioError as error:
        parser.error(str(error))
    hours = sum(float(s.audio_s.sum()) for s in sources) / 3600
    print(
        f"{sum(map(len, sources))} examples, {hours:.1f} h, opened in {opened_s:.2f} s", flush=True
    )

    def loader(config: DataConfig) -> Loader:
        parts = processor.tokenizer, processor.prompt_spec, processor.n_mels
        return Loader(config, sources, *parts, rank=0, world_size=1, state=None)

    need = given.need
    if need is None:
        some = list(islice(loader(replace(config, workers=0)), 3))
        need = step_rate(model, some, now)
        print(f"the step takes {need:.0f} s of audio a second", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        kinds = [
            ("features computed", replace(config, augment=None)),
            ("augmented, computed", replace(config, augment=AugmentConfig())),
            ("features cached", replace(config, augment=None, features="cache", cache_dir=folder)),
        ]
        for name, chosen in kinds:
            if chosen.features == "cache":  # filled before it is measured
                for _ in islice(loader(replace(chosen, workers=0)), given.batches + WARM_UP):
                    pass
            for workers in given.workers:
                made = loader(replace(chosen, workers=workers))
                batches, audio = supply(iter(made), given.batches, now)
                print(
                    f"{name}, {workers} workers: {batches:.2f} batches/s, "
                    f"{audio:.0f} s of audio/s, {audio / need:.2f} x the need, "
                    f"busy {min(1.0, audio / need):.0%}; "
                    f"padding {made.report.padding:.1%} of ids, "
                    f"{made.report.audio_padding:.1%} of frames",
                    flush=True,
                )
    return 0


def supply(batches: Iterator[Any], count: int, now: Callable[[], float]) -> tuple[float, float]:
    """Batches and seconds of audio a second that come when they are taken at once."""
    # with workers, what was made ahead during the warm-up is not to count as made in no time
    for _ in islice(batches, WARM_UP):
        pass
    began, taken, audio_s = now(), 0, 0.0
    for batch in islice(batches, count):
        taken += 1
        audio_s += batch.audio_s
    elapsed_s = now() - began
    return taken / elapsed_s, audio_s / elapsed_s


def step_rate(model: Any, batches: list[Any], now: Callable[[], float]) -> float:
    """Seconds of audio a second that forward and backward go through."""
    model.train()
    model.requires_grad_(True)
    rates = []
    for batch in batches:
        began = now()
        output = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            labels=batch.labels,
            audio_data=batch.audio_data,
            audio_data_seqlens=batch.audio_data_seqlens,
            audio_input_mask=batch.audio_input_mask,
            use_cache=False,
        )
        output.loss.backward()
        model.zero_grad(set_to_none=True)
        rates.append(batch.audio_s / (now() - began))
    return sorted(rates[1:] or rates)[len(rates[1:] or rates) // 2]


if __name__ == "__main__":
    sys.exit(main())

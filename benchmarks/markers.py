"""What time markers do where they matter: nano learns timelines of clips of up to a minute, with
and without them, and is asked about clips of up to two.

    moss-audio scenes make configs/nano/scenes-long.yaml data/scenes-long
    python benchmarks/markers.py --data data/scenes-long --out runs/markers

Both arms go on from nano, which was taught on clips of 15 s with markers: what is left of that head
start shows on clips of 15 s. They have the same clips, seeds and steps (configs/nano/markers.yaml).
A run that is complete is kept: the same command goes on, and prints the table again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from statistics import mean, median
from typing import Any

import yaml
from arms import spread, start_folder
from long_timelines import LENGTHS_S, heard_clips, measured

CONFIG = Path(__file__).parents[1] / "configs" / "nano" / "markers.yaml"
ARMS = {"markers": "with time markers", "no-markers": "without"}


def one(arm: str, seed: int, args: argparse.Namespace) -> None:
    """Train and measure one run, unless its figures are there."""
    import moss_audio
    from moss_audio.files import write_atomic
    from moss_audio.train import sft

    folder: Path = args.out / f"{arm}-{seed}"
    if (folder / "figures.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    config["data"]["sources"][0]["path"] = str(args.data)
    config["data"]["seed"] = config["seed"] = seed
    config["model"] = str(start_folder(args.out, arm == "markers"))
    config["output"] = str(folder / "model")
    config["loop"]["output_dir"] = str(folder / "run")
    if args.steps is not None:
        config["loop"]["steps"] = args.steps
    write_atomic(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    if not sft.main(folder / "config.yaml"):
        sys.exit(130)
    figures = {
        f"{seconds:g}": [
            {
                "first_s": stretch.first_s, "last_s": stretch.last_s, "f1": stretch.f1,
                "onset_ms": 1000 * median(stretch.onsets_s) if stretch.onsets_s else None,
                "told": stretch.counts.predictions, "sounds": stretch.counts.references,
            }
            for stretch in measured(
                moss_audio.load(folder / "model", window_s=seconds),
                heard_clips(args.data, seconds, args.most),
                seconds,
            )
        ]
        for seconds in LENGTHS_S
    }  # fmt: skip
    write_atomic(folder / "figures.json", json.dumps(figures, indent=1))
    shutil.rmtree(folder / "run")


def table(out: Path, seeds: list[int]) -> str:
    """Means over seeds, with their standard deviation, by length of the clip and stretch of it."""
    lines = ["| clip | stretch | | F1 | onset, ms | told of sounds |", "|---" * 6 + "|"]
    runs = {
        arm: [json.loads((out / f"{arm}-{seed}" / "figures.json").read_text()) for seed in seeds]
        for arm in ARMS
    }
    for length, stretches in runs["markers"][0].items():
        for place, stretch in enumerate(stretches):
            for arm, words in ARMS.items():
                found = [run[length][place] for run in runs[arm]]
                told = mean(one["told"] / one["sounds"] for one in found if one["sounds"])
                where = f"{stretch['first_s']:g} to {stretch['last_s']:g} s"
                f1 = spread([one["f1"] for one in found], 2)
                onset = spread([one["onset_ms"] for one in found], 0)
                lines.append(f"| {length} s | {where} | {words} | {f1} | {onset} | {told:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """All runs that are not there yet, then the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of scenes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="instead of those of the configuration")
    parser.add_argument("--most", type=int, default=12, help="clips of a length (default: 12)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:  # whole seeds first
        for arm in ARMS:
            one(arm, seed, args)
    print(table(args.out, args.seeds))


if __name__ == "__main__":
    main()

"""What time markers, DeepStack, the curriculum and text do: short runs that differ in one thing.

    python benchmarks/ablations.py --data data/scenes --out runs/ablations
    python benchmarks/ablations.py --data data/scenes --out runs/ablations --jobs 2

All runs start at nano without what its decoder learnt: the decoder's LoRA is taken off and the
mergers are silent again, so that nothing to be compared is there already (adapter and encoder stay
as they are). Each goes through the stage `pretrain` (configs/nano/ablation.yaml), with the same
data, seed and steps, and then answers the unseen test scenes as `moss-audio evaluate` asks them.
A run that is complete is kept: the same command goes on, and prints the table again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from arms import spread, start_folder

CONFIG = Path(__file__).parents[1] / "configs" / "nano" / "ablation.yaml"
# (part, figure of the suite, its name here)
FIGURES = (
    ("voice", "word error rate", "WER, %"),
    ("word times", "AAS, mean", "AAS, ms"),
    ("word times", "words matched", "matched, %"),
    ("events", "event-based F1 at 200 ms", "event F1"),
    ("captions", "sounds named", "sounds named, %"),
    ("captions", "facts named", "facts named, %"),
    ("captions", "facts invented", "invented, %"),
)
ARMS = {
    "base": "all of it",
    "no-deepstack": "without DeepStack",
    "no-markers": "without time markers",
    "no-curriculum": "curriculum off",
    "no-text": "no text group",
}


def untaught(folder: Path) -> None:
    """Takes from a copy of nano its decoder's LoRA, and makes its mergers silent."""
    import torch

    from moss_audio.files import write_atomic
    from moss_audio.model.nano.parts import LORA_DOWN, LORA_UP, TRAINED_FILE
    from moss_audio.model.nano.quantize import load_packed, save_packed
    from moss_audio.train.setup import DECODER, MERGERS

    parts = json.loads((folder / "parts.json").read_text())
    write_atomic(folder / "parts.json", json.dumps({**parts, "times": "written"}))
    kept = {}
    for name, tensor in load_packed(folder / TRAINED_FILE, torch.float32).items():
        if name.startswith(DECODER) and name.endswith((LORA_DOWN, LORA_UP)):
            continue
        if name.startswith(MERGERS) and "down_proj" in name:
            tensor = torch.zeros_like(tensor)
        kept[name] = (tensor, 16)
    save_packed(folder / TRAINED_FILE, kept)


def overrides(arm: str, seed: int, out: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a run changes in the configuration."""
    folder = out / f"{arm}-{seed}"
    data = {**config["data"], "seed": config["data"].get("seed", 0) + seed}
    values: dict[str, Any] = {
        "model": str(start_folder(out, arm != "no-markers", untaught)),
        "output": str(folder / "model"),
        "loop": {**config["loop"], "output_dir": str(folder / "run")},
        "data": data,
        "seed": seed,
    }
    if arm == "no-deepstack":
        values["freeze"] = [*config.get("freeze", []), "mergers"]  # silent, they stay so
    elif arm == "no-curriculum":
        values["curriculum"] = []
    elif arm == "no-text":
        data["groups"] = {g: s for g, s in data["groups"].items() if g != "text"}
        data["sources"] = [s for s in data["sources"] if s.get("group") != "text"]
        values["curriculum"] = [
            {**phase, "tasks": [t for t in phase["tasks"] if t != "text"]}
            for phase in config.get("curriculum", [])
        ]
    return values


def one(arm: str, seed: int, args: argparse.Namespace) -> None:
    """Train and measure one run, unless its report is there."""
    import yaml

    from moss_audio.cli import main
    from moss_audio.files import write_atomic
    from moss_audio.train import pretrain

    folder = args.out / f"{arm}-{seed}"
    report = folder / "evaluation" / "report.json"
    if report.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load(args.config.read_text())
    written = {**config, **overrides(arm, seed, args.out, config)}
    write_atomic(folder / "config.yaml", yaml.safe_dump(written, sort_keys=False))
    if not pretrain.main(folder / "config.yaml"):
        sys.exit(130)
    words = ["evaluate", str(folder / "model"), "--suite", "nano", "--data", str(args.data)]
    words += ["--out", str(report.parent), "--limit", str(args.limit)]
    words += ["--batch-size", "32"]  # such models ramble: fewer, fuller batches end sooner
    for part in dict.fromkeys(part for part, *_ in FIGURES):
        words += ["--part", part]
    if code := main(words):
        sys.exit(code)
    shutil.rmtree(folder / "run")  # what is left is the model and its report
    if not args.keep:
        shutil.rmtree(folder / "model")


def table(out: Path, arms: Sequence[str], seeds: Sequence[int]) -> str:
    """Means over seeds, with their standard deviation."""
    lines = [
        "| | " + " | ".join(name for *_, name in FIGURES) + " |",
        "|---" * (len(FIGURES) + 1) + "|",
    ]
    for arm in arms:
        row = [ARMS[arm]]
        found: dict[tuple[str, str], list[float]] = {}
        for seed in seeds:
            path = out / f"{arm}-{seed}" / "evaluation" / "report.json"
            for figure in json.loads(path.read_text())["figures"]:
                if figure["group"] == "all" and figure["value"] is not None:
                    found.setdefault((figure["part"], figure["name"]), []).append(figure["value"])
        for part, name, _ in FIGURES:
            digits = 2 if name.startswith("event") else 1
            row.append(spread(found.get((part, name), []), digits))
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the test scenes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--limit", type=int, default=48, help="items of each part")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--keep", action="store_true", help="keep the models")
    parser.add_argument("--one", nargs=2, metavar=("ARM", "SEED"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """All runs that are not there yet, then the table."""
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.one:
        one(args.one[0], int(args.one[1]), args)
        return 0
    for markers in (True, False):
        start_folder(args.out, markers)
    runs = [(arm, seed) for seed in args.seeds for arm in args.arms]  # whole seeds first

    def start(run: tuple[str, int]) -> int:
        arm, seed = run
        environment = dict(os.environ)
        if args.jobs > 1:
            environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // args.jobs))
        with (args.out / f"{arm}-{seed}.log").open("a") as log:
            return subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--one", arm, str(seed)],
                stdout=log, stderr=log, env=environment, check=False,
            ).returncode  # fmt: skip

    with ThreadPoolExecutor(args.jobs) as pool:
        for (arm, seed), code in zip(runs, pool.map(start, runs), strict=True):
            print(f"{arm}, seed {seed}: {'done' if not code else f'ended with {code}'}", flush=True)
            if code:
                return code
    print(table(args.out, args.arms, args.seeds))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Speed and memory, each against a peer in the same run: `make bench`.

    python benchmarks/run.py                        the table
    python benchmarks/run.py --write                ... also into docs/results.md
    python benchmarks/run.py --only log_mel batch   some of it

Nothing here passes or fails: a busy machine measures itself. Close other programs first.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

NAMES = ("log_mel", "batch", "second_question", "memory", "sft_step")
RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results.md"
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def main() -> int:
    """Run, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano", help="nano, or a folder (default: nano)")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--threads", type=int, help="of torch (default: its own choice)")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu on a busy machine"
    )
    parser.add_argument(
        "--write",
        nargs="?",
        const=RESULTS,
        type=Path,
        metavar="FILE",
        help="put the table between the markers of FILE (default: docs/results.md)",
    )
    given = parser.parse_args()
    # a polite kill leaves no temporary files behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if given.threads:
        os.environ["OMP_NUM_THREADS"] = str(given.threads)  # the children's too
    if given.write and given.write.is_file() and not _has_markers(given.write):
        parser.error(f"{given.write} has no lines {BEGIN} and {END} to write between")

    import batch
    import log_mel
    import measure
    import memory
    import second_question
    import sft_step
    import torch
    from rich.console import Console

    import moss_audio
    from moss_audio.errors import MossAudioError

    if given.threads:
        torch.set_num_threads(given.threads)
    console = Console(stderr=True)
    try:
        # float32: bfloat16 may round a row otherwise beside others
        model = moss_audio.load(given.model, engine="torch", dtype="float32")
    except MossAudioError as error:
        parser.error(str(error))
    about = measure.machine(model.engine.precision)
    rows: list[measure.Row] = []
    for name in given.only:
        began = time.perf_counter()
        with console.status(f"measuring {name}"):
            if name == "log_mel":
                rows += log_mel.measure(model, given.clock)
            elif name == "batch":
                rows += batch.measure(model, given.clock)
            elif name == "second_question":
                rows += second_question.measure(model, given.clock)
            elif name == "memory":
                rows += memory.measure(given.model)
            else:
                rows += sft_step.measure(clock=given.clock)
        console.print(f"{name}: {time.perf_counter() - began:.0f} s", style="dim")
    print_rows(rows, f"{about}; medians, {given.clock} time")
    if given.write:
        _write(given.write, rows, about, given.clock)
        console.print(f"written to {given.write}")
    return 0


def print_rows(rows: list, about: str) -> None:
    """The table on the terminal, with what was measured on beneath it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Benchmarks: ours / peer", caption=about)
    for heading in ("what", "ours", "peer", "ratio", "aim"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for row in rows:
        colour = {True: "green", False: "red", None: ""}[row.reached]
        ratio = f"[{colour}]{row.ratio:.2f}x[/]" if colour else f"{row.ratio:.2f}x"
        what = f"{row.what}\n[dim]{row.note}[/]" if row.note else row.what
        table.add_row(what, row.ours, row.peer, ratio, row.aim_text)
    # a pipe has no width of its own, and a table squeezed into 80 columns is no table
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _has_markers(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return 0 <= text.find(BEGIN) < text.find(END)


def _write(path: Path, rows: list, about: str, clock: str) -> None:
    lines = [
        f"Measured by `make bench` on {about}; medians, {clock} time, both sides in turns.",
        "",
        "| ours / peer | ours | peer | ratio | aim | |",
        "|---|--:|--:|--:|--:|---|",
        *(
            f"| {row.what} | {row.ours} | {row.peer} | {row.ratio:.2f}x | {row.aim_text} "
            f"| {row.note} |"
            for row in rows
        ),
    ]
    table = "\n".join(lines)
    text = path.read_text(encoding="utf-8") if path.is_file() else f"{BEGIN}\n{END}\n"
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

"""`python -m recipes.dialogue OUT [GAME ...]`: spoken lines as conversations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recipes.command import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    from recipes.dialogue.games import GAMES

    parser = argparse.ArgumentParser(
        prog="python -m recipes.dialogue",
        description="Write the spoken lines of free games (Debian packages), transcribed by "
        "Whisper tiny.en, as conversations to train on: OUT/train.jsonl and OUT/audio/. An "
        "interrupted run resumes when the same command is given again.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; made if absent")
    parser.add_argument(
        "games", nargs="*", metavar="GAME", help=f"any of {', '.join(GAMES)} (default: all)"
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR",
        help="folder in which the games' packages are installed or unpacked (default: /)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="processes (default: 2)"
    )
    parsed = parser.parse_args(arguments)
    if parsed.workers < 1:
        parser.error(f"--workers {parsed.workers}: give at least 1")

    def work() -> str:
        from recipes.dialogue.make import make

        return make(parsed.out, parsed.games or list(GAMES), parsed.root, parsed.workers)

    return run(work, "interrupted; the same command resumes")


if __name__ == "__main__":
    sys.exit(main())

"""`python -m recipes.dialogue OUT [GAME ...]`: spoken lines as conversations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from moss_audio.errors import MossAudioError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    from recipes.dialogue.games import GAMES

    parser = argparse.ArgumentParser(
        prog="python -m recipes.dialogue",
        description="Write the spoken lines of free games (Debian's packages) with transcripts of "
        "Whisper tiny.en as conversations to train on: OUT/train.jsonl, OUT/audio/. A run that "
        "was stopped goes on.",
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("games", nargs="*", metavar="GAME", help=f"of {', '.join(GAMES)} (all)")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where packages lie unpacked")
    parser.add_argument("--workers", type=int, default=2)
    parsed = parser.parse_args(arguments)
    from recipes.dialogue.make import make

    try:
        print(make(parsed.out, parsed.games or list(GAMES), parsed.root, parsed.workers))
    except MossAudioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

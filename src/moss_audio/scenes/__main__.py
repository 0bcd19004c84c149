"""`python -m moss_audio.scenes CONFIG OUT [WORKERS]`: make the scenes a configuration describes."""

from __future__ import annotations

import sys

from moss_audio.errors import MossAudioError


def main(arguments: list[str]) -> int:
    """Run; returns the exit status."""
    if len(arguments) not in (2, 3):
        print("usage: python -m moss_audio.scenes CONFIG OUT [WORKERS]", file=sys.stderr)
        return 2
    from moss_audio.scenes.make import make

    try:
        make(arguments[0], arguments[1], workers=int(arguments[2]) if arguments[2:] else 2)
    except MossAudioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

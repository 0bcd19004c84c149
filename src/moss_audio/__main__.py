"""`python -m moss_audio`: the `moss-audio` command."""

from __future__ import annotations

import sys

from moss_audio.cli import main

if __name__ == "__main__":
    sys.exit(main())

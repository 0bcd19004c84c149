"""Entries -> recordings: decoded once to know length and content, block by block.

A recording's id is a hash of its sound as the rest of the package hears it (16 kHz, mono, 16 bits),
so that the same sound in another file, container or folder is found to be the same.
"""

from __future__ import annotations

import hashlib
from typing import Any

from moss_audio.annotate.config import IngestConfig
from moss_audio.annotate.flac import pcm
from moss_audio.annotate.inputs import InputFile
from moss_audio.annotate.records import Aside, Recording
from moss_audio.errors import AudioError
from moss_audio.recordings import stream_audio
from moss_audio.units import SAMPLE_RATE

ID_CHARS = 20
_BLOCK_S = 30.0


def ingest_fingerprint(config: IngestConfig) -> str:
    """Changes whenever an entry may become another recording: with the decoder's version, too."""
    import av
    import soxr

    return f"ingest 2, min_s {config.min_s}, av {av.__version__}, soxr {soxr.__version__}"


def read_recording(entry: InputFile, config: IngestConfig) -> Recording | Aside:
    """Decode an entry to its end. Memory depends on neither its length nor its size."""

    def aside(reason: str, detail: str) -> Aside:
        return Aside(entry.path, reason, detail, entry.member)

    if entry.size == 0:
        return aside("empty", "0 bytes")
    digest = hashlib.sha256()
    count = 0
    try:
        with stream_audio(entry.open(), block_s=_BLOCK_S) as stream:
            for block in stream:
                digest.update(pcm(block).tobytes())
                count += len(block)
    except AudioError as error:
        return aside("unreadable", str(error))
    except OSError as error:
        return aside("unreadable", error.strerror or str(error))
    duration_s = count / SAMPLE_RATE
    if not count:
        return aside("empty", "no samples")
    if duration_s < config.min_s:
        return aside("too short", f"{duration_s:.2f} s; at least {config.min_s:g} s are wanted")
    provenance: dict[str, Any] = dict(entry.provenance)
    if stream.warnings:
        provenance["warnings"] = list(stream.warnings)
    rate, channels = stream.layout
    return Recording(
        id=digest.hexdigest()[:ID_CHARS],
        path=entry.path,
        duration_s=duration_s,
        sample_rate=rate,
        channels=channels,
        member=entry.member,
        provenance=provenance,
    )

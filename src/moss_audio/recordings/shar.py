"""Lhotse's manifests: a file of cuts, or a folder of Shar shards (cuts beside tars of audio).

Read are the cuts' lines and, of Shar, the places of the audio inside its tars, so that examples
can be had in any order, which Lhotse's own streaming reader of Shar does not give.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from moss_audio.errors import MossAudioError
from moss_audio.recordings.entry import Clip, Entry, Unread, resolved, seconds
from moss_audio.recordings.tables import read_objects
from moss_audio.recordings.tars import TarMember

_CUTS = "cuts*.jsonl*"


def holds_shar(path: Path) -> bool:
    """Whether a path is a folder with files of cuts."""
    return path.is_dir() and any(path.glob(_CUTS))


def read_shar(path: Path) -> Iterator[Entry | Unread]:
    """MonoCuts with one recording of one channel, in order; `fields` are the whole cut.

    Raises MossAudioError if there are none at `path`.
    """
    files = sorted(path.glob(_CUTS)) if path.is_dir() else [path]
    if not files:
        raise MossAudioError(f"{path}: no cuts*.jsonl.gz in it; give a Shar folder or a file")
    for file in files:
        inside = _members(file)
        for record in read_objects(file):
            if isinstance(record, Unread):
                yield record
                continue
            try:
                clip = _clip(record.fields, file.parent, inside)
            except MossAudioError as error:
                yield Unread(record.where, str(error))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                yield Unread(record.where, f"not a cut ({error!r})")
            else:
                yield Entry(clip, record.where, str(record.fields["id"]), None, record.fields)


def _clip(cut: Mapping[str, Any], folder: Path, inside: Mapping[str, TarMember]) -> Clip:
    if cut.get("type", "MonoCut") != "MonoCut":
        raise MossAudioError(f"a {cut['type']}: only MonoCuts are read")
    recording = cut.get("recording")
    if recording is None:
        raise MossAudioError("a cut without a recording")
    if len(recording.get("channel_ids") or [0]) != 1 or len(recording["sources"]) != 1:
        raise MossAudioError("a recording of several channels or files")
    if recording.get("transforms"):
        raise MossAudioError("a recording that is to be transformed: write it out first")
    (source,) = recording["sources"]
    length_s = seconds(cut["duration"], "duration")
    if source["type"] == "shar":
        member = inside.get(cut["id"])
        if member is None:
            raise MossAudioError(f"no audio of {cut['id']!r} in the recording*.tar beside it")
        return Clip(member, name=member.name)
    if source["type"] not in ("file", "url"):
        raise MossAudioError(f"audio of type {source['type']!r}: use files, URLs or Shar")
    start_s = seconds(cut["start"], "start") or 0.0
    audio = resolved(source["source"], folder)
    return Clip(audio, start_s, start_s + (length_s or 0.0), source["source"])


def _members(cuts: Path) -> dict[str, TarMember]:
    """id -> its audio, from the tar that belongs to this file of cuts, if it has one."""
    shard = cuts.name.removeprefix("cuts.").split(".jsonl")[0]
    tar = cuts.parent / f"recording.{shard}.tar"
    if not tar.is_file():
        return {}
    try:
        with tarfile.open(tar) as members:
            return {
                info.name.rpartition(".")[0]: TarMember(
                    str(tar), info.name, info.offset_data, info.size
                )
                for info in members
                if not info.name.endswith((".json", ".nodata", ".nometa"))
            }
    except (tarfile.TarError, OSError) as error:
        raise MossAudioError(f"{tar}: damaged: {error}") from None

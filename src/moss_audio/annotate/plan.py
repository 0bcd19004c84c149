"""Which recording belongs to which shard: decided once, never changed, only added to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from moss_audio import settings
from moss_audio.annotate.config import IngestConfig
from moss_audio.annotate.inputs import InputFile
from moss_audio.annotate.store import AnnotationStore


@dataclass(frozen=True)
class Shard:
    """Entries that are done together. `active` are those that the command names this time: an
    entry whose file was taken away or changed stays in its shard and is passed over."""

    number: int
    entries: tuple[InputFile, ...]
    active: tuple[bool, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)


def make_plan(
    store: AnnotationStore, entries: Sequence[InputFile], config: IngestConfig
) -> list[Shard]:
    """The shards of all entries, those of earlier runs first; written down before it returns.

    New entries go to new shards, so that nothing that is done is touched by them.
    """
    numbers = sorted(int(path.stem) for path in store.plan.glob("[0-9]*.jsonl"))
    kept = [list(entries_of(store, number)) for number in numbers]
    known = {_key(entry) for shard in kept for entry in shard}
    fresh = [entry for entry in entries if _key(entry) not in known]
    for shard in _divide(fresh, config):
        # One after the other and in order: a run that ends here leaves the first of them, and the
        # next run divides what follows in the same way.
        store.put_rows(_path(store, len(kept)), (asdict(entry) for entry in shard))
        kept.append(shard)
    wanted = {_key(entry) for entry in entries}
    return [
        Shard(number, tuple(shard), tuple(_key(entry) in wanted for entry in shard))
        for number, shard in enumerate(kept)
    ]


def entries_of(store: AnnotationStore, shard: int) -> tuple[InputFile, ...]:
    """What belongs to a shard, in order."""
    return tuple(InputFile(**row) for row in store.rows(_path(store, shard)))


def _path(store: AnnotationStore, shard: int) -> Path:
    return store.plan / f"{shard:05d}.jsonl"


def _divide(entries: Sequence[InputFile], config: IngestConfig) -> list[list[InputFile]]:
    shards: list[list[InputFile]] = []
    most = config.shard_mib * 2**20
    size = 0.0
    for entry in entries:
        if not shards or len(shards[-1]) >= config.shard_files or size + entry.size > most:
            shards.append([])
            size = 0.0
        shards[-1].append(entry)
        size += entry.size
    return shards


def _key(entry: InputFile) -> str:
    return settings.digest([asdict(entry)])

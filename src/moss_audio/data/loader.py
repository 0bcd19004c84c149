"""The loader: batches in a fixed order, from any point of it on.

Lhotse decides in this process which examples make a batch; worker processes (or this one, without
any) read audio, draw conversations, compute features and collate. All state there is are two
numbers, the epoch and the batches of it that were taken: batches made ahead do not count, and an
example depends on nothing but its place.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from moss_audio.data.batch import Batch, SetAside
from moss_audio.data.cache import FeatureCache
from moss_audio.data.collate import Collator
from moss_audio.data.config import DataConfig, source_name
from moss_audio.data.draw import draw
from moss_audio.data.example import Example
from moss_audio.data.mixture import Place, make_sampler
from moss_audio.data.report import LoaderReport
from moss_audio.data.sources import open_source
from moss_audio.data.sources.base import Source
from moss_audio.errors import MossAudioError
from moss_audio.prompt import PromptSpec

_VERSION = 1
# As many examples set aside without a single usable one are a mistake, not bad luck.
_HOPELESS = 64
# What decides the order of examples; the same state means another place if one of them changes.
_ORDER = (
    "endless", "batch_audio_s", "batch_tokens", "layout", "buckets", "buffer", "shuffle", "seed",
)  # fmt: skip


def make_loader(
    config: DataConfig,
    tokenizer: Any,
    spec: PromptSpec,
    n_mels: int,
    *,
    rank: int = 0,
    world_size: int = 1,
    state: Mapping[str, Any] | None = None,
) -> Loader:
    """Opens all sources and gives the loader.

    Args:
        config: see `DataConfig`.
        tokenizer, spec, n_mels: as for `Collator`.
        rank, world_size: this process among those that train together; all get equally many
            batches, and no example goes to two of them.
        state: what `Loader.state_dict` gave, to resume from there.

    Raises:
        MossAudioError: a source that can't be used, or a state of other data.
    """
    if not 0 <= rank < world_size:
        raise MossAudioError(f"rank {rank} is not one of {world_size} processes")
    return Loader(config, open_sources(config), tokenizer, spec, n_mels, rank, world_size, state)


def open_sources(config: DataConfig) -> list[Source]:
    """All sources of a configuration, checked. Raises MossAudioError."""
    return [open_source(source, config) for source in config.sources]


def order_of(config: DataConfig, sources: Sequence[Source], world_size: int) -> dict[str, Any]:
    """All that decides the order of examples, in plain JSON types."""
    return {
        **{name: getattr(config, name) for name in _ORDER},
        "world_size": world_size,
        "groups": dict(config.groups),
        "sources": [
            [source_name(c), len(s), c.group, c.weight]
            for c, s in zip(config.sources, sources, strict=True)
        ],
    }


def check_order(saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise MossAudioError where a state was saved in another order (`order_of`) than now's."""
    changed = [
        f"{name} was {saved.get(name)!r} and is {value!r}"
        for name, value in now.items()
        if saved.get(name) != value
    ]
    if changed:
        raise MossAudioError(
            "the data changed since the state was saved, so its place means nothing: "
            + "; ".join(changed)
            + ". Undo that, or start without the state"
        )


class Loader:
    """Batches of one rank; made by `make_loader`.

    Iterating gives what is left of the current epoch, the next iteration the next epoch.
    `state_dict` is right after every batch, `report` counts what was given and left out.
    """

    def __init__(
        self,
        config: DataConfig,
        sources: Sequence[Source],
        tokenizer: Any,
        spec: PromptSpec,
        n_mels: int,
        rank: int,
        world_size: int,
        state: Mapping[str, Any] | None,
    ) -> None:
        self.config, self.sources = config, sources
        self.rank, self.world_size = rank, world_size
        self.epoch, self.taken = 0, 0  # batches of this epoch
        self.report = LoaderReport(bad_lines=sum(len(s.bad) for s in sources))
        cached = config.features == "cache"
        cache = FeatureCache(config.cache_dir or ".", n_mels) if cached else None
        self._collator = Collator(
            tokenizer, spec, n_mels, config.layout, config.max_tokens, config.over_long, cache
        )
        if state is not None:
            self._load(state)

    def __iter__(self) -> Iterator[Batch]:
        """The rest of this epoch. Leaving early keeps the place; the next iteration resumes."""
        left_out, usable = 0, self.report.examples > 0
        for batch in self._made():
            if isinstance(batch, MossAudioError):
                raise batch
            self.taken += 1
            self.report.add(batch)
            usable = usable or bool(batch.ids)
            left_out += len(batch.set_aside)
            if not usable and left_out >= _HOPELESS:
                raise MossAudioError(f"none of the first {left_out} examples can be used: "
                                     f"{_some(self.report.listed)}")  # fmt: skip
            # other ranks wait for this one: it has to take part in each of their steps
            if batch.ids or self.world_size > 1:
                yield batch
        if not usable:
            raise MossAudioError(f"no example can be used: {_some(self.report.listed)}")
        self.epoch, self.taken = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is, in plain JSON types: after the last batch that was taken from it."""
        return {
            "version": _VERSION,
            "epoch": self.epoch,
            "batches": self.taken,
            "order": order_of(self.config, self.sources, self.world_size),
            "report": self.report.state_dict(),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        try:
            version, theirs = state["version"], state["order"]
            epoch, taken, report = state["epoch"], state["batches"], state["report"]
        except (KeyError, TypeError):
            raise MossAudioError("the data state is none of this loader's") from None
        if version != _VERSION:
            raise MossAudioError(f"the data state has version {version}, this is {_VERSION}")
        check_order(theirs, order_of(self.config, self.sources, self.world_size))
        self.epoch, self.taken = epoch, taken
        self.report.load_state_dict(dict(report))

    def _made(self) -> Iterator[Batch | MossAudioError]:
        config = self.config
        sampler = make_sampler(config, self.sources, self.epoch, self.rank, self.world_size)
        left = islice(sampler, self.taken, None)  # going over them costs no audio
        workers = config.workers
        examples = _Examples(config, self.sources, self._collator)
        return iter(
            DataLoader(
                examples,
                batch_sampler=left,  # type: ignore[arg-type]  # any iterable will do
                collate_fn=examples.collate,
                num_workers=workers,
                prefetch_factor=config.prefetch if workers else None,
                worker_init_fn=_leave_signals,
                pin_memory=config.pin_memory,
                # or each iteration would take a number from the generator that the model uses
                generator=torch.Generator().manual_seed(config.seed),
            )
        )


def _leave_signals(_: int) -> None:
    """A worker leaves signals to the training process, which saves first and ends it then; a
    whole process group gets them from a terminal or a job scheduler."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


class _Examples(Dataset[Example | SetAside]):
    """What workers do: places -> examples, and a batch of them."""

    def __init__(self, config: DataConfig, sources: Sequence[Source], collator: Collator) -> None:
        self.config, self.sources, self.collator = config, sources, collator

    def __getitem__(self, place: Place) -> Example | SetAside:  # type: ignore[override]
        source = self.sources[place.source]
        config = self.config
        return draw(source, place.number, place.id, place.turn, config.seed, config.augment)

    def collate(self, drawn: Sequence[Example | SetAside]) -> Batch | MossAudioError:
        """A batch; an error that ends the run travels as a value, to stay one line."""
        try:
            batch = self.collator([e for e in drawn if isinstance(e, Example)])
        except MossAudioError as error:
            return MossAudioError(str(error))
        batch.set_aside[:0] = [e for e in drawn if isinstance(e, SetAside)]
        return batch


def _some(aside: Sequence[SetAside]) -> str:
    return "; ".join(f"{item.id}: {item.detail}" for item in aside[:3]) or "there is none"


def forever(loader: Iterable[Any]) -> Iterator[Any]:
    """A loader's batches without end, epoch after epoch.

    Raises:
        MossAudioError: if an epoch has no batch.
    """
    empty = 0
    while True:
        empty += 1
        for batch in loader:
            empty = 0
            yield batch
        if empty > 1:  # a loader that was resumed at the end of an epoch gives nothing once
            raise MossAudioError("the data holds no batch: nothing is left after its filters")

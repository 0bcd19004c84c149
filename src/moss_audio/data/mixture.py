"""Sources -> one endless or finite order of cuts -> batches of them, by Lhotse.

A cut here is only a place: which source, which example, which pass. Its `duration` is what the
example costs, in seconds of audio of as many tokens, so that text has a length too.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from moss_audio.data.config import DataConfig
from moss_audio.data.sources.base import Source
from moss_audio.errors import MissingDependencyError
from moss_audio.units import TOKENS_PER_SECOND

_LEAST_COST_S = 0.08  # one token: no example is free
_BATCHES_A_BUCKET = 4
_FOR_BINS = 10_000  # cuts by which the borders of the buckets are estimated


class Place(NamedTuple):
    """Where an example is to be found; `id` names it in batches and reports."""

    id: str
    source: int
    number: int
    turn: int  # passes over the source before this one


def mixture_weights(config: DataConfig, sizes: Sequence[int]) -> list[float]:
    """The chance of each source to give the next example; they sum to 1.

    share of its group * weight / sum of the weights in the group, where the weight is the square
    root of the number of examples unless the source brings its own (spec, section 2).
    """
    own = [
        s.weight if s.weight is not None else float(n) ** 0.5
        for s, n in zip(config.sources, sizes, strict=True)
    ]
    if not config.groups:
        return [w / sum(own) for w in own]
    total = sum(config.groups.values())
    in_group = {
        g: sum(w for s, w in zip(config.sources, own, strict=True) if s.group == g)
        for g in config.groups
    }
    return [
        config.groups[s.group] / total * w / in_group[s.group]
        for s, w in zip(config.sources, own, strict=True)
    ]


def cost_s(source: Source) -> np.ndarray:
    """What each example costs: seconds of audio of as many tokens as audio and text have."""
    cost = source.audio_s + source.text_tokens / TOKENS_PER_SECOND
    return np.maximum(cost, _LEAST_COST_S)


class _Cuts:
    """The cuts of one source, shuffled anew in each pass."""

    def __init__(self, sources: Sequence[Source], at: int, config: DataConfig, epoch: int) -> None:
        self.source, self.at, self.config, self.epoch = sources[at], at, config, epoch
        self.cost = cost_s(self.source)

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[Any]:
        from lhotse import MonoCut

        turn = self.epoch
        while True:
            if self.config.shuffle:
                order = self.source.order(np.random.default_rng((self.config.seed, self.at, turn)))
            else:
                order = np.arange(len(self.source))
            for index in order.tolist():
                place = (self.at, index, turn)
                yield MonoCut(
                    self.source.id(index), 0.0, float(self.cost[index]), 0, custom={"place": place}
                )
            if not self.config.endless:
                return
            turn += 1


def make_sampler(
    config: DataConfig, sources: Sequence[Source], epoch: int, rank: int, world_size: int
) -> Iterator[list[Place]]:
    """The batches of one epoch (of all time, if endless) for one rank; equally many for each.

    With buckets no batch is larger than configured, but for one of a single example. Without,
    the last example of a batch may go beyond by what it is longer than the others.

    Every rank goes through all batches and keeps its own. At the end of an epoch the last batches
    are divided among the ranks; if fewer examples are left than ranks, some come twice.
    """
    try:
        from lhotse import CutSet
    except ImportError as error:
        raise MissingDependencyError(error.name or "lhotse", "train", "mixing data") from None
    seed = config.seed * 1_000_003 + epoch
    parts = [CutSet(_Cuts(sources, at, config, epoch)) for at in range(len(sources))]
    if len(parts) == 1:
        cuts = parts[0]
    else:
        weights = mixture_weights(config, [len(s) for s in sources])
        cuts = CutSet.mux(*parts, weights=weights, seed=seed)
    sampler = _sampler(config, cuts, sources, seed, rank, world_size)
    return ([Place(cut.id, *cut.custom["place"]) for cut in batch] for batch in sampler)


def _sampler(
    config: DataConfig,
    cuts: Any,
    sources: Sequence[Source],
    seed: int,
    rank: int,
    world_size: int,
) -> Any:
    from lhotse.dataset import DynamicBucketingSampler, DynamicCutSampler
    from lhotse.dataset.sampling.dynamic_bucketing import estimate_duration_buckets

    from moss_audio.data.limit import BatchLimit

    most_s = config.batch_audio_s or (config.batch_tokens or 0) / TOKENS_PER_SECOND
    limit = BatchLimit(max_duration=most_s, concatenate_cuts=config.layout == "packed")
    common = {"shuffle": False, "seed": seed, "rank": rank, "world_size": world_size}
    n_cuts = sum(len(s) for s in sources)
    if config.endless:
        n_cuts = max(n_cuts, _FOR_BINS)
    # a bucket of less than a few batches would give mostly broken ones
    whole_s = sum(float(cost_s(s).sum(dtype=np.float64)) for s in sources)
    buckets = min(config.buckets, int(whole_s / (most_s * world_size * _BATCHES_A_BUCKET)))
    bins: list[float] = []
    if 1 < buckets <= n_cuts:
        some = list(islice(cuts, min(n_cuts, _FOR_BINS)))
        bins = estimate_duration_buckets(some, min(buckets, len(some)))
    if not bins:
        return DynamicCutSampler(cuts, constraint=limit, **common)
    limit.edges_s = (*bins, max(float(cost_s(s).max()) for s in sources))
    with warnings.catch_warnings():
        # Lhotse takes a CutSet over our own iterable for one that is wholly in memory
        warnings.filterwarnings("ignore", message=".*eagerly read CutSet")
        return DynamicBucketingSampler(
            cuts, constraint=limit, duration_bins=bins, buffer_size=config.buffer, **common
        )

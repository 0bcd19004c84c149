"""Runs work on shards as actors of Ray Data: on this machine or on a cluster, CPU and GPU mixed.

Only numbers of shards travel through Ray. What a step reads and writes lies in the output folder,
which therefore has to be on a disk that all nodes share, as have the recordings. So nodes and
actors may die at any time, and the next run finds what is done, under Ray or not. (Ray Data's own
checkpoints are not used: they are unfinished.)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from moss_audio.annotate.claims import Claims
from moss_audio.annotate.config import RayPool, RunConfig
from moss_audio.annotate.work import Steps, Work
from moss_audio.errors import MissingDependencyError, MossAudioError

_MOST_STARTS = 3
_STORE_BYTES = 100 * 2**20  # Ray would reserve a third of the memory for rows of one number


def run_ray(work: Work, shards: Sequence[int], claims: Claims, config: RunConfig) -> None:
    """Do `work` on all shards with actors that load their models once. Within `connected`.

    Steps with a pool of their own (`config.ray_pools`) run there; those between two such pools
    share a pool of `config.workers` actors. A shard goes from pool to pool, so that all are busy
    at once; Ray holds shards back where the next pool is slower.

    Why an actor gave up is in `claims`. Raises MossAudioError if the cluster has no room for the
    pools, or Ray gives up.
    """
    import ray.data

    groups = _groups(work, config)
    _check_room([pool for _, pool in groups])
    rows = [{"shard": shard} for shard in shards]
    data: Any = ray.data.from_items(rows, override_num_blocks=len(rows))
    for number, (part, pool) in enumerate(groups):
        data = data.map_batches(
            _Actor,
            fn_constructor_args=(part, claims, number),
            batch_size=1,
            concurrency=(1, min(pool.actors, len(rows))),
            num_cpus=pool.cpus,
            num_gpus=pool.gpus or None,
        )
    try:
        for _ in data.iter_batches(batch_size=None):
            pass
    except ray.exceptions.RayError as error:
        claims.check()
        reason = str(error).strip().splitlines()
        raise MossAudioError(
            f"Ray gave up ({reason[-1] if reason else type(error).__name__}); the same command "
            "resumes"
        ) from error


class _Actor:
    def __init__(self, work: Work, claims: Claims, pool: int) -> None:
        self._work, self._claims, self._pool = work, claims, pool

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for shard in map(int, batch["shard"]):
            # Ray restarts a dead actor again and again: right if its node died, wrong if the
            # shard kills it.
            if self._claims.begun(f"{shard:05d}-{self._pool}") > _MOST_STARTS:
                self._claims.stop(
                    "error",
                    f"an actor died {_MOST_STARTS} times while at shard {shard:05d}; out of "
                    "memory? use fewer --workers; the same command resumes",
                )
            self._claims.guard(self._work.do, shard)
        return batch


def _groups(work: Work, config: RunConfig) -> list[tuple[Work, RayPool]]:
    """The work in parts that run after each other, and the actors for each."""
    shared = RayPool(actors=config.workers)
    if not isinstance(work, Steps):
        return [(work, shared)]
    runs: list[tuple[list[str], RayPool]] = []
    for name in work.pipeline.names:
        own = config.ray_pools.get(name)
        if own is None and runs and runs[-1][1] is shared:
            runs[-1][0].append(name)
        else:
            runs.append(([name], own or shared))
    return [(work.limited(frozenset(part)), pool) for part, pool in runs]


def _check_room(pools: Sequence[RayPool]) -> None:
    """Ray would wait forever for what the cluster does not have."""
    import ray

    there = ray.cluster_resources()
    for name, wanted in (
        ("CPU", sum(pool.cpus for pool in pools)),
        ("GPU", sum(pool.gpus for pool in pools)),
    ):
        has = there.get(name, 0.0)
        if wanted > has:
            raise MossAudioError(
                f"one actor for each pool takes {wanted:g} {name}, but Ray has {has:g}; ask for "
                "less in run.ray_pools, or for fewer pools"
            )


@contextmanager
def connected(config: RunConfig) -> Iterator[None]:
    """A connection to the Ray at `config.ray_address`, or a Ray of this machine for as long as
    this lasts; nothing where the process is connected already.

    Raises MossAudioError if there is no Ray at that address; MissingDependencyError.
    """
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise MissingDependencyError("ray", "ray", "running on Ray") from error
    context: Any = ray.data.DataContext.get_current()
    bars, context.enable_progress_bars = context.enable_progress_bars, False
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    mine = not ray.is_initialized()
    options: dict[str, Any] = {"address": config.ray_address}
    if config.ray_address is None:
        options = {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
        }
    try:
        if mine:
            try:
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
            except (ConnectionError, ValueError, RuntimeError) as error:
                where = config.ray_address or "this machine"
                raise MossAudioError(f"no Ray at {where}: {error}") from error
        yield
    finally:
        context.enable_progress_bars = bars
        logger.setLevel(level)
        if mine and ray.is_initialized():
            ray.shutdown()

"""Runs under torchrun, two processes on gloo: `halves CONFIG` trains, `fsdp CONFIG` compares,
`rollouts CONFIG` learns from answers of which one process has none of use, `shares CONFIG` from
those of both, or of the first alone."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


def shard_on_cpus() -> None:
    """accelerate takes FSDP2 from the environment only where there are GPUs: what it does there is
    asked for here."""
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    from moss_audio.train import loop

    made = loop.start_accelerator

    def accelerator(config: Any) -> Any:
        one = made(config)
        one.state.distributed_type = DistributedType.FSDP
        one.state.fsdp_plugin = FullyShardedDataParallelPlugin()
        return one

    loop.start_accelerator = accelerator


def halves(config: Path) -> None:
    """Three steps, SIGTERM for one process alone, and the rest."""
    from torch.distributed.tensor import DTensor

    from moss_audio.train import sft
    from tests.train.helpers import Fixed, scene_batches

    if "ACCELERATE_USE_FSDP" in os.environ:
        shard_on_cpus()
    batches, made, objective_of = scene_batches(config), [], sft.objective_of

    def kept(*arguments: Any) -> Any:
        made.append(objective_of(*arguments))
        return made[-1]

    sft.objective_of = kept
    sft.loading = lambda *_: lambda state, rank, n: Fixed(batches, state, rank, n)  # type: ignore[assignment]

    def log(line: str) -> None:
        if line.startswith("step 3/"):
            os.kill(os.getpid(), signal.SIGTERM)

    sft.log_to = lambda path: log  # type: ignore[assignment]
    if sft.main(config):
        raise AssertionError("SIGTERM was not heard")
    sft.log_to = lambda path: print  # type: ignore[assignment]
    if not sft.main(config):
        raise AssertionError("the second half did not end")
    sharded = all(isinstance(p, DTensor) for one in made for p in one.parameters())
    if sharded is not ("ACCELERATE_USE_FSDP" in os.environ):
        raise AssertionError(f"sharded: {sharded}")


def fsdp(config: Path) -> None:
    """Three steps of sharded weights against three of whole ones, and a checkpoint's round trip."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    from moss_audio.settings import load_config
    from moss_audio.train import checkpoint, sft
    from moss_audio.train.data import known_scenes
    from tests.train.helpers import Live

    dist.init_process_group("gloo")
    rank, loaded = dist.get_rank(), load_config(config, sft.SftConfig)
    lives = [Live(loaded), Live(loaded)]
    for live in lives:
        live.move()  # a LoRA that is nought gives its other half no gradient
    scenes = known_scenes(loaded.data)
    batches = [lives[0].batch([scene], seed=i) for i, scene in enumerate(scenes[:2])]
    silent = lives[0].batch_of_text()
    pairs = [batches, [batches[0], silent], [silent, batches[1]]]  # a rank without any clip
    whole, parts = lives[0].objective, lives[1].objective
    mesh = init_device_mesh("cpu", (2,))
    model = parts.model
    for layer in [*model.language_model.layers, *model.audio_encoder.layers]:
        fully_shard(layer, mesh=mesh)
    fully_shard(parts, mesh=mesh)
    before = {n: checkpoint.whole(p) for n, p in parts.named_parameters()}
    optimizers = [torch.optim.SGD(o.groups(0.0), momentum=0.9) for o in (whole, parts)]
    for pair in pairs:
        counts = torch.tensor([whole.counts(b) for b in pair]).sum(0)
        for optimizer in optimizers:
            optimizer.zero_grad()
        for batch in pair:
            whole(batch, counts).sum().backward()
        (parts(pair[rank], counts).sum() * 2).backward()  # gradients are averaged
        for optimizer in optimizers:
            optimizer.step()
    trained = dict(whole.named_parameters())
    for name, parameter in parts.named_parameters():
        if not isinstance(parameter, DTensor):
            raise AssertionError(f"{name} is not sharded")
        now = checkpoint.whole(parameter)
        torch.testing.assert_close(now, trained[name].detach(), rtol=1e-4, atol=1e-4)
        if torch.equal(now, before[name]) is parameter.requires_grad:
            raise AssertionError(f"{name}: learns {parameter.requires_grad}, but did not behave so")
    names = {p: n for n, p in parts.named_parameters()}
    state = checkpoint.optimizer_tensors(optimizers[1], names)
    stored = {n: checkpoint.whole(t) for n, t in state.items()}
    fresh = torch.optim.SGD(parts.groups(0.0), momentum=0.9)
    checkpoint.restore_optimizer(fresh, names, stored)
    for name, tensor in checkpoint.optimizer_tensors(fresh, names).items():
        if not torch.equal(checkpoint.whole(tensor), stored[name]):
            raise AssertionError(f"{name} did not come back")
    for name, parameter in parts.named_parameters():
        checkpoint.put(parameter, before[name])
        if not torch.equal(checkpoint.whole(parameter), before[name]):
            raise AssertionError(f"{name} did not come back")
    dist.destroy_process_group()


def rollouts(config: Path) -> None:
    """A run of DAPO in which all groups of the second process are dropped, and then all of both."""
    from moss_audio.settings import load_config
    from moss_audio.train import dapo
    from moss_audio.train.rl.rewards import RewardConfig, Rewards

    class ByRank(Rewards):
        def parts(self, text: str, example: Any) -> dict[str, float]:
            useful = os.environ["RANK"] == "0" and not config.stem.endswith("flat")
            share = sum(letter.islower() for letter in text[:8]) / 8 if useful else 0.5
            return {"correct": share, "reasoning": 0.0, "quality": 0.0, "format": 0.0}

    asked: list[str] = []
    take = dapo.PromptStream.take

    def taken(stream: Any, count: int) -> Any:
        found = take(stream, count)
        asked.extend(f"{stream.epoch} {one.example.id}" for one in found)
        return found

    dapo.PromptStream.take = taken  # type: ignore[method-assign]
    dapo.Rewards = lambda *_: ByRank(RewardConfig(1, 0, 0, 0), False)  # type: ignore[assignment, misc]
    dapo.log_to = lambda path: print  # type: ignore[assignment]
    if not dapo.main(config):
        raise AssertionError("the run did not end")
    every: list[Any] = [None, None]
    dist.all_gather_object(every, asked)
    first, second = every
    if set(first) & set(second) or len(set(first)) < len(first):
        raise AssertionError("an example was asked about twice in an epoch")
    refills = load_config(config, dapo.DapoConfig).groups.max_refills
    if not len(first) == len(second) >= refills:
        raise AssertionError(f"{len(first)} and {len(second)} prompts")


def shares(config: Path) -> None:
    """A run of DAPO; of one called `...-half` the answers of the second process teach nothing."""
    from moss_audio.train import dapo
    from tests.train.rl.conftest import Useful, share_of

    useful = share_of(config, 0) if config.stem.endswith("-half") else {
        one for rank in (0, 1) for one in share_of(config, rank)
    }  # fmt: skip
    dapo.Rewards = lambda *_: Useful(useful)  # type: ignore[assignment, misc]
    dapo.log_to = lambda path: print  # type: ignore[assignment]
    if not dapo.main(config):
        raise AssertionError("the run did not end")


if __name__ == "__main__":
    import moss_audio.model.device

    torch.set_num_threads(1)
    moss_audio.model.device.fast_dtype = lambda device: torch.float32
    runs = {"halves": halves, "fsdp": fsdp, "rollouts": rollouts, "shares": shares}
    runs[sys.argv[1]](Path(sys.argv[2]))

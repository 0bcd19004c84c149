"""The training loop that all stages share: start or resume, step after step, stop, and the result.

`_Run.train` is a run and reads from top to bottom. accelerate places the model, wraps it for DDP or
FSDP2 and adds up over processes; all else is here or, for checkpoints, in `checkpoint`. The
micro-batches of a step are collected before its first forward pass, so that every term of the loss
can be divided by its items in the whole step. What is learnt is in each stage's own file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from moss_audio.data.loader import forever
from moss_audio.errors import MossAudioError
from moss_audio.train import checkpoint as checkpoints
from moss_audio.train.flops import measured_peak
from moss_audio.train.objective import Objective
from moss_audio.train.process import start_accelerator, stop_signals
from moss_audio.train.progress import Meter, log_to
from moss_audio.train.setup import checkpoint_activations, sharded
from moss_audio.train.stage import LoopConfig, Stage, lr_share

if TYPE_CHECKING:
    from accelerate import Accelerator

_HISTORY = 1000  # log entries that a checkpoint carries


def run(
    stage: Stage, config: LoopConfig, log: Callable[[str], None] | None = None, seed: int = 0
) -> bool:
    """Train, or resume from the last checkpoint; True when all steps are done.

    SIGTERM and SIGINT save and return False; a second one ends the process at once.

    Raises:
        MossAudioError: a gradient that is not finite, or a checkpoint of another configuration.
    """
    folder = Path(config.output_dir)
    log = log or log_to(folder / "log.txt")
    accelerator = start_accelerator(config)
    main = accelerator.is_main_process
    checkpoints.check_names(folder)
    found = checkpoints.latest(folder)
    if found is not None and main and (line := checkpoints.changes(found, config.arithmetic())):
        log(line)
    if found is None or checkpoints.step_of(found) < config.steps:
        with stop_signals() as stopping:
            current = _Run(stage, config, accelerator, log, seed, found)
            current.train(stopping)
        if current.step < config.steps:
            if main:
                number = f" by signal {stopping[0]}" if stopping else ""
                log(f"stopped{number} at step {current.step}; the same command resumes")
            return False
        found = checkpoints.latest(folder)
    if main and found is not None:
        kept = stage.objective.kept()
        stage.finish(checkpoints.final_weights(found, kept, averaged=config.ema > 0))
    accelerator.wait_for_everyone()
    return True


class _Run:
    """A stage in training: model, optimiser, data and moving average after `step` steps."""

    def __init__(
        self,
        stage: Stage,
        config: LoopConfig,
        accelerator: Accelerator,
        log: Callable[[str], None],
        seed: int,
        checkpoint: Path | None,
    ) -> None:
        from accelerate.utils import set_seed

        set_seed(seed)
        self.objective, self.config, self.accelerator, self.log = (
            stage.objective, config, accelerator, log,
        )  # fmt: skip
        self.device, self.world = accelerator.device, accelerator.num_processes
        self.evaluate = stage.evaluate
        if config.gradient_checkpointing:
            checkpoint_activations(self.objective.model)
        self.objective.train()
        self.model, self.optimizer = accelerator.prepare(
            self.objective, make_optimizer(self.objective, config)
        )
        self.peak_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.step = 0
        self.average: dict[str, torch.Tensor] = {}  # of what learns, where `ema` asks for it
        self.history: list[dict[str, float]] = []
        random_state, loader_state = None, None
        if checkpoint is not None:
            random_state, loader_state = self._restore(checkpoint)
        with torch.random.fork_rng(devices=[]):
            self.loader = stage.loader(loader_state, accelerator.process_index, self.world)
        if random_state is not None:
            checkpoints.restore_random(random_state)
        self.saved_at = time.monotonic()
        self.terms = torch.zeros(len(self.objective.terms), device=self.device)  # since the line
        peak = config.peak_tflops * 1e12 if config.peak_tflops else measured_peak(self.device)
        self.meter = Meter(config.steps, peak * self.world)

    def train(self, stopping: Sequence[int]) -> None:
        """Step after step, to the last one or until a signal is in `stopping`."""
        batches = forever(self.loader)
        if self.config.evaluate_every and self.step == 0:
            self._evaluate()  # of what the run starts from
        while self.step < self.config.steps:
            step_batches, counts = self._collect(batches)
            grad_norm = self._learn(step_batches, counts)
            self.step += 1
            self._update_average()
            last = self.step == self.config.steps
            stop, save = self._agreed(bool(stopping))
            if last or self.step % self.config.log_every == 0:
                self._report(grad_norm)
            every = self.config.evaluate_every
            if every and (last or self.step % every == 0):
                self._evaluate()
            if last or stop or save:
                self._save()
            if stop:
                break
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def _collect(self, batches: Iterator[Any]) -> tuple[list[Any], torch.Tensor]:
        """The micro-batches of one step, and the items of each loss term in all of them, on all
        processes."""
        began = time.monotonic()
        collected = []
        for _ in range(self.config.accumulate):
            # The random state that training uses is kept from the data: a resumed run, whose
            # loader starts anew, would otherwise draw other numbers.
            with torch.random.fork_rng(devices=[]):
                collected.append(next(batches))
        waited_s = time.monotonic() - began
        rows = [
            [*self.objective.counts(b), b.audio_s, float(b.num_tokens), self.objective.flops(b)]
            for b in collected
        ]
        sums = self._summed(torch.tensor(rows, dtype=torch.float64).sum(0))
        audio_s, tokens, flops = sums[-3:].tolist()
        self.meter.add(audio_s, tokens, flops, waited_s)
        return collected, sums[:-3].float().to(self.device)

    def _learn(self, batches: Sequence[Any], counts: torch.Tensor) -> torch.Tensor:
        """Forward and backward over the micro-batches, one step of the optimiser; the norm of the
        gradient before it was clipped. Where nothing is learnt on any process the weights stay,
        which momentum would move."""
        anything = bool(counts.any())
        counts = counts.clamp(min=1e-9)
        for number, batch in enumerate(batches, 1):
            more = number < len(batches)  # gradients are exchanged after the last one
            with self.accelerator.no_sync(self.model) if more else nullcontext():
                terms = self.model(batch.to(self.device), counts)
                # DDP and FSDP average the gradients of the processes; here they are a sum
                self.accelerator.backward(terms.sum() * self.world)
            self.terms += terms.detach()
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        if not torch.isfinite(norm):  # before it spoils the weights
            raise MossAudioError(
                f"step {self.step}: the gradient is {float(norm)}; lower the learning rates"
            )
        share = lr_share(self.step, self.config)
        for group, peak in zip(self.optimizer.param_groups, self.peak_rates, strict=True):
            group["lr"] = peak * share
        if anything:
            self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def _update_average(self) -> None:
        for name, parameter in self.objective.trained().items() if self.config.ema else ():
            now = checkpoints.local(parameter.detach())
            if name not in self.average:
                self.average[name] = parameter.detach().clone()
            checkpoints.local(self.average[name]).lerp_(now, 1 - self.config.ema)

    def _agreed(self, stop: bool) -> tuple[bool, bool]:
        """Whether to stop and whether to save now: all processes have to do the same."""
        save = time.monotonic() - self.saved_at > self.config.save_every_s
        flags = self._summed(torch.tensor([float(stop), float(save)]))
        return bool(flags[0] > 0), bool(flags[1] > 0)

    def _summed(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        if self.world == 1:
            return values
        return self.accelerator.reduce(values.float().to(self.device), "sum")

    def _report(self, grad_norm: torch.Tensor) -> None:
        """The line in the log, and its figures for the trackers and the checkpoint."""
        sums = self._summed(self.terms).tolist()
        self.terms.zero_()
        line, figures = self.meter.line(
            self.step,
            dict(zip(self.objective.terms, sums, strict=True)),
            float(grad_norm),
            self.optimizer.param_groups[0]["lr"],
        )
        self.history = [*self.history, {**figures, "step": self.step}][-_HISTORY:]
        if self.accelerator.is_main_process:
            self.log(line)
        named = {f"train/{name}": value for name, value in figures.items()}
        self.accelerator.log(named, step=self.step)

    def _evaluate(self) -> None:
        """A line with the stage's own figures of the weights as they are now."""
        if self.evaluate is None or sharded():
            return
        with torch.random.fork_rng(devices=[]):
            figures = self.evaluate()
        if self.accelerator.is_main_process:
            told = ", ".join(f"{name} {value:.1f}" for name, value in figures.items())
            self.log(f"held out at step {self.step}: {told}")
        named = {f"held out/{name}": value for name, value in figures.items()}
        self.accelerator.log(named, step=self.step)

    def _names(self) -> dict[torch.Tensor, str]:
        return {p: n for n, p in self.objective.named_parameters()}

    def _save(self) -> None:
        self.saved_at = time.monotonic()
        named: dict[str, torch.Tensor] = {}
        named |= {checkpoints.WEIGHT + n: p for n, p in self.objective.kept().items()}
        named |= checkpoints.optimizer_tensors(self.optimizer.optimizer, self._names())
        named |= {checkpoints.AVERAGE + n: t for n, t in self.average.items()}
        main = self.accelerator.is_main_process
        tensors: dict[str, torch.Tensor] = {}
        for name, tensor in named.items():
            full = checkpoints.whole(tensor)  # every process takes part
            if main:
                tensors[name] = full
        checkpoints.write(
            Path(self.config.output_dir),
            self.step,
            tensors=tensors,
            state={"processes": self.world, "loop": self.config.arithmetic()},
            history=self.history,
            loader_state=self.loader.state_dict(),
            rank=self.accelerator.process_index,
            keep=self.config.keep,
            barrier=self.accelerator.wait_for_everyone,
        )

    def _restore(self, path: Path) -> tuple[dict[str, torch.Tensor], Any]:
        """Take up a checkpoint; this process's random states and its loader's state."""
        stored = checkpoints.read_state(path)["processes"]
        if stored != self.world:
            raise MossAudioError(
                f"{path}: written by {stored} processes, this run has {self.world}; use as many, "
                "or another output_dir"
            )
        tensors = checkpoints.read_tensors(path)
        checkpoints.check_fits(path, tensors, self.objective.kept())
        for name, parameter in self.objective.kept().items():
            checkpoints.put(parameter, tensors[checkpoints.WEIGHT + name])
        checkpoints.restore_optimizer(self.optimizer.optimizer, self._names(), tensors)
        for name, parameter in self.objective.trained().items() if self.config.ema else ():
            if (value := tensors.get(checkpoints.AVERAGE + name)) is not None:
                self.average[name] = checkpoints.like(parameter.detach(), value)
        self.step = checkpoints.step_of(path)
        self.history = checkpoints.read_history(path)
        if self.accelerator.is_main_process:
            self.log(f"resumed at step {self.step}")
        return checkpoints.read_rank(path, self.accelerator.process_index)


def make_optimizer(objective: Objective, config: LoopConfig) -> torch.optim.Optimizer:
    """AdamW over the objective's groups."""
    groups = objective.groups(config.weight_decay)
    return torch.optim.AdamW(groups, betas=(0.9, config.beta2), fused=True)

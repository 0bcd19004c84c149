"""transformers' Trainer with our loader, loss, optimiser groups, checkpoints and progress line.

What is its own: the steps, accumulation, clipping, DDP and FSDP2 through accelerate, reports to
tensorboard and W&B. What is replaced, because it does not fit: its data loader (ours keeps its own
state, and resumes without replaying), its checkpoints (they pickle the optimiser and are not
atomic), and the count of items, which here is one for each term of the loss.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainingArguments,
)

from moss_audio.errors import MossAudioError
from moss_audio.train import checkpoint as checkpoints
from moss_audio.train.flops import measured_peak
from moss_audio.train.loop import LoopConfig, Stage, fit, lr_share, repeated
from moss_audio.train.objective import Objective
from moss_audio.train.progress import Meter

if TYPE_CHECKING:
    from moss_audio.train.loop import Loader

_HISTORY = 1000  # log entries that a checkpoint carries


class _Batches:
    """What the Trainer iterates over. The random state that training uses is kept from the data:
    a resumed run, whose loader starts anew, would otherwise draw other numbers."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        batches = repeated(self.loader)
        while True:
            with torch.random.fork_rng(devices=[]):
                batch = next(batches)
            yield batch


class _AfterStep(TrainerCallback):
    def __init__(self, after: Callable[[TrainerControl], None]) -> None:
        self.after = after

    def on_step_end(self, args: Any, state: Any, control: TrainerControl, **_: Any) -> None:
        self.after(control)


class StageTrainer(Trainer):
    """Runs one stage. `stopping` is the list that signal handlers append to."""

    def __init__(
        self,
        stage: Stage,
        config: LoopConfig,
        log: Callable[[str], None],
        seed: int,
        stopping: list[int],
        checkpoint: Path | None,
    ) -> None:
        self.stage, self.loop, self.write_line, self.stopping = stage, config, log, stopping
        self.folder, self.checkpoint = Path(config.output_dir), checkpoint
        objective = stage.objective
        if config.gradient_checkpointing:
            checkpoint_activations(objective.model)
        super().__init__(
            model=objective,
            args=_arguments(config, seed),
            callbacks=[_AfterStep(self._after_step)],
        )
        self.remove_callback(PrinterCallback)
        # our loss is divided by the items of the whole step already
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self.average: dict[str, torch.Tensor] = {}
        self.batches: _Batches | None = None
        self.saved_at = time.monotonic()
        world = self.args.world_size
        peak = config.peak_tflops * 1e12 if config.peak_tflops else measured_peak(self.args.device)
        self.meter = Meter(config.steps, peak * world)
        self._terms = torch.zeros(len(objective.terms), device=self.args.device)

    # data

    def get_train_dataloader(self) -> Any:
        """This process's batches, from where the checkpoint says."""
        state = None
        if self.checkpoint is not None:
            stored = checkpoints.read_state(self.checkpoint)["processes"]
            if stored != self.args.world_size:
                raise MossAudioError(
                    f"{self.checkpoint}: written by {stored} processes, this run has "
                    f"{self.args.world_size}; use as many, or another output_dir"
                )
            _, state = checkpoints.read_rank(self.checkpoint, self.args.process_index)
        with torch.random.fork_rng(devices=[]):
            loader = self.stage.loader(state, self.args.process_index, self.args.world_size)
        self.batches = _Batches(loader)
        return self.batches

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor]:
        """The micro-batches of one step, and the items of each loss term in all of them, on all
        processes."""
        began = time.monotonic()
        batches = [next(epoch_iterator) for _ in range(num_batches)]
        waited_s = time.monotonic() - began
        objective = self.stage.objective
        rows = [
            [*objective.counts(b), b.audio_s, float(b.num_tokens), objective.flops(b)]
            for b in batches
        ]
        sums = torch.tensor(rows, dtype=torch.float64).sum(0)
        if self.args.world_size > 1:
            sums = self.accelerator.reduce(sums.float().to(device), "sum").double().cpu()
        audio_s, tokens, flops = sums[-3:].tolist()
        self.meter.add(audio_s, tokens, flops, waited_s)
        counts = sums[: len(objective.terms)].clamp(min=1e-9)
        return batches, counts.to(torch.float32).to(device)

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs.to(self.args.device)

    # loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The sum of the terms; times the processes, whose gradients are averaged."""
        terms = model(inputs, num_items_in_batch)
        self._terms += terms.detach()
        loss = terms.sum() * self.args.world_size
        return (loss, terms) if return_outputs else loss

    def floating_point_ops(self, inputs: Any) -> int:
        """Counted in `get_batch_samples`."""
        return 0

    # optimiser

    optimizer: Any
    lr_scheduler: Any

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW over the objective's groups."""
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(
                self._objective().groups(self.loop.weight_decay),
                betas=(0.9, self.loop.beta2),
                fused=True,
            )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """`loop.lr_share` of every group's peak."""
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, lambda step: lr_share(step, self.loop)
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """Clips, and stops before a gradient that is not finite spoils weights and checkpoint."""
        norm = super()._clip_grad_norm(model)
        if hasattr(norm, "full_tensor"):
            norm = norm.full_tensor()
        if not torch.isfinite(norm):
            raise MossAudioError(
                f"step {self.state.global_step}: the gradient is {float(norm)}; lower the rates"
            )
        return norm

    # after a step

    def _after_step(self, control: TrainerControl) -> None:
        if self.loop.ema:
            self._update_average()
        now = time.monotonic()
        stop, save = bool(self.stopping), now - self.saved_at > self.loop.save_every_s
        if self.args.world_size > 1:  # all processes have to do the same
            flags = torch.tensor([float(stop), float(save)], device=self.args.device)
            stop, save = (bool(f) for f in self.accelerator.reduce(flags, "sum") > 0)
        last = self.state.global_step >= self.loop.steps
        if stop:
            control.should_training_stop = True
        if stop or save or last:
            control.should_save = True
            self.saved_at = now
        if last:
            control.should_log = True

    def _update_average(self) -> None:
        for name, parameter in self._objective().trained().items():
            now = checkpoints.local(parameter.detach())
            if name not in self.average:
                self.average[name] = parameter.detach().clone()
            checkpoints.local(self.average[name]).lerp_(now, 1 - self.loop.ema)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds throughput and prints the line."""
        if "loss" not in logs:  # the Trainer's summary at the end
            return
        terms = self._terms.clone()
        if self.args.world_size > 1:
            terms = self.accelerator.reduce(terms, "sum")
        self._terms.zero_()
        names = self.stage.objective.terms
        line, measured = self.meter.line(self.state.global_step, logs, names, terms.tolist())
        logs.update(measured)
        if self.is_world_process_zero():
            self.write_line(line)
        super().log(logs, start_time)
        del self.state.log_history[:-_HISTORY]

    # checkpoints

    def _objective(self) -> Objective:
        return self.stage.objective  # wrapped or sharded, the parameters are found in it

    def _names(self) -> dict[nn.Parameter, str]:
        return {p: n for n, p in self._objective().named_parameters()}

    def _inner_optimizer(self) -> torch.optim.Optimizer:
        return getattr(self.optimizer, "optimizer", self.optimizer)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        assert self.batches is not None
        named: dict[str, torch.Tensor] = {}
        named |= {checkpoints.WEIGHT + n: p for n, p in self._objective().kept().items()}
        named |= checkpoints.optimizer_tensors(self._inner_optimizer(), self._names())
        named |= {checkpoints.AVERAGE + n: t for n, t in self.average.items()}
        main = self.is_world_process_zero()
        tensors: dict[str, torch.Tensor] = {}
        for name, tensor in named.items():
            full = checkpoints.whole(tensor)  # every process takes part
            if main:
                tensors[name] = full
        checkpoints.write(
            self.folder,
            self.state.global_step,
            tensors=tensors,
            trainer_state=lambda path: self.state.save_to_json(str(path)),
            state={
                "processes": self.args.world_size,
                "loop": self.loop.arithmetic(),
                "schedule": {"step": int(self.lr_scheduler.last_epoch)},
            },
            loader_state=self.batches.loader.state_dict(),
            rank=self.args.process_index,
            keep=self.loop.keep,
            barrier=self.accelerator.wait_for_everyone,
        )

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        path = Path(resume_from_checkpoint)
        tensors = checkpoints.read_tensors(path)
        objective = self._objective()
        fit(path, tensors, objective)
        for name, parameter in objective.kept().items():
            checkpoints.put(parameter, tensors[checkpoints.WEIGHT + name])
        if self.is_world_process_zero():
            self.write_line(f"resumed at step {checkpoints.step_of(path)}")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        tensors = checkpoints.read_tensors(Path(checkpoint))
        checkpoints.restore_optimizer(self._inner_optimizer(), self._names(), tensors)
        for name, parameter in self._objective().trained().items():
            if self.loop.ema and checkpoints.AVERAGE + name in tensors:
                value = tensors[checkpoints.AVERAGE + name]
                self.average[name] = checkpoints.like(parameter.detach(), value)
        step = checkpoints.read_state(Path(checkpoint))["schedule"]["step"]
        scheduler = self.lr_scheduler
        scheduler.last_epoch = step
        for group, peak in zip(self.optimizer.param_groups, scheduler.base_lrs, strict=True):
            group["lr"] = peak * lr_share(step, self.loop)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            state, _ = checkpoints.read_rank(Path(checkpoint), self.args.process_index)
            checkpoints.restore_random(state)

    def _load_scaler(self, checkpoint: str | None) -> None:
        """There is none: bfloat16 and float32 need no scaling."""


def checkpoint_activations(model: Any) -> None:
    """Recompute activations in the backward pass; not reentrant, so that DeepStack's features get
    their gradient."""
    enable = getattr(model, "activation_checkpointing_enable", None)
    if enable is not None:
        enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable({"use_reentrant": False})


def _arguments(config: LoopConfig, seed: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=config.output_dir,
        max_steps=config.steps,
        gradient_accumulation_steps=config.accumulate,
        max_grad_norm=config.clip_norm,
        logging_strategy="steps",
        logging_steps=config.log_every,
        logging_nan_inf_filter=False,
        save_strategy="no",  # `_after_step` decides
        report_to=list(config.report_to) or "none",
        disable_tqdm=True,
        log_level="error",
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
        ignore_data_skip=True,  # the loader has its own state
        # every process walks through every module in every step (see the objectives)
        ddp_find_unused_parameters=False,
        seed=seed,
    )

"""What all stages share: configuration, schedule, checkpoints, log line, stopping on a signal.

Deliberately nothing about what is learnt: that is in each stage's own file.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from moss_audio.errors import MossAudioError

C = TypeVar("C")


@dataclass(frozen=True)
class LoopConfig:
    """How long, how fast, and where to."""

    steps: int
    output_dir: str
    warmup_steps: int = 50
    final_lr_share: float = 0.05  # the cosine ends at this share of the peak
    clip_norm: float = 1.0
    log_every: int = 20
    save_every_s: float = 180.0


def load_config(path: Path, kind: type[C], overrides: dict[str, Any] | None = None) -> C:
    """A frozen dataclass (nested ones included) from YAML; every unknown field is reported."""
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise MossAudioError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise MossAudioError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(values, dict):
        raise MossAudioError(f"{path}: expected fields and values, got {type(values).__name__}")
    for key, value in (overrides or {}).items():
        target = values
        *parents, last = key.split(".")
        for parent in parents:
            if not isinstance(target.get(parent), dict):
                target[parent] = {}
            target = target[parent]
        target[last] = value
    problems: list[str] = []
    config = _build(kind, values, "", problems)
    if problems:
        raise MossAudioError(f"{path}: " + "; ".join(problems))
    return config


def _build(kind: Any, values: Any, prefix: str, problems: list[str]) -> Any:
    import typing

    if not isinstance(values, dict):
        problems.append(f"{prefix.rstrip('.')}: expected fields and values, got {values!r}")
        return None
    types = typing.get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind)}
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            problems.append(f"unknown field {prefix}{name}")
        elif dataclasses.is_dataclass(types[name]):
            arguments[name] = _build(types[name], value or {}, f"{prefix}{name}.", problems)
        else:
            arguments[name] = _value(types[name], value, f"{prefix}{name}", problems)
    for name, f in known.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in values:
            problems.append(f"missing field {prefix}{name}")
    return None if problems else kind(**arguments)


def _value(kind: Any, value: Any, name: str, problems: list[str]) -> Any:
    """`value` as the plain type `kind`, or one more problem."""
    if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)  # YAML reads 4e-4 as a string
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
        problems.append(f"{name}: {value!r} is not a number")
    elif kind is int and (isinstance(value, bool) or not isinstance(value, int)):
        problems.append(f"{name}: {value!r} is not a whole number")
    elif kind is float:
        problems.append(f"{name}: {value!r} is not a number")
    elif kind is str and not isinstance(value, str):
        problems.append(f"{name}: {value!r} is not text")
    return value


def lr_share(step: int, config: LoopConfig) -> float:
    """Learning rate at `step` as a share of the peak: linear warm-up, then a cosine."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.final_lr_share + (1 - config.final_lr_share) * cosine


def save_checkpoint(path: Path, state: dict[str, Any], counters: dict[str, Any]) -> None:
    """Tensors (a flat dict) and counters, written beside and renamed: old or new, never half."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    save_file(state, str(temporary), metadata={"counters": json.dumps(counters)})
    os.replace(temporary, path)


def load_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `save_checkpoint` wrote.

    Raises:
        MossAudioError: if it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            counters = json.loads((file.metadata() or {})["counters"])
            return {name: file.get_tensor(name) for name in file.keys()}, counters  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise MossAudioError(f"{path}: damaged ({error}); remove it to start again") from error


def _optimizer_tensors(
    optimizer: torch.optim.Optimizer, names: Mapping[Any, str]
) -> dict[str, torch.Tensor]:
    return {
        f"optimizer.{names[parameter]}.{key}": torch.as_tensor(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


@dataclass
class Stage:
    """One training stage as the loop sees it.

    `parameters` are what a checkpoint keeps, by name; those in `groups` are trained. `batches`
    gives, from a data position on, each batch and the position after it. `loss` gives a batch's
    loss (the loop goes backward), its audio seconds and its tokens. `finish` writes the result.
    """

    parameters: dict[str, torch.nn.Parameter]
    groups: list[dict[str, Any]]  # optimiser groups, each with its peak "lr"
    batches: Callable[[int], Iterator[tuple[Any, int]]]  # from a data position
    loss: Callable[[Any], tuple[torch.Tensor, float, int]]
    finish: Callable[[], None]


def run(stage: Stage, config: LoopConfig, log: Callable[[str], None] = print) -> bool:
    """Train, or go on from the last checkpoint; True when all steps are done.

    SIGTERM and SIGINT save and return False.
    """
    folder = Path(config.output_dir)
    checkpoint = folder / "last.safetensors"
    optimizer = torch.optim.AdamW(stage.groups, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    peaks = [group["lr"] for group in optimizer.param_groups]
    names = {parameter: name for name, parameter in stage.parameters.items()}
    step = position = 0
    if checkpoint.is_file():
        tensors, counters = load_checkpoint(checkpoint)
        step, position = counters["step"], counters["position"]
        for name, parameter in stage.parameters.items():
            if name not in tensors or tensors[name].shape != parameter.shape:
                raise MossAudioError(
                    f"{checkpoint}: {name} is not what this configuration trains; use another "
                    "output_dir, or remove the file to start again"
                )
        with torch.no_grad():
            for name, parameter in stage.parameters.items():
                parameter.copy_(tensors[name])
                state = {
                    key.rpartition(".")[2]: value
                    for key, value in tensors.items()
                    if key.startswith(f"optimizer.{name}.")
                }
                if state:
                    optimizer.state[parameter] = state
        log(f"resumed at step {step}")

    stopping: list[int] = []
    previous = {
        number: signal.signal(number, lambda got, _: stopping.append(got))
        for number in (signal.SIGTERM, signal.SIGINT)
    }

    def save() -> None:
        tensors = {n: p.detach().contiguous() for n, p in stage.parameters.items()}
        tensors.update(_optimizer_tensors(optimizer, names))
        save_checkpoint(checkpoint, tensors, {"step": step, "position": position})

    saved_at = logged_at = time.monotonic()
    total, count, audio_s, tokens = 0.0, 0, 0.0, 0
    try:
        batches = stage.batches(position) if step < config.steps else iter(())
        for batch, position_after in batches:
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * lr_share(step, config)
            loss, seconds, n_tokens = stage.loss(batch)
            if not torch.isfinite(loss):
                raise MossAudioError(f"step {step}: the loss is {loss.item()}; lower the rates")
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(list(stage.parameters.values()), config.clip_norm)
            if not torch.isfinite(norm):  # before it spoils the weights, and a checkpoint of them
                raise MossAudioError(f"step {step}: a gradient is {norm.item()}; lower the rates")
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step, position = step + 1, position_after
            total, count = total + float(loss.detach()), count + 1
            audio_s, tokens = audio_s + seconds, tokens + n_tokens
            now = time.monotonic()
            if step % config.log_every == 0 or step >= config.steps:
                took = now - logged_at
                left = (config.steps - step) * took / max(1, count)
                log(
                    f"step {step}/{config.steps} loss {total / count:.4f} grad {float(norm):.2f} "
                    f"lr x{lr_share(step, config):.3f} {audio_s / took:.1f} audio-s/s "
                    f"{tokens / took:.0f} tokens/s left {left / 60:.1f} min"
                )
                logged_at, total, count, audio_s, tokens = now, 0.0, 0, 0.0, 0
            if stopping or step >= config.steps:
                break
            if now - saved_at > config.save_every_s:
                save()
                saved_at = now
        save()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if stopping:
        log(f"stopped by signal {stopping[0]} at step {step}; the same command goes on")
        return False
    stage.finish()
    return True


def log_to(path: Path) -> Callable[[str], None]:
    """A log that goes to the terminal and, with the time, to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def log(line: str) -> None:
        print(line, file=sys.stderr, flush=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    return log

"""Checkpoints of a run: all that is needed to resume bit for bit, in plain safetensors and JSON.

    checkpoint-120/
      trained.safetensors    what is trained, the optimiser's state, the moving average
      rank-0.safetensors     random states of one process; its data loader's state in the header
      trainer_state.json     the step, and the figures of the log so far (transformers' name)
      state.json             the loop's settings, and how many processes there are

A folder is written beside its place and renamed, so it is there whole or not at all. Nothing is
removed but folders of this layout and of these names.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor, distribute_tensor

from moss_audio.errors import MossAudioError

PREFIX = "checkpoint-"
TENSORS, STATE, HISTORY = "trained.safetensors", "state.json", "trainer_state.json"
WEIGHT, OPTIMIZER, AVERAGE = "weight.", "optimizer.", "average."
_NAME = re.compile(rf"{PREFIX}[0-9]+")
_UNFINISHED = re.compile(rf"{PREFIX}[0-9]+(\.old)?\.tmp")  # being written, or being removed


def _written(folder: Path) -> list[Path]:
    """The checkpoints that `write` made, oldest first. Others' folders may lie beside them, of
    other names (`checkpoint-best`) or of another layout."""
    ours = (STATE, TENSORS, "rank-0.safetensors")
    found = [
        p
        for p in folder.glob(f"{PREFIX}*")
        if _NAME.fullmatch(p.name) and any((p / name).is_file() for name in ours)
    ]
    return sorted(found, key=step_of)


def latest(folder: Path) -> Path | None:
    """The newest checkpoint of a run, or None."""
    return next((p for p in reversed(_written(folder)) if (p / STATE).is_file()), None)


def check_names(folder: Path) -> None:
    """Raise one line if a folder of a checkpoint's name is there that `write` did not make."""
    ours = _written(folder)
    for path in folder.glob(f"{PREFIX}*"):
        if _NAME.fullmatch(path.name) and path not in ours and any(path.iterdir()):
            raise MossAudioError(
                f"{path} is not a checkpoint of this program; move it, or use another output_dir"
            )


def step_of(checkpoint: Path) -> int:
    """The step at which a checkpoint was written."""
    return int(checkpoint.name.removeprefix(PREFIX))


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a sharded tensor; any other tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A full copy on the CPU; of a sharded tensor all processes have to ask together."""
    tensor = tensor.detach()
    if isinstance(tensor, DTensor):
        tensor = tensor.full_tensor()
    return tensor.to("cpu", copy=True).contiguous()


def put(target: torch.Tensor, value: torch.Tensor) -> None:
    """Copy a full tensor into one that may be sharded."""
    with torch.no_grad():
        if isinstance(target, DTensor):
            value = value.to(device=target.device, dtype=target.dtype)
            # every process has read the same file: nothing needs to be sent
            value = distribute_tensor(
                value, target.device_mesh, target.placements, src_data_rank=None
            )
        target.copy_(value)


def like(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """`value` where and as `parameter` is (device, shards); what has another shape stays as it
    is."""
    if value.shape != parameter.shape:
        return value
    out = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False)
    put(out, value)
    return out


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, names: Mapping[Any, str]
) -> dict[str, torch.Tensor]:
    """Every entry of the optimiser's state as `optimizer.<parameter>.<entry>`."""
    return {
        f"{OPTIMIZER}{names[parameter]}.{key}": torch.as_tensor(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    names: Mapping[Any, str],
    tensors: Mapping[str, torch.Tensor],
) -> None:
    """The reverse of `optimizer_tensors`."""
    entries: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(OPTIMIZER):
            parameter, _, key = name.removeprefix(OPTIMIZER).rpartition(".")
            entries.setdefault(parameter, {})[key] = tensor
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = entries.get(names[parameter])
            if state:
                own = {key: like(parameter, value) for key, value in state.items()}
                if group.get("fused") or group.get("capturable"):  # its kernels count steps there
                    own["step"] = own["step"].to(parameter.device)
                optimizer.state[parameter] = own


def random_tensors() -> dict[str, torch.Tensor]:
    """This process's random states, as tensors."""
    version, words, gauss = random.getstate()
    found = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor([version, *words], dtype=torch.int64),
        "gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
    }
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def restore_random(tensors: Mapping[str, torch.Tensor]) -> None:
    """The reverse of `random_tensors`."""
    version, *words = tensors["python"].tolist()
    gauss = tensors["gauss"].tolist()
    random.setstate((version, tuple(words), gauss[0] if gauss else None))
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])


def loader_text(state: Any) -> str:
    """A data loader's state as JSON.

    Raises:
        MossAudioError: if it would not come back as it was, since a resumed run would then see
            other data.
    """
    try:
        text = json.dumps(state)
        same = json.loads(text) == state
    except (TypeError, ValueError) as error:
        raise MossAudioError(f"the data loader's state cannot be written ({error})") from error
    if not same:
        raise MossAudioError(
            "the data loader's state does not survive JSON: keep to dicts with text keys, lists, "
            "numbers and text"
        )
    return text


def write(
    folder: Path,
    step: int,
    *,
    tensors: Mapping[str, torch.Tensor],
    state: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
    loader_state: Any,
    rank: int,
    keep: int,
    barrier: Callable[[], None],
) -> Path:
    """Write one checkpoint; all processes call this together.

    Args:
        tensors: full tensors; only process 0's are written.
        history: the figures of the log.
        loader_state: of this process's data loader; JSON.
        keep: how many checkpoints stay; the oldest go.
        barrier: returns when every process has come to it.
    """
    path = folder / f"{PREFIX}{step}"
    temporary = path.with_name(f"{path.name}.tmp")
    text = loader_text(loader_state)
    if rank == 0:
        for left in folder.glob(f"{PREFIX}*"):  # of a run that was killed
            if _UNFINISHED.fullmatch(left.name):
                shutil.rmtree(left)
        temporary.mkdir(parents=True)
    barrier()
    save_file(random_tensors(), temporary / f"rank-{rank}.safetensors", metadata={"loader": text})
    if rank == 0:
        save_file(dict(tensors), temporary / TENSORS)
        past = {"global_step": step, "log_history": list(history)}
        (temporary / HISTORY).write_text(json.dumps(past, indent=1) + "\n", encoding="utf-8")
        (temporary / STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")
    barrier()
    if rank == 0:
        if path in _written(folder):
            _remove(path)
        temporary.rename(path)
        for old in [p for p in _written(folder) if p != path][: -(keep - 1) or None]:
            _remove(old)
    barrier()
    return path


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint so that a kill leaves no half of it under its name."""
    doomed = checkpoint.with_name(f"{checkpoint.name}.old.tmp")
    checkpoint.rename(doomed)
    shutil.rmtree(doomed)


def check_fits(
    checkpoint: Path, tensors: Mapping[str, torch.Tensor], kept: Mapping[str, torch.Tensor]
) -> None:
    """Raise if a checkpoint holds other weights than a run keeps."""
    for name, parameter in kept.items():
        stored = tensors.get(WEIGHT + name)
        if stored is None or stored.shape != parameter.shape:
            raise MossAudioError(
                f"{checkpoint}: {name} is not what this configuration trains; use another "
                "output_dir, or remove the folder to start again"
            )
    for name in tensors:
        bare = name.removeprefix(WEIGHT)
        if name.startswith(WEIGHT) and bare not in kept:
            raise MossAudioError(
                f"{checkpoint}: holds {bare}, which this configuration does not train; use "
                "another output_dir, or remove the folder to start again"
            )


def changes(checkpoint: Path, now: Mapping[str, Any]) -> str:
    """One line that names the settings of the loop that have changed since a checkpoint was
    written; empty: none."""
    return changes_line(str(checkpoint), read_state(checkpoint).get("loop", {}), now)


def changes_line(place: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The same of settings that were written at any `place`.

    A run may resume under other settings (more steps, say), but then it is not the run that one
    command would have given, and whoever compares runs has to know.
    """
    # a field that one of the two does not know, being of another version, is passed over
    changed = [
        f"{n} {before[n]} -> {value}" for n, value in now.items() if before.get(n, value) != value
    ]
    if not changed:
        return ""
    return (
        f"{place}: changed since: {', '.join(changed)}; the run resumes under the new "
        "settings (another output_dir starts from the beginning)"
    )


def final_weights(
    checkpoint: Path, kept: Mapping[str, torch.Tensor], *, averaged: bool
) -> dict[str, torch.Tensor]:
    """What a run has learnt, by the names of what it keeps: with `averaged` the moving average
    where there is one, else the weights themselves."""
    tensors = read_tensors(checkpoint)
    check_fits(checkpoint, tensors, kept)
    weights = {name: tensors[WEIGHT + name] for name in kept}
    if averaged:
        weights |= {n: tensors[AVERAGE + n] for n in kept if AVERAGE + n in tensors}
    return weights


def read_tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Weights, optimiser state and moving average of a checkpoint."""
    with _read(checkpoint / TENSORS) as path:
        return load_file(path)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """`state.json`."""
    with _read(checkpoint / STATE) as path:
        return dict(json.loads(path.read_text(encoding="utf-8")))


def read_history(checkpoint: Path) -> list[dict[str, float]]:
    """The figures of the log up to a checkpoint."""
    with _read(checkpoint / HISTORY) as path:
        return list(dict(json.loads(path.read_text(encoding="utf-8"))).get("log_history", []))


def read_rank(checkpoint: Path, rank: int) -> tuple[dict[str, torch.Tensor], Any]:
    """One process's random states and its data loader's state."""
    with (
        _read(checkpoint / f"rank-{rank}.safetensors") as path,
        safe_open(path, framework="pt") as file,
    ):
        loader = json.loads((file.metadata() or {})["loader"])
        return {name: file.get_tensor(name) for name in file.keys()}, loader  # noqa: SIM118


@contextmanager
def _read(path: Path) -> Iterator[Path]:
    """The path; what fails on reading it is one line."""
    try:
        yield path
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise MossAudioError(
            f"{path}: damaged or missing ({error}); remove {path.parent} to resume from an older "
            "checkpoint, or to start again"
        ) from error

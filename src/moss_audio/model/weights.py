"""Whether stored weights are those that a model has, by their names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from moss_audio.errors import CheckpointError, short_reason

Shapes = Mapping[str, tuple[int, ...]]

_SHOWN = 4  # names shown of a long list of wrong weights


def stored_shapes(files: list[Path]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight in safetensors files, from their headers alone.

    Raises:
        CheckpointError: naming the file that is not readable.
    """
    from safetensors import safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        try:
            with safe_open(str(path), framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (not a dict)
                    shapes[name] = tuple(file.get_slice(name).get_shape())
        except Exception as error:
            reason = short_reason(error)
            raise CheckpointError(
                f"{path}: not a readable safetensors file ({reason}); download it again"
            ) from error
    return shapes


def compare_shapes(folder: Path, stored: Shapes, expected: Shapes, *, tied: bool) -> None:
    """Compare the weights of a folder with those of the model that its config.json describes.

    Args:
        tied: the head is the embedding, so that no file needs to hold it.

    Raises:
        CheckpointError: one line with every missing, unexpected and misshapen weight.
    """
    missing = [n for n in expected if n not in stored and not (tied and n == "lm_head.weight")]
    unexpected = [
        n for n in stored if n not in expected and not n.startswith("audio_encoder.embed_positions")
    ]
    misshapen = [
        f"{n} has shape {list(stored[n])}, expected {list(shape)}"
        for n, shape in expected.items()
        if n in stored and stored[n] != shape
    ]
    problems = []
    if missing:
        problems.append(f"missing {listed(missing)}")
    if unexpected:
        problems.append(f"unexpected {listed(unexpected)}")
    if misshapen:
        problems.append(listed(misshapen))
    if problems:
        raise CheckpointError(f"{folder}: weights do not fit config.json: " + "; ".join(problems))


def listed(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

"""Finding, checking and reading checkpoint folders: the released layout and the embedded nano."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from moss_audio.errors import CheckpointError
from moss_audio.model.config import MossAudioConfig

if TYPE_CHECKING:
    from moss_audio.model.modeling import MossAudioModel

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja")  # what a hub download needs
_SHOWN = 4  # names shown of a long list of wrong weights


def embedded_folder() -> Path:
    """The folder of the checkpoint that is shipped in the package."""
    return Path(__file__).resolve().parent.parent / "assets" / "nano"


def resolve_folder(source: str | Path, options: Mapping[str, Any] | None = None) -> Path:
    """A local folder for a folder or a hub id (downloaded through huggingface_hub when absent).

    Raises:
        CheckpointError: one line, if it is neither, or cannot be downloaded.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    text = str(source)
    if folder.exists():
        raise CheckpointError(f"{text}: a model is a folder (or a hub id), this is a file")
    if text.count("/") != 1 or text.startswith((".", "/", "~")):
        raise CheckpointError(f"{text}: no such folder, and not a hub id of the form owner/name")
    from huggingface_hub import snapshot_download

    options = options or {}
    try:
        return Path(
            snapshot_download(
                text,
                revision=options.get("revision"),
                cache_dir=options.get("cache_dir"),
                token=options.get("token"),
                local_files_only=bool(options.get("local_files_only", False)),
                allow_patterns=list(_MODEL_FILES),
            )
        )
    except Exception as error:  # network, authorisation, offline: many kinds, one remedy
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{text}: not a local folder, and the hub download failed ({reason}); download it "
            "where there is a network and give the folder's path"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def load_config(folder: Path) -> MossAudioConfig:
    """The checked configuration of a checkpoint folder."""
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder}: no config.json, so this is not a checkpoint folder")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # also UnicodeDecodeError, JSONDecodeError
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind != MossAudioConfig.model_type:
        raise CheckpointError(
            f"{path}: model_type {kind!r}, expected {MossAudioConfig.model_type!r}"
        )
    try:
        return MossAudioConfig.from_dict(values)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {str(error).removeprefix('config.json: ')}") from error
    except Exception as error:  # a field of a type that nothing can be made of
        raise CheckpointError(f"{path}: {_one_line(error)}") from error


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder: one, or the shards its index names."""
    index = folder / INDEX_FILE
    if index.is_file():
        try:
            weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            names = sorted(set(weight_map.values()))
            files = [folder / name for name in names]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{index}: damaged ({_one_line(error)}); download it again"
            ) from error
    else:
        files = [folder / SINGLE_FILE]
    for path in files:
        if not path.is_file():
            raise CheckpointError(f"{path}: missing; download the checkpoint again")
    return files


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight in a folder, from the file headers alone."""
    from safetensors import safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        try:
            with safe_open(str(path), framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (not a dict)
                    shapes[name] = tuple(file.get_slice(name).get_shape())
        except Exception as error:
            raise CheckpointError(
                f"{path}: not a readable safetensors file ({_one_line(error)}); download it again"
            ) from error
    return shapes


def expected_shapes(config: MossAudioConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight that a model of `config` has."""
    from moss_audio.model.modeling import MossAudioModel

    with torch.device("meta"):
        model = MossAudioModel(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def check_weights(folder: Path, config: MossAudioConfig) -> None:
    """Compare a folder's weights with its configuration.

    Raises:
        CheckpointError: one line with every missing, unexpected and misshapen weight.
    """
    compare_shapes(folder, stored_shapes(folder), config)


def compare_shapes(
    folder: Path,
    stored: Mapping[str, tuple[int, ...]],
    config: MossAudioConfig,
    expected: Mapping[str, tuple[int, ...]] | None = None,
) -> None:
    """`check_weights` for shapes that are known already."""
    if expected is None:
        expected = expected_shapes(config)
    tied = bool(config.tie_word_embeddings)
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
        problems.append(f"missing {_list(missing)}")
    if unexpected:
        problems.append(f"unexpected {_list(unexpected)}")
    if misshapen:
        problems.append(_list(misshapen))
    if problems:
        raise CheckpointError(f"{folder}: weights do not fit config.json: " + "; ".join(problems))


def is_embedded(folder: Path) -> bool:
    """Whether a folder holds quantised parts (nano) instead of the released layout."""
    from moss_audio.model.nano import PARTS_FILE

    return (folder / PARTS_FILE).is_file()


def window_seconds(folder: Path) -> float | None:
    """The longest clip in seconds that a checkpoint handles well: `window_s` in `parts.json` or
    `processor_config.json`. None where nobody says.

    Raises:
        CheckpointError: if the entry is no positive number.
    """
    from moss_audio.model import nano

    if is_embedded(folder):
        return float(nano.read_parts(folder)["window_s"])
    path = folder / "processor_config.json"
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8")).get("window_s")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise CheckpointError(f"{path}: window_s {value!r} must be a positive number of seconds")
    return float(value)


def times_by(folder: Path) -> str:
    """How a checkpoint's word times are best found: "written", by "alignment" or "refined" (see
    `MossAudio.transcribe`)."""
    from moss_audio.model import nano

    return str(nano.read_parts(folder)["times"]) if is_embedded(folder) else "written"


def load_embedded(folder: Path, **kwargs: Any) -> MossAudioModel:
    """The model of a folder of quantised parts; bfloat16 unless `dtype` says otherwise.

    Raises:
        CheckpointError: as `check_weights`, and for damaged parts.
    """
    from moss_audio.model import nano
    from moss_audio.model.modeling import MossAudioModel

    dtype = kwargs.pop("dtype", None) or kwargs.pop("torch_dtype", None)
    if dtype in (None, "auto"):
        dtype = torch.bfloat16
    elif isinstance(dtype, str):
        dtype = getattr(torch, dtype.removeprefix("torch."))
    config = kwargs.pop("config", None) or load_config(folder)
    state = nano.load_parts(folder, dtype)
    for name in ("revision", "cache_dir", "token", "local_files_only"):
        kwargs.pop(name, None)
    if kwargs:  # device_map and the like are transformers' own business
        return MossAudioModel.from_pretrained(
            None, config=config, state_dict=state, dtype=dtype, **kwargs
        )
    return _assign(folder, config, state, dtype)


def _assign(
    folder: Path, config: MossAudioConfig, state: dict[str, torch.Tensor], dtype: torch.dtype
) -> MossAudioModel:
    """A model around the given weights: nothing is initialised at random, nothing copied."""
    from moss_audio.model.modeling import MossAudioModel

    config.dtype = dtype
    with torch.device("meta"):
        model = MossAudioModel(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    stored = {name: tuple(tensor.shape) for name, tensor in state.items()}
    compare_shapes(folder, stored, config, expected)
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    # the rotary table is the one thing that no file holds; it is made anew, off the meta device
    decoder: Any = model.language_model
    decoder.rotary_emb = type(decoder.rotary_emb)(config=config.language_config)
    left = [n for n, t in (*model.named_parameters(), *model.named_buffers()) if t.is_meta]
    if left:
        raise CheckpointError(f"{folder}: no values for {_list(left)}; reinstall or rebuild it")
    return model.eval()

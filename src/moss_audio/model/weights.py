"""Whether stored weights are those that a model has, by their names and shapes; without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from moss_audio.errors import CheckpointError, short_reason
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.nano.parts import part_shapes
from moss_audio.model.sizes import EncoderSizes, ModelSizes
from moss_audio.units import num_tokens

Shapes = Mapping[str, tuple[int, ...]]

_SHOWN = 4  # names shown of a long list of wrong weights


def stored_shapes(files: list[Path], block: int = 0) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight in safetensors files, from their headers alone.

    Args:
        block: inputs of a block, where `NAME:scales` tell the shape of a weight in blocks.

    Raises:
        CheckpointError: naming the file that is not readable.
    """
    from safetensors import safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        try:
            with safe_open(str(path), framework="np") as file:
                for name in file.keys():  # noqa: SIM118 (not a dict)
                    shapes[name] = tuple(file.get_slice(name).get_shape())
        except Exception as error:
            reason = short_reason(error)
            raise CheckpointError(
                f"{path}: not a readable safetensors file ({reason}); download it again"
            ) from error
    for name in [name for name in shapes if ":" in name]:
        weight, _, part = name.partition(":")
        shape = shapes.pop(name)
        if part == "scales":
            shapes[weight] = (shape[0], shape[1] * block)
    return shapes


def check_weights(checkpoint: Checkpoint, sizes: ModelSizes | None = None) -> None:
    """Whether every weight of a checkpoint is there, readable and in shape.

    Args:
        sizes: of the model that it is to fill; None takes what its config.json says.

    Raises:
        CheckpointError: one line that names what is wrong.
    """
    sizes = sizes or checkpoint.sizes
    if checkpoint.parts is None:
        stored = stored_shapes(checkpoint.weight_files, checkpoint.exported.get("block", 0))
    else:
        stored = part_shapes(checkpoint.folder)
    compare_shapes(checkpoint.folder, stored, expected_shapes(sizes), tied=sizes.tied)


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


def expected_shapes(sizes: ModelSizes) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight of a model; a tied head is listed like any other."""
    decoder, width = sizes.decoder, sizes.decoder.hidden_size
    shapes = dict(_encoder_shapes(sizes.audio))
    mergers = (f"deepstack_audio_merger_list.{i}." for i in range(sizes.n_deepstack))
    for prefix in ("audio_adapter.", *mergers):
        shapes |= _mlp_shapes(prefix, sizes.audio.output_dim, sizes.adapter_hidden_size, width)
    shapes["language_model.embed_tokens.weight"] = (decoder.vocab_size, width)
    queries, keys = (n * decoder.head_dim for n in (decoder.heads, decoder.kv_heads))
    for index in range(decoder.layers):
        prefix = f"language_model.layers.{index}."
        attention: dict[str, tuple[int, ...]] = dict.fromkeys(("k_proj", "v_proj"), (keys, width))
        attention |= {"q_proj": (queries, width), "o_proj": (width, queries)}
        if decoder.family == "qwen3":
            attention |= {"q_norm": (decoder.head_dim,), "k_norm": (decoder.head_dim,)}
        shapes |= {f"{prefix}self_attn.{name}.weight": shape for name, shape in attention.items()}
        shapes |= _mlp_shapes(f"{prefix}mlp.", width, decoder.intermediate_size, width)
        shapes[f"{prefix}input_layernorm.weight"] = (width,)
        shapes[f"{prefix}post_attention_layernorm.weight"] = (width,)
    shapes["language_model.norm.weight"] = (width,)
    shapes["lm_head.weight"] = (decoder.vocab_size, width)
    return shapes


def _encoder_shapes(sizes: EncoderSizes) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, channels = sizes.d_model, sizes.downsample_hidden_size
    if sizes.stem == "conv2d":
        stem: dict[str, tuple[int, ...]] = {
            "conv1": (channels, 1, 3, 3),
            "conv2": (channels, channels, 3, 3),
            "conv3": (channels, channels, 3, 3),
            "stem_proj": (width, channels * num_tokens(sizes.num_mel_bins)),
        }
    else:
        stem = {"conv1": (width, sizes.num_mel_bins, 3), "conv2": (width, width, 3)}
    layer = {f"self_attn.{part}_proj": (width, width) for part in ("q", "k", "v", "out")}
    layer |= {"fc1": (sizes.ffn_dim, width), "fc2": (width, sizes.ffn_dim)}
    norms: dict[str, tuple[int, ...]] = {
        "self_attn_layer_norm": (width,),
        "final_layer_norm": (width,),
    }
    parts = {**stem, "layer_norm": (width,)}
    parts |= {
        f"layers.{i}.{name}": s
        for i in range(sizes.layers)
        for name, s in {**layer, **norms}.items()
    }
    for name, shape in parts.items():
        yield f"audio_encoder.{name}.weight", shape
        if not name.endswith("k_proj"):
            yield f"audio_encoder.{name}.bias", shape[:1]
    if sizes.stem == "conv2d" and sizes.output_dim != width:
        yield "audio_encoder.out_proj.weight", (sizes.output_dim, width)


def _mlp_shapes(prefix: str, k: int, hidden: int, n: int) -> dict[str, tuple[int, ...]]:
    shapes = {"gate_proj": (hidden, k), "up_proj": (hidden, k), "down_proj": (n, hidden)}
    return {f"{prefix}{name}.weight": shape for name, shape in shapes.items()}

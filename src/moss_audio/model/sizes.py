"""What a model is made of: the sizes in config.json, checked. Needs neither torch nor transformers.

Layout of the released files: specification, sections 1.2 to 1.6. Two fields go beyond them, so
that one model serves them and nano alike: `audio_config.stem` (`conv2d`, the released one, or
`conv1d_stack4`, Whisper's) and the family of `language_config` (`qwen3`, the released one, or
`llama`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moss_audio.errors import CheckpointError
from moss_audio.units import FRAMES_PER_TOKEN

MODEL_TYPE = "moss_audio"
AUDIO_IDS = {"audio_token_id": 151654, "audio_start_id": 151669, "audio_end_id": 151670}
ADAPTER_HIDDEN_SIZE = 8192
STEMS = ("conv2d", "conv1d_stack4")
STACK = 4  # 50-Hz frames joined into one 12.5-Hz token by the conv1d_stack4 stem

# What a file need not say: the released encoder, and transformers' defaults of each family.
_ENCODER: dict[str, Any] = {
    "d_model": 1280,
    "output_dim": 1280,
    "num_mel_bins": 128,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "downsample_hidden_size": 480,
    "conv_chunksize": 64,
    "n_window": 200,
    "deepstack_encoder_layer_indexes": (8, 16, 24),
    "stem": "conv2d",
    "layer_norm_eps": 1e-5,
    "activation_function": "gelu",
}
_DECODER: dict[str, Any] = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
}
_FAMILIES: dict[str, dict[str, Any]] = {
    "qwen3": {
        **_DECODER,
        "vocab_size": 151_936,
        "intermediate_size": 22_016,
        "num_key_value_heads": 32,
        "head_dim": 128,
        "max_position_embeddings": 32_768,
    },
    "llama": {
        **_DECODER,
        "vocab_size": 32_000,
        "intermediate_size": 11_008,
        "max_position_embeddings": 2048,
        "eos_token_id": 2,
    },
}
_ROPE_THETA = 10_000.0


@dataclass(frozen=True)
class EncoderSizes:
    """The audio encoder (specification 1.2).

    Attributes:
        output_dim: width of a token that leaves the encoder.
        downsample_hidden_size: channels of the conv2d stem.
        n_window: half a chunk, in mel frames.
        conv_chunksize: chunks encoded at once, a bound on memory.
        taps: 0-based layers whose output feeds a DeepStack merger.
        stem: one of `STEMS`.
    """

    d_model: int
    output_dim: int
    num_mel_bins: int
    layers: int
    heads: int
    ffn_dim: int
    downsample_hidden_size: int
    n_window: int
    conv_chunksize: int
    taps: tuple[int, ...]
    stem: str
    layer_norm_eps: float

    @property
    def chunk_frames(self) -> int:
        """Mel frames of one chunk, which is encoded alone."""
        return 2 * self.n_window


@dataclass(frozen=True)
class DecoderSizes:
    """The decoder (specification 1.3).

    Attributes:
        family: "qwen3" or "llama"; the former norms queries and keys.
        kv_heads: heads of keys and values.
        max_positions: of a prompt and its answer together.
        rope_theta: base of the rotary positions.
        rope_type: "default"; others scale the frequencies, which torch alone does here.
        eos_ids: tokens that end an answer.
    """

    family: str
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    max_positions: int
    rope_theta: float
    rope_type: str
    rms_norm_eps: float
    eos_ids: frozenset[int]


@dataclass(frozen=True)
class ModelSizes:
    """Encoder, adapter, DeepStack mergers and decoder, and the ids of the audio tokens.

    Attributes:
        adapter_hidden_size: inner width of the adapter and of every merger.
        n_deepstack: DeepStack mergers, one for each used tap.
        audio_token_id, audio_start_id, audio_end_id: ids at and around the audio positions.
        tied: the head is the embedding.
    """

    audio: EncoderSizes
    decoder: DecoderSizes
    adapter_hidden_size: int
    n_deepstack: int
    audio_token_id: int
    audio_start_id: int
    audio_end_id: int
    tied: bool

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> ModelSizes:
        """The sizes in the object of a config.json; what it leaves out has its default.

        Raises:
            CheckpointError: one line that names every field that is wrong.
        """
        parts = {key: values.get(key) or {} for key in ("audio_config", "language_config")}
        problems = [
            f"{key} {part!r} is not an object"
            for key, part in parts.items()
            if not isinstance(part, Mapping)
        ]
        if not problems:
            audio = {**_ENCODER, **parts["audio_config"]}
            taps = audio["deepstack_encoder_layer_indexes"] or ()
            audio["deepstack_encoder_layer_indexes"] = (
                list(taps) if isinstance(taps, list | tuple) else [repr(taps)]
            )
            family = str(parts["language_config"].get("model_type", "qwen3"))
            decoder = {**_FAMILIES.get(family, {}), **parts["language_config"]}
            top = {"adapter_hidden_size": ADAPTER_HIDDEN_SIZE, **AUDIO_IDS, **values}
            problems = [*_encoder_problems(audio), *_decoder_problems(family, decoder)]
            problems += _top_problems(top, audio, decoder)
        if problems:
            raise CheckpointError("config.json: " + "; ".join(problems))
        return cls(
            audio=_encoder(audio),
            decoder=_decoder(family, decoder, values),
            adapter_hidden_size=top["adapter_hidden_size"],
            n_deepstack=_n_deepstack(top, audio),
            **{name: top[name] for name in AUDIO_IDS},
            tied=bool(values.get("tie_word_embeddings", decoder.get("tie_word_embeddings", False))),
        )


def _encoder(audio: Mapping[str, Any]) -> EncoderSizes:
    return EncoderSizes(
        d_model=audio["d_model"],
        output_dim=audio["output_dim"],
        num_mel_bins=audio["num_mel_bins"],
        layers=audio["encoder_layers"],
        heads=audio["encoder_attention_heads"],
        ffn_dim=audio["encoder_ffn_dim"],
        downsample_hidden_size=audio["downsample_hidden_size"],
        n_window=audio["n_window"],
        conv_chunksize=audio["conv_chunksize"],
        taps=tuple(audio["deepstack_encoder_layer_indexes"]),
        stem=audio["stem"],
        layer_norm_eps=float(audio["layer_norm_eps"]),
    )


def _decoder(family: str, decoder: Mapping[str, Any], top: Mapping[str, Any]) -> DecoderSizes:
    rope = _rope(decoder)
    eos: set[int] = set()
    for ids in (top.get("eos_token_id"), decoder.get("eos_token_id")):
        eos.update([ids] if isinstance(ids, int) else ids or ())
    heads = decoder["num_attention_heads"]
    return DecoderSizes(
        family=family,
        hidden_size=decoder["hidden_size"],
        layers=decoder["num_hidden_layers"],
        heads=heads,
        kv_heads=decoder.get("num_key_value_heads") or heads,
        head_dim=decoder.get("head_dim") or decoder["hidden_size"] // heads,
        intermediate_size=decoder["intermediate_size"],
        vocab_size=decoder["vocab_size"],
        max_positions=decoder["max_position_embeddings"],
        rope_theta=float(rope.get("rope_theta") or decoder.get("rope_theta") or _ROPE_THETA),
        rope_type=str(rope.get("rope_type") or rope.get("type") or "default"),
        rms_norm_eps=float(decoder["rms_norm_eps"]),
        eos_ids=frozenset(eos),
    )


def _rope(decoder: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the rotary positions are made, under transformers' present or former name."""
    return decoder.get("rope_parameters") or decoder.get("rope_scaling") or {}


def _n_deepstack(top: Mapping[str, Any], audio: Mapping[str, Any]) -> int:
    taps = len(audio["deepstack_encoder_layer_indexes"])
    limit = top.get("deepstack_num_inject_layers")
    return taps if limit is None else min(taps, limit)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size_problems(
    values: Mapping[str, Any], names: Sequence[str], prefix: str = ""
) -> Iterator[str]:
    """One line for every field of `names` that is not a positive whole number."""
    for name in names:
        value = values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield f"{prefix}{name} {value!r} must be a positive whole number"


def _encoder_problems(audio: Mapping[str, Any]) -> list[str]:
    taps = audio["deepstack_encoder_layer_indexes"]
    sizes = [name for name, default in _ENCODER.items() if _is_int(default) and name != "n_window"]
    found = list(_size_problems(audio, sizes))
    if not _is_int(audio["n_window"]):
        found.append(f"n_window {audio['n_window']!r} must be a whole number")
    if not all(map(_is_int, taps)):
        found.append(f"deepstack_encoder_layer_indexes {taps} must be whole numbers")
    if not _is_number(audio["layer_norm_eps"]):
        found.append(f"layer_norm_eps {audio['layer_norm_eps']!r} must be a number")
    if found:  # the checks below compute with these
        return found
    width, window, stem = audio["d_model"], audio["n_window"], audio["stem"]
    if window <= 0 or 2 * window % FRAMES_PER_TOKEN:
        found.append(
            f"n_window {window}: a chunk of {2 * window} frames must be a positive multiple of "
            f"{FRAMES_PER_TOKEN} (n_window divisible by {FRAMES_PER_TOKEN // 2})"
        )
    last = audio["encoder_layers"] - 1
    found += [
        f"deepstack_encoder_layer_indexes names layer {tap}, but the encoder has layers 0 to {last}"
        for tap in taps
        if not 0 <= tap <= last
    ]
    if sorted(set(taps)) != taps:
        found.append(f"deepstack_encoder_layer_indexes {taps} must rise, without repeats")
    heads = audio["encoder_attention_heads"]
    if width % heads:
        found.append(f"d_model {width} is not divisible by encoder_attention_heads {heads}")
    if width % 2 or width < 4:
        found.append(f"d_model {width} must be even and at least 4")
    if audio["activation_function"] != "gelu":
        found.append(f"activation_function {audio['activation_function']!r}: only 'gelu' is known")
    if stem not in STEMS:
        found.append(f"stem {stem!r} is not one of {', '.join(STEMS)}")
    elif stem == "conv1d_stack4" and audio["output_dim"] != STACK * width:
        found.append(
            f"stem conv1d_stack4 gives tokens of width {STACK} * d_model = {STACK * width}, but "
            f"output_dim is {audio['output_dim']}"
        )
    return found


def _decoder_problems(family: str, decoder: Mapping[str, Any]) -> list[str]:
    if family not in _FAMILIES:
        return [f"language_config.model_type {family!r} is not one of {', '.join(_FAMILIES)}"]
    prefix = "language_config."
    sizes = [
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "vocab_size", "max_position_embeddings",
    ]  # fmt: skip
    sizes += [n for n in ("num_key_value_heads", "head_dim") if decoder.get(n) is not None]
    found = list(_size_problems(decoder, sizes, prefix))
    rope = _rope(decoder)
    if not isinstance(rope, Mapping):
        return [*found, f"{prefix}rope_parameters {rope!r} is not an object"]
    theta = rope.get("rope_theta", 1.0)
    for name, value in (("rms_norm_eps", decoder["rms_norm_eps"]), ("rope_theta", theta),
                        ("rope_theta", decoder.get("rope_theta", 1.0))):  # fmt: skip
        if not _is_number(value) or value <= 0:
            found.append(f"{prefix}{name} {value!r} must be a positive number")
    if found:
        return found
    heads, width = decoder["num_attention_heads"], decoder["hidden_size"]
    kv_heads = decoder.get("num_key_value_heads") or heads
    if heads % kv_heads:
        found.append(f"{prefix}num_attention_heads {heads} is not a multiple of "
                     f"num_key_value_heads {kv_heads}")  # fmt: skip
    if width % heads and family == "llama":
        found.append(f"{prefix}hidden_size {width} is not a multiple of num_attention_heads "
                     f"{heads}")  # fmt: skip
    head_dim = decoder.get("head_dim") or width // heads
    if head_dim % 2 or head_dim < 2:
        found.append(f"{prefix}head_dim {head_dim} must be even and at least 2")
    if decoder["hidden_act"] != "silu":
        found.append(f"{prefix}hidden_act {decoder['hidden_act']!r}: only 'silu' is known")
    found += [
        f"{prefix}{name}: projections with a bias are not supported"
        for name in ("attention_bias", "mlp_bias")
        if decoder.get(name)
    ]
    if _has_sliding_window(family, decoder):
        found.append("language_config: sliding-window attention is not supported")
    return found


def _has_sliding_window(family: str, decoder: Mapping[str, Any]) -> bool:
    """Whether a decoder asks for sliding-window layers, which no released model has."""
    if decoder.get("layer_types") is not None:
        return "sliding_attention" in decoder["layer_types"]
    return bool(
        family == "qwen3"
        and decoder.get("use_sliding_window")
        and decoder.get("sliding_window", 4096) is not None
        and decoder.get("max_window_layers", 28) < decoder["num_hidden_layers"]
    )


def _top_problems(
    top: Mapping[str, Any], audio: Mapping[str, Any], decoder: Mapping[str, Any]
) -> list[str]:
    found = list(_size_problems(top, ["adapter_hidden_size"]))
    limit, layers = top.get("deepstack_num_inject_layers"), decoder.get("num_hidden_layers")
    if limit is not None and not _is_int(limit):
        found.append(f"deepstack_num_inject_layers {limit!r} must be a whole number or null")
    elif limit is not None and limit < 0:
        found.append(f"deepstack_num_inject_layers {limit} is negative")
    elif isinstance(layers, int) and _n_deepstack(top, audio) > layers:
        found.append(
            f"{_n_deepstack(top, audio)} DeepStack mergers, but the decoder has only {layers} "
            "layers"
        )
    size = decoder.get("vocab_size")
    for name in AUDIO_IDS:
        value = top[name]
        if not _is_int(value):
            found.append(f"{name} {value!r} must be a whole number")
        elif _is_int(size) and not 0 <= value < size:
            found.append(f"{name} {value} is outside the vocabulary of {size}")
    if len({str(top[name]) for name in AUDIO_IDS}) < len(AUDIO_IDS):
        found.append(f"{', '.join(AUDIO_IDS)} must be three different ids")
    return found

"""A checkpoint's tokenizer on the `tokenizers` package: transformers' ids, without transformers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from moss_audio.errors import CheckpointError, short_reason

_NAMED = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip
# How Qwen's byte-level tokenizer cuts text, for a folder with vocab.json and merges.txt alone.
_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Tokenizer:
    """Text to ids and back.

    Attributes:
        backend_tokenizer: the `tokenizers.Tokenizer`, under transformers' name for it.
    """

    def __init__(self, backend: Any) -> None:
        self.backend_tokenizer = backend

    @classmethod
    def open(cls, folder: Path) -> Tokenizer:
        """That of a checkpoint folder, with the tokens that its tokenizer_config.json adds.

        Raises:
            CheckpointError: naming the file that is missing or damaged.
        """
        try:
            return cls(_backend(folder))
        except CheckpointError:
            raise
        except Exception as error:  # tokenizers raises bare Exceptions
            raise CheckpointError(
                f"{folder}: its tokenizer is damaged ({short_reason(error)}); download it again"
            ) from error

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """ids of `text`; added tokens that stand in it become theirs."""
        ids: list[int] = self.backend_tokenizer.encode(
            text, add_special_tokens=add_special_tokens
        ).ids
        return ids

    def decode(
        self,
        ids: Sequence[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = False,
    ) -> str:
        """Text of `ids`. Spaces stay as they are; the last argument is transformers'."""
        text: str = self.backend_tokenizer.decode(
            list(ids), skip_special_tokens=skip_special_tokens
        )
        return text


def _backend(folder: Path) -> Any:
    import tokenizers

    path = folder / "tokenizer.json"
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if path.is_file():
        backend = tokenizers.Tokenizer.from_file(str(path))
    elif vocabulary.is_file() and merges.is_file():
        backend = _qwen(vocabulary, merges)
    else:
        raise CheckpointError(f"{path}: missing; download the checkpoint again")
    backend.no_truncation()
    backend.no_padding()
    config = folder / "tokenizer_config.json"
    if config.is_file():
        _add_tokens(backend, json.loads(config.read_text(encoding="utf-8")))
    return backend


def _qwen(vocabulary: Path, merges: Path) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    backend = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    return backend


def _add_tokens(backend: Any, config: Mapping[str, Any]) -> None:
    """Add what the file itself does not hold, in transformers' order: it decides the ids."""
    from tokenizers import AddedToken

    known = {repr(token) for token in backend.get_added_tokens_decoder().values()}
    listed = sorted((config.get("added_tokens_decoder") or {}).items(), key=lambda kv: int(kv[0]))
    tokens = [AddedToken(**_fields(entry)) for _, entry in listed]
    backend.add_tokens([token for token in tokens if repr(token) not in known])
    backend.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in _special(config)]
    )


def _fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    names = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    return {name: entry[name] for name in names if name in entry}


def _special(config: Mapping[str, Any]) -> Iterator[str]:
    """Texts of the tokens that are special by their name."""
    more: list[Any] = []
    for key in ("additional_special_tokens", "extra_special_tokens"):
        extra: Iterable[Any] | Mapping[str, Any] = config.get(key) or ()
        more += extra.values() if isinstance(extra, Mapping) else extra
    for token in (*(config.get(name) for name in _NAMED), *more):
        text = token.get("content") if isinstance(token, Mapping) else token
        if text:
            yield text

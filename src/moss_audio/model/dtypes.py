"""Names of the number types that a model computes in. Without torch, which knows them too."""

from __future__ import annotations

from moss_audio.errors import MossAudioError

_NAMES = ("bfloat16", "float16", "float32")
_SHORT = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def dtype_name(text: str) -> str:
    """The name in torch of a type that somebody wrote.

    Raises:
        MossAudioError: for anything but those three.
    """
    name = _SHORT.get(text, text)
    if name not in _NAMES:
        raise MossAudioError(f"dtype {text!r}: give bfloat16, float16 or float32")
    return name

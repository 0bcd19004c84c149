"""The model: sizes, configuration, encoder, adapter, decoder and checkpoints.

Importing this package is cheap: neither torch nor transformers comes with it. `register` makes the
model known to transformers' Auto classes, as the first use of `moss_audio.MossAudioModel` or
`moss_audio.MossAudioProcessor` does, so that

    >>> moss_audio.model.register()
    >>> AutoConfig.from_pretrained(folder)
    >>> AutoModelForCausalLM.from_pretrained(folder)
    >>> AutoProcessor.from_pretrained(folder)

work on a folder in the released layout, without remote code.
"""

from __future__ import annotations


def register() -> None:
    """Enter configuration, model and processor into transformers' Auto classes; harmless twice."""
    from moss_audio.model import modeling, processing  # noqa: F401 (each enters its own)

"""The model: configuration, encoder, adapter, decoder, checkpoints and named sizes.

Importing this package makes the model known to transformers' Auto classes, so that

    >>> import moss_audio.model
    >>> AutoConfig.from_pretrained(folder)
    >>> AutoModelForCausalLM.from_pretrained(folder)
    >>> AutoProcessor.from_pretrained(folder)

work on a folder in the released layout, without remote code. `import moss_audio` alone does not do
it, because it stays free of torch and transformers; the first use of `moss_audio.load`,
`moss_audio.MossAudioModel`, `moss_audio.MossAudioConfig` or `moss_audio.MossAudioProcessor` does.
"""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMultimodalLM

from moss_audio.model.config import MossAudioConfig, MossAudioEncoderConfig
from moss_audio.model.features import AudioFeatures
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.presets import PRESET_NAMES, preset
from moss_audio.model.processing import MossAudioProcessor

__all__ = [
    "PRESET_NAMES",
    "AudioFeatures",
    "MossAudioConfig",
    "MossAudioEncoderConfig",
    "MossAudioModel",
    "MossAudioProcessor",
    "preset",
    "register",
]


def register() -> None:
    """Enter the configuration and the model into transformers' Auto classes; harmless twice."""
    AutoConfig.register(MossAudioConfig.model_type, MossAudioConfig, exist_ok=True)
    for auto in (AutoModel, AutoModelForCausalLM, AutoModelForMultimodalLM):
        auto.register(MossAudioConfig, MossAudioModel, exist_ok=True)


register()
